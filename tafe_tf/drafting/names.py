"""What the name of a column tells."""

from __future__ import annotations

import re
from collections.abc import Collection

# How far along a funnel a step with this word in its name stands.
STAGES = {
    **dict.fromkeys(
        ["view", "viewed", "visit", "visited", "open", "opened", "landing", "watched", "played"],
        1,
    ),
    **dict.fromkeys(["click", "clicked", "clk", "clicks", "tap", "tapped", "engaged"], 2),
    **dict.fromkeys(
        [
            *("cart", "atc", "basket", "wishlist", "favorite", "favourite", "fav", "liked"),
            *("signup", "register", "registered", "registration", "lead", "install", "installed"),
            *("download", "downloaded", "trial", "apply", "applied", "checkout", "reserved"),
        ],
        3,
    ),
    **dict.fromkeys(
        [
            *("purchase", "purchased", "buy", "bought", "order", "ordered", "conversion"),
            *("conversions", "convert", "converted", "conv", "pay", "paid", "payment", "booking"),
            *("booked", "subscribe", "subscribed", "activated", "approved", "deposit", "sale"),
            *("sold", "transaction", "retained", "renewed", "label", "target", "outcome"),
        ],
        4,
    ),
}
# Words of what was known before the row: a count of earlier clicks is no label.
_PAST = {
    *("last", "prev", "previous", "past", "history", "hist", "avg", "mean", "median", "count"),
    *("cnt", "num", "number", "total", "sum", "days", "hours", "since", "rate", "ctr", "cvr"),
    *("prior", "ratio", "share", "score", "min", "max", "per", "true", "prob", "pred", "type"),
}
IDS = {
    *("id", "ids", "uid", "uuid", "guid", "key", "code", "no", "nr", "hash", "sku", "asin", "ean"),
    *("zip", "postcode", "cookie", "device", "user", "customer", "item", "product", "article"),
    *("campaign", "ad", "creative", "advertiser", "category", "brand", "store", "shop", "seller"),
    *("session", "request", "impression", "query", "keyword", "publisher", "slot", "placement"),
}
USERS = {
    *("user", "users", "uid", "customer", "visitor", "member", "account", "cookie", "buyer"),
    *("player", "guest", "person", "subscriber", "traveler", "device"),
}
MEASURES = {
    *("price", "amount", "age", "count", "cnt", "num", "qty", "quantity", "days", "hours"),
    *("minutes", "seconds", "score", "rate", "views", "clicks", "total", "sum", "avg", "mean"),
    *("balance", "income", "salary", "distance", "duration", "width", "height", "weight", "value"),
    *("length", "revenue", "cost", "budget", "spend", "recency", "history", "tenure", "rooms"),
    *("purchases", "orders", "visits", "nights", "lead"),
}
# Words beside that of the step in the name of its date, amount or id.
_OF_STEPS = {"amount", "value", "price", "revenue", "id", "is", "has", "did", "on", "was"}
TIMES = {
    *("time", "timestamp", "ts", "date", "datetime", "event", "created", "at", "dt", "day"),
    *("epoch", "when", "logged"),
}
# Words of moments that are facts about a user or an item, and not the moment of the row.
FACTS = {"birth", "dob", "signup", "registered", "joined", "release", "published", "expiry", "last"}
HISTORIES = {
    *("history", "hist", "recent", "recently", "last", "past", "previous", "prev", "sequence"),
    *("seq", "viewed", "clicked", "bought", "purchased", "seen", "visited", "watched", "read"),
}
SAMPLE_WEIGHTS = {
    *("sample_weight", "sampling_weight", "importance_weight", "row_weight", "example_weight"),
    "instance_weight",
}


def words(name: str) -> list[str]:
    """The words of a name in lower case.

    Example:
        >>> words("isClick"), words("add_to_cart"), words("Item No."), words("CLICK_7d")
        (['is', 'click'], ['add', 'to', 'cart'], ['item', 'no'], ['click', '7', 'd'])
    """
    found: list[str] = []
    for run in re.findall(r"[^\W_]+", name):
        found += re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^\WA-Z\d_]+|\d+", run)
    return [word.lower() for word in found]


def has(name: str, known: Collection[str]) -> bool:
    """Whether a name has one of some words."""
    return any(word in known for word in words(name))


def stage(name: str) -> int:
    """How far along a funnel a column of this name stands; 0 if the name tells no step."""
    found = words(name)
    is_of_the_past = any(word in _PAST or word.isdigit() for word in found)
    if is_of_the_past:
        return 0
    if found == ["y"]:
        return STAGES["label"]
    return max((STAGES.get(word, 0) for word in found), default=0)


def is_of_what_happened(name: str) -> bool:
    """Whether a column of this name may tell by having a value that a step happened.

    Example:
        >>> is_of_what_happened("order_date"), is_of_what_happened("order_comment")
        (True, False)
    """
    return all(word in STAGES or word in TIMES or word in _OF_STEPS for word in words(name))


def identifier(name: str, taken: Collection[str]) -> str:
    """A name of letters, digits and underscores that no other field or step has.

    Args:
        name: The column's name.
        taken: The names that are given already.

    Example:
        >>> identifier("Item No.", []), identifier("2nd", []), identifier("item", ["Item"])
        ('Item_No', 'f_2nd', 'item_2')
    """
    ascii_name = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "field"
    if not ascii_name[0].isalpha():
        ascii_name = f"f_{ascii_name}"
    lower = {other.lower() for other in taken}
    found = ascii_name
    number = 2
    while found.lower() in lower:
        found = f"{ascii_name}_{number}"
        number += 1
    return found

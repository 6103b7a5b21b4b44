"""A request of two rows to a model, made from what its card says."""

from __future__ import annotations

import base64
import dataclasses
import json
import pathlib
import re
import urllib.parse
from collections.abc import Mapping
from typing import Any

from tafe_tf.data.atomic import read_json
from tafe_tf.export.versions import CARD_FILE, one_version

ROWS = 2

_NAME = re.compile(r"[A-Za-z0-9_.>/-]+")  # the names of inputs need no quoting in any language

# A dtype -> its name on the wire, and the field that holds its values one by one.
_ON_THE_WIRE = {
    "string": ("DT_STRING", "string_val"),
    "int64": ("DT_INT64", "int64_val"),
    "float32": ("DT_FLOAT", "float_val"),
    "float64": ("DT_DOUBLE", "double_val"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """Two rows of made-up values for a model.

    Attributes:
        model: The model's name on the server.
        inputs: What the model takes: the `name`, `dtype`, `max_length` and `is_exact` of each
            input, as the card has them; the card of a model without vectors has no `is_exact`.
        target: The server's gRPC address. Default: "localhost:8500".
        rest: The server's REST address. Default: "localhost:8501".

    Example:
        >>> from tafe_tf.serving.examples.request import Request
        >>> inputs = [{"name": "user", "dtype": "string", "max_length": 0}]
        >>> print(Request(model="shop", inputs=inputs).rest_body())
        {"instances": [
          {"user": "user 1"},
          {"user": "user 2"}
        ]}
    """

    model: str
    inputs: list[dict[str, Any]]
    target: str = "localhost:8500"
    rest: str = "localhost:8501"

    def columns(self) -> dict[str, list[Any]]:
        """The rows as the client takes them."""
        columns = {}
        for item in self.inputs:
            values = _values(item["name"], item["dtype"])
            lists = [values, values[::-1]]
            if item.get("is_exact"):
                lists = [[value] * item["max_length"] for value in values]
            columns[item["name"]] = lists if item["max_length"] else values
        return columns

    def url(self) -> str:
        """The address of the model's predictions by REST."""
        name = urllib.parse.quote(self.model, safe="")
        return f"http://{self.rest}/v1/models/{name}:predict"

    def rest_body(self) -> str:
        """The request as REST takes it: a JSON object for each row."""
        columns = self.columns()
        rows = []
        for row in range(ROWS):
            rows.append(json.dumps({name: values[row] for name, values in columns.items()}))
        below_each_other = ",\n  ".join(rows)
        return f'{{"instances": [\n  {below_each_other}\n]}}'

    def grpc_body(self) -> str:
        """The request as `grpcurl` takes it: the JSON of a `PredictRequest`."""
        columns = self.columns()
        tensors = []
        for item in self.inputs:
            tensor = _tensor(item, columns[item["name"]])
            tensors.append(f"{json.dumps(item['name'])}: {json.dumps(tensor)}")
        below_each_other = ",\n  ".join(tensors)
        spec = json.dumps({"name": self.model})
        return f'{{"model_spec": {spec}, "inputs": {{\n  {below_each_other}\n}}}}'


def of_card(path: str | pathlib.Path, model: str = "", **addresses: str) -> Request:
    """Makes a request from a model card.

    Args:
        path: The card, a version that holds one, or a directory of versions, of which the latest
            is taken.
        model: The model's name on the server. Default: that of the card.
        **addresses: `target` and `rest`, see `Request`.

    Raises:
        FileNotFoundError: If there is no card.
        ValueError: If the card does not say what the model takes.
    """
    card = pathlib.Path(path)
    if not card.is_file():
        card = one_version(card) / CARD_FILE
    described = read_json(card)
    inputs = _inputs(described, card)
    return Request(model=model or _name(described, card), inputs=inputs, **addresses)


def _name(described: Any, card: pathlib.Path) -> str:
    name = described.get("name") if isinstance(described, Mapping) else None
    if not isinstance(name, str) or not name:
        raise ValueError(f"{card}: has no 'name'; give the model card of an export")
    return name


def _inputs(described: Any, card: pathlib.Path) -> list[dict[str, Any]]:
    inputs: Any = described.get("inputs") if isinstance(described, Mapping) else None
    try:
        found = []
        for item in inputs:
            keys = {key: item[key] for key in ("name", "dtype", "max_length")}
            found.append({**keys, "is_exact": "is_exact" in item})
        are_known = all(item["dtype"] in _ON_THE_WIRE for item in found)
        are_names = all(_NAME.fullmatch(item["name"]) for item in found)
    except (KeyError, TypeError):
        found = []
    if not found or not are_known or not are_names:
        raise ValueError(f"{card}: does not say what the model takes; export the model again")
    return found


def _values(name: str, dtype: str) -> list[Any]:
    """A value for each row."""
    if dtype == "string":
        return [f"{name} {row}" for row in range(1, ROWS + 1)]
    if dtype == "int64":
        return list(range(1, ROWS + 1))
    return [row + 0.5 for row in range(ROWS)]


def _tensor(item: Mapping[str, Any], rows: list[Any]) -> dict[str, Any]:
    """A column as the JSON of a `TensorProto`; texts are bytes there, in base 64."""
    dtype, field = _ON_THE_WIRE[item["dtype"]]
    sizes = [ROWS, len(rows[0])] if item["max_length"] else [ROWS]
    flat = [value for row in rows for value in row] if item["max_length"] else rows
    if item["dtype"] == "string":
        flat = [base64.b64encode(text.encode()).decode() for text in flat]
    shape = {"dim": [{"size": size} for size in sizes]}
    return {"dtype": dtype, "tensor_shape": shape, field: flat}

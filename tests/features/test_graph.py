"""Raw columns -> ids and pooling weights, against twins in plain Python."""

import math
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.features.graph import Features
from tafe_tf.features.vocabulary import vocabulary_file
from tafe_tf.schema import MISSING_TEXTS, Feature, Schema, Task

UNSEEN, MISSING, FIRST = 0, 1, 2
CITIES = ["Köln", "a b", "x\ty", "7", "-1"]
USERS = [900719925474099301, 0, -7, 5]

CITY = Feature(name="city", kind="vocabulary")
USER = Feature(name="user", kind="vocabulary", dtype="int64")
HOUR = Feature(name="hour", kind="integer", size=24)
WORD = Feature(name="word", kind="hash", buckets=50)
CODE = Feature(name="code", kind="hash", dtype="int64", buckets=50)
PRICE = Feature(name="price", kind="log_round", scale=4.0, max_abs=1e6)


def make(
    directory: pathlib.Path, *features: Feature, missing: tuple[str, ...] = MISSING_TEXTS
) -> Features:
    for feature in features:
        if feature.kind == "vocabulary":
            path = vocabulary_file(directory, feature)
            path.parent.mkdir(exist_ok=True)
            values = CITIES if feature.dtype == "string" else USERS
            path.write_text("".join(f"{value}\n" for value in values), encoding="utf-8")
    tasks = (Task(name="a"), Task(name="b"))
    schema = Schema(name="t", features=features, tasks=tasks, missing=missing)
    return Features(schema, directory)


def ids_of(directory: pathlib.Path, feature: Feature, values: list[Any]) -> list[int]:
    made = make(directory, feature)
    out = made({feature.column: tf.constant(values, feature.raw_dtype)})
    assert (
        set(out) == {"ids"}
        and out["ids"].dtype == tf.int32
        and out["ids"].shape == (len(values), 1)
    )
    assert out["ids"].numpy().min() >= 0 and out["ids"].numpy().max() < made.rows[0]
    return [int(i) for i in out["ids"].numpy()[:, 0]]


def log_round_twin(x: float, scale: float = 4.0, max_abs: float = 1e6) -> int:
    if math.isnan(x):
        return MISSING
    bucket = round(scale * math.log1p(min(abs(x), max_abs)))
    return FIRST + round(scale * math.log1p(max_abs)) + (bucket if x > 0 else -bucket)


def test_string_vocabulary(tmp_path: pathlib.Path) -> None:
    values = ["x\ty", "Köln", "", "koln", "a b", "7", "-1", "a b "]
    known = {city: FIRST + line for line, city in enumerate(CITIES)}
    want = [MISSING if value == "" else known.get(value, UNSEEN) for value in values]
    assert ids_of(tmp_path, CITY, values) == want
    assert want.count(UNSEEN) == 2


TAGS = Feature(name="tags", kind="vocabulary", max_length=4)
TERMS = Feature(name="terms", kind="hash", buckets=50, max_length=4)


@pytest.mark.parametrize("missing", [MISSING_TEXTS, ("-", "unknown"), ()])
def test_a_missing_text_is_missing_in_every_column_of_texts(
    tmp_path: pathlib.Path, missing: tuple[str, ...]
) -> None:
    """One value and lists, vocabularies and hashes, against the rule in plain Python."""
    texts = [*MISSING_TEXTS, "-", "unknown", "", "na", " NA", "Köln", "7"]
    lists = [texts[i : i + 4] for i in range(len(texts) - 3)]
    count = len(lists)
    columns = {
        "city": tf.constant(texts[:count]),
        "word": tf.constant(texts[-count:]),
        "tags": tf.constant(lists),
        "terms": tf.constant(lists),
        "hour": tf.constant([5] * count, tf.int64),
    }
    made = make(tmp_path, CITY, HOUR, WORD, TAGS, TERMS, missing=missing)
    ids = made(columns)["ids"].numpy()
    is_missing = {"", *missing}
    for row in range(count):
        values = [texts[:count][row], "5", texts[-count:][row], *lists[row], *lists[row]]
        want = [value in is_missing for value in values]
        assert (ids[row] == MISSING).tolist() == want


def test_texts_cost_one_lookup_for_all_columns_of_one_text(tmp_path: pathlib.Path) -> None:
    """A request of one row costs as much as it has operations."""
    words = [Feature(name=f"w{i}", kind="hash", buckets=5) for i in range(20)]
    made = make(tmp_path, *words)
    graph = tf.function(made.__call__).get_concrete_function(made.signature).graph
    kinds = [operation.type for operation in graph.get_operations()]
    assert kinds.count("LookupTableFindV2") == 1
    assert kinds.count("Equal") == 0


def test_integer_vocabulary(tmp_path: pathlib.Path) -> None:
    values = [
        5,
        -7,
        -1,
        6,
        900719925474099301,
        900719925474099302,
        0,
    ]  # beyond 2^53: neighbours stay apart
    want = [FIRST + 3, FIRST + 2, MISSING, UNSEEN, FIRST, UNSEEN, FIRST + 1]
    assert ids_of(tmp_path, USER, values) == want


def test_integer(tmp_path: pathlib.Path) -> None:
    values = [0, 23, 24, -1, -2, 2**63 - 1, -(2**63), 11]
    assert ids_of(tmp_path, HOUR, values) == [2, 25, UNSEEN, MISSING, UNSEEN, UNSEEN, UNSEEN, 13]


@pytest.mark.parametrize(
    ("feature", "values", "missing"),
    [
        (WORD, [f"w{i}" for i in range(1000)], ""),
        (CODE, list(range(-500, -1)) + list(range(500)), -1),
    ],
    ids=["string", "int64"],
)
def test_hash_fills_its_range_and_is_stable(
    tmp_path: pathlib.Path, feature: Feature, values: list[Any], missing: Any
) -> None:
    ids = ids_of(tmp_path, feature, values)
    assert set(ids) == set(range(FIRST, FIRST + 50))  # 1000 values leave no one of 50 buckets empty
    assert max(ids.count(i) for i in set(ids)) < 3 * len(values) / 50
    assert ids_of(tmp_path, feature, values) == ids  # another instance
    assert ids_of(tmp_path, feature, [missing, values[0]]) == [MISSING, ids[0]]  # another batch


def test_hash_of_an_integer_is_that_of_its_digits(tmp_path: pathlib.Path) -> None:
    numbers = [5, 0, -3, 2**62]
    assert ids_of(tmp_path, CODE, numbers) == ids_of(tmp_path, WORD, [str(n) for n in numbers])


def test_log_round(tmp_path: pathlib.Path) -> None:
    values = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.1,
        3.7,
        -250.0,
        99999.0,
        1e6,
        1e7,
        -1e30,
        math.inf,
        -math.inf,
        math.nan,
        1e-30,
    ]
    assert ids_of(tmp_path, PRICE, values) == [log_round_twin(x) for x in values]
    assert log_round_twin(-math.inf) == FIRST  # the first and the last row of the field
    assert log_round_twin(math.inf) == PRICE.rows() - 1


def test_log_round_takes_settings_that_are_integers(tmp_path: pathlib.Path) -> None:
    feature = Feature(name="x", kind="log_round", scale=2, max_abs=1000)
    values = [0.0, -3.5, 999.0, 1e6, math.nan]
    expected = [log_round_twin(value, 2.0, 1000.0) for value in values]
    assert ids_of(tmp_path, feature, values) == expected


@pytest.mark.parametrize(
    ("scale", "max_abs"), [(0.5, 9744800000.0), (1.0, 32.115451958692304), (2.0, 1.117)]
)
def test_log_round_stays_in_its_rows_when_max_abs_rounds_up_in_float32(
    tmp_path: pathlib.Path, scale: float, max_abs: float
) -> None:
    feature = Feature(name="x", kind="log_round", scale=scale, max_abs=max_abs)
    assert ids_of(tmp_path, feature, [math.inf, -math.inf]) == [feature.rows() - 1, FIRST]


def test_rows_slots_signature_and_the_order_of_fields(tmp_path: pathlib.Path) -> None:
    tags = Feature(name="tags", kind="vocabulary", max_length=3, weights="w")
    made = make(tmp_path, HOUR, CITY, tags)
    assert made.rows == (26, FIRST + 5, FIRST + 5)
    assert made.slots == (1, 1, 3)
    assert made.signature == {
        "hour": tf.TensorSpec([None], tf.int64, "hour"),
        "city": tf.TensorSpec([None], tf.string, "city"),
        "tags": tf.TensorSpec([None, None], tf.string, "tags"),
        "w": tf.TensorSpec([None, None], tf.float32, "w"),
    }
    columns = {"hour": tf.constant([3], tf.int64), "city": ["7"], "tags": [["Köln"]], "w": [[0.5]]}
    out = made({name: tf.convert_to_tensor(values) for name, values in columns.items()})
    np.testing.assert_array_equal(out["ids"], [[5, 5, 2, MISSING, MISSING]])
    np.testing.assert_array_equal(out["weights"], [[1, 1, 1, 0, 0]])


LISTS = [["Köln", "7"], ["a b", ""], ["", ""], ["nowhere", "7"]]
LIST_WEIGHTS = [[2.0, -6.0], [3.0, 5.0], [1.0, 1.0], [0.25, 0.5]]


def list_twin(
    lists: list[list[str]], weights: list[list[float]] | None, pooling: str, length: int
) -> Any:
    """Per row: ids cut and padded, and the weight of each."""
    all_ids, all_weights = [], []
    for row, values in enumerate(lists):
        cut = values[:length]
        ids = [
            MISSING if v == "" else FIRST + CITIES.index(v) if v in CITIES else UNSEEN for v in cut
        ]
        given = weights[row][:length] if weights else [1.0] * len(cut)
        kept = [0.0 if i == MISSING else w for i, w in zip(ids, given, strict=True)]
        if pooling == "mean":
            size = sum(abs(w) for w in kept)
            kept = [w / size if size else 0.0 for w in kept]
        if all(i == MISSING for i in ids):  # an empty list is one missing value
            ids, kept = [MISSING], [1.0]
        all_ids.append(ids + [MISSING] * (length - len(ids)))
        all_weights.append(kept + [0.0] * (length - len(kept)))
    return all_ids, all_weights


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("pooling", ["sum", "mean"])
@pytest.mark.parametrize("length", [1, 2, 4])  # shorter than the lists, as long, longer
def test_lists(tmp_path: pathlib.Path, length: int, pooling: str, weighted: bool) -> None:
    tags = Feature(
        name="tags",
        kind="vocabulary",
        max_length=length,
        pooling=pooling,
        weights="w" if weighted else "",
    )
    made = make(tmp_path, tags)
    columns = {"tags": tf.constant(LISTS), "w": tf.constant(LIST_WEIGHTS)}
    out = made(columns)
    ids, weights = list_twin(LISTS, LIST_WEIGHTS if weighted else None, pooling, length)
    np.testing.assert_array_equal(out["ids"], ids)
    np.testing.assert_allclose(out["weights"], weights, rtol=1e-6)
    assert out["weights"].dtype == tf.float32
    one = made({name: column[:1] for name, column in columns.items()})
    np.testing.assert_array_equal(one["ids"], ids[:1])
    np.testing.assert_allclose(one["weights"], weights[:1], rtol=1e-6)


def test_a_batch_of_lists_without_a_column_of_values(tmp_path: pathlib.Path) -> None:
    tags = Feature(name="tags", kind="vocabulary", max_length=3)
    out = make(tmp_path, tags)({"tags": tf.zeros([2, 0], tf.string)})
    np.testing.assert_array_equal(out["ids"], [[MISSING] * 3] * 2)
    np.testing.assert_array_equal(out["weights"], [[1, 0, 0]] * 2)


def test_weights_that_are_nan_beside_a_missing_value_or_all_zero(tmp_path: pathlib.Path) -> None:
    tags = Feature(name="tags", kind="vocabulary", max_length=2, weights="w")
    out = make(tmp_path, tags)(
        {
            "tags": tf.constant([["7", ""], ["7", "7"]]),
            "w": tf.constant([[3.0, math.nan], [0.0, 0.0]]),
        }
    )
    np.testing.assert_array_equal(out["weights"], [[1, 0], [0, 0]])


def test_features_computed_together_keep_their_places(tmp_path: pathlib.Path) -> None:
    day = Feature(name="day", kind="integer", size=7)
    cost = Feature(name="cost", kind="log_round", scale=50.0, max_abs=9.0)
    tags = Feature(name="tags", kind="vocabulary", max_length=2)
    features = (PRICE, HOUR, CITY, day, tags, CODE, cost)
    columns = {
        "price": [1e5, -3.0, math.nan, 0.0],
        "hour": [23, 8, -1, 7],
        "city": ["7", "", "Köln", "no"],
        "day": [6, 8, 3, -1],
        "tags": [["7", "a b"], ["", ""], ["no", ""], ["Köln", "7"]],
        "code": [1, 2, -1, 4],
        "cost": [1e5, -3.0, 0.5, math.nan],
    }
    made = {f.column: tf.constant(columns[f.name], f.raw_dtype) for f in features}
    together, one_by_one = (
        make(tmp_path, *features)(made),
        [make(tmp_path, f)(made) for f in features],
    )
    np.testing.assert_array_equal(
        together["ids"], np.concatenate([one["ids"] for one in one_by_one], axis=1)
    )
    weights = [one.get("weights", np.ones(one["ids"].shape)) for one in one_by_one]
    np.testing.assert_array_equal(together["weights"], np.concatenate(weights, axis=1))


def test_lists_of_numbers_of_every_kind(tmp_path: pathlib.Path) -> None:
    prices = Feature(name="prices", kind="log_round", max_length=3, max_abs=1e6)
    hours = Feature(name="hours", kind="integer", size=24, max_length=3)
    out = make(tmp_path, prices, hours)(
        {"prices": tf.constant([[math.nan, 8.0]]), "hours": tf.constant([[24, -1]], tf.int64)}
    )
    want = [MISSING, log_round_twin(8.0), MISSING, UNSEEN, MISSING, MISSING]
    np.testing.assert_array_equal(out["ids"], [want])
    np.testing.assert_array_equal(out["weights"], [[0, 1, 0, 1, 0, 0]])


def test_lists_of_numbers_from_a_file_keep_their_length(tmp_path: pathlib.Path) -> None:
    prices = Feature(
        name="prices", kind="log_round", max_length=3, max_abs=1e6, pooling="sum", weights="w"
    )
    made = make(tmp_path, prices)
    file = tmp_path / "t.csv"
    file.write_text("prices,w,a,b\n8,2,0,0\n,,0,0\n|8,|4,0,0\n", encoding="utf-8")
    (block,) = read_blocks([str(file)], made.schema, bad_rows=BadRows())
    out = made({name: tf.constant(block.columns[name]) for name in ("prices", "w")})
    eight = log_round_twin(8.0)
    want = [[eight, MISSING, MISSING], [MISSING] * 3, [MISSING, eight, MISSING]]
    np.testing.assert_array_equal(out["ids"], want)
    np.testing.assert_array_equal(out["weights"], [[2, 0, 0], [1, 0, 0], [0, 4, 0]])


@pytest.mark.parametrize(
    "run",
    [
        lambda made, columns: tf.function(made, input_signature=[made.signature])(columns),
        lambda made, columns: next(iter(tf.data.Dataset.from_tensors(columns).map(made))),
    ],
    ids=["function", "data"],
)
def test_graphs_give_what_eager_gives(
    tmp_path: pathlib.Path, run: Callable[[Features, Any], Any]
) -> None:
    tags = Feature(name="tags", kind="vocabulary", max_length=2, weights="w")
    made = make(tmp_path, CITY, USER, HOUR, WORD, CODE, PRICE, tags)
    columns = {
        "city": tf.constant(["7", "", "?"]),
        "user": tf.constant([5, -1, 6], tf.int64),
        "hour": tf.constant([5, -1, 60], tf.int64),
        "word": tf.constant(["5", "", "q"]),
        "code": tf.constant([5, -1, 6], tf.int64),
        "price": tf.constant([5.0, math.nan, -2.0]),
        "tags": tf.constant([["7"], [""], ["?"]]),
        "w": tf.constant([[5.0], [0.0], [-2.0]]),
    }
    eager, graph = made(columns), run(made, columns)
    assert set(graph) == {"ids", "weights"}
    np.testing.assert_array_equal(graph["ids"], eager["ids"])
    np.testing.assert_array_equal(graph["weights"], eager["weights"])
    np.testing.assert_array_equal(eager["ids"][1], [MISSING] * 8)


def test_an_empty_vocabulary_knows_nothing(tmp_path: pathlib.Path) -> None:
    make(tmp_path, CITY)
    vocabulary_file(tmp_path, CITY).write_text("", encoding="utf-8")
    made = Features(
        Schema(name="t", features=(CITY,), tasks=(Task(name="a"), Task(name="b"))), tmp_path
    )
    assert made.rows == (2,)
    np.testing.assert_array_equal(
        made({"city": tf.constant(["7", ""])})["ids"], [[UNSEEN], [MISSING]]
    )


def test_a_missing_vocabulary_names_its_file(tmp_path: pathlib.Path) -> None:
    schema = Schema(name="t", features=(CITY,), tasks=(Task(name="a"), Task(name="b")))
    with pytest.raises(
        FileNotFoundError,
        match=r"city\.txt: feature 'city' needs its vocabulary; run tafe_tf\.prepare",
    ):
        Features(schema, tmp_path)

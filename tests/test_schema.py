"""The dataset's contract: what a schema file may say, and what each broken rule answers."""

import math
import pathlib
import tomllib

import pytest

from tafe_tf import schema_toml
from tafe_tf.schema import Column, Feature, Schema, SchemaError, Task

FULL = """
name = "shop"
group = "user"
time = "timestamp"
sample_weight = "importance"

[[tasks]]
name = "click"
[[tasks]]
name = "buy"
column = "bought"
weight = 2
truth = "p_buy"

[[features]]
name = "user"
kind = "vocabulary"
dtype = "int64"
min_count = 10
[[features]]
name = "hour"
kind = "integer"
size = 24
[[features]]
name = "query"
kind = "hash"
buckets = 100
[[features]]
name = "price"
kind = "log_round"
scale = 2.0
max_abs = 1000
[[features]]
name = "tags"
kind = "vocabulary"
max_length = 5
pooling = "sum"
weights = "tag_weights"
separator = ";"
[[features]]
name = "user_hash"
kind = "hash"
column = "user"
dtype = "int64"
buckets = 7
"""


def load(tmp_path: pathlib.Path, text: str) -> Schema:
    path = tmp_path / "schema.toml"
    path.write_text(text, encoding="utf-8")
    return schema_toml.load(path)


def document(
    top: str = 'name = "shop"',
    tasks: str = '[[tasks]]\nname = "click"\n[[tasks]]\nname = "buy"',
    features: str = '[[features]]\nname = "user"\nkind = "hash"\nbuckets = 9',
) -> str:
    return f"{top}\n{tasks}\n{features}\n"


def with_feature(body: str) -> str:
    return document(features=f'[[features]]\nname = "x"\n{body}')


def with_task(body: str) -> str:
    return document(tasks=f'[[tasks]]\nname = "click"\n[[tasks]]\nname = "buy"\n{body}')


def test_a_full_schema_loads(tmp_path: pathlib.Path) -> None:
    loaded = load(tmp_path, FULL)
    assert (loaded.name, loaded.group, loaded.time, loaded.sample_weight) == (
        "shop",
        "user",
        "timestamp",
        "importance",
    )
    assert loaded.tasks == (
        Task(name="click"),
        Task(name="buy", column="bought", weight=2, truth="p_buy"),
    )
    assert [f.name for f in loaded.features] == [
        "user",
        "hour",
        "query",
        "price",
        "tags",
        "user_hash",
    ]
    assert [f.slots for f in loaded.features] == [1, 1, 1, 1, 5, 1]
    user, tags = loaded.features[0], loaded.features[4]
    assert (user.column, user.kind, user.dtype, user.min_count) == (
        "user",
        "vocabulary",
        "int64",
        10,
    )
    assert (tags.pooling, tags.weights, tags.separator, tags.max_length) == (
        "sum",
        "tag_weights",
        ";",
        5,
    )


def test_inputs_columns_and_labels(tmp_path: pathlib.Path) -> None:
    loaded = load(tmp_path, FULL)
    inputs = (
        Column(name="user", dtype="int64"),  # read by two features, given once
        Column(name="hour", dtype="int64"),
        Column(name="query", dtype="string"),
        Column(name="price", dtype="float32"),
        Column(name="tags", dtype="string", max_length=5, separator=";"),
        Column(name="tag_weights", dtype="float32", max_length=5, separator=";"),
    )
    assert loaded.inputs == inputs
    assert loaded.columns == (
        *inputs,  # the group is the input "user" and keeps its dtype
        Column(name="importance", dtype="float32"),
        Column(name="timestamp", dtype="float64"),
        Column(name="p_buy", dtype="float64"),
    )
    assert loaded.labels == ("click", "bought")


def test_a_group_that_no_feature_reads_is_text(tmp_path: pathlib.Path) -> None:
    loaded = load(tmp_path, document(top='name = "shop"\ngroup = "session"'))
    assert loaded.columns == (
        Column(name="user", dtype="string"),
        Column(name="session", dtype="string"),
    )


def test_names_of_the_outputs(tmp_path: pathlib.Path) -> None:
    two = load(tmp_path, document())
    assert (two.step_names, two.conditional_names) == (("ctr", "ctcvr"), ("cvr",))
    three = load(tmp_path, with_task('[[tasks]]\nname = "pay"'))
    assert three.step_names == ("p_click", "p_buy", "p_pay")
    assert three.conditional_names == ("p_buy_given_click", "p_pay_given_buy")


def test_rows_of_each_kind() -> None:
    assert Feature(name="x", kind="vocabulary").rows(vocabulary_size=5) == 2 + 5
    assert Feature(name="x", kind="vocabulary").rows() == 2
    assert Feature(name="x", kind="integer", size=24).rows() == 2 + 24
    assert Feature(name="x", kind="hash", buckets=100).rows() == 2 + 100
    assert Feature(name="x", kind="quantile").rows() == 2 + 64
    assert Feature(name="x", kind="quantile", buckets=9).rows() == 2 + 9
    price = Feature(name="x", kind="log_round", scale=2.0, max_abs=1000)
    assert price.largest_bucket == round(2.0 * math.log(1001)) == 14
    assert price.rows() == 2 + (14 + 1 + 14)


FEATURE_RULES = [
    (
        'kind = "bag"',
        r"feature 'x': kind must be one of .*'hash'.*'vocabulary'.*\. Received: 'bag'",
    ),
    ("kind = [1]", r"feature 'x': kind must be one of .*Received: \[1\]"),
    (
        'kind = "vocabulary"\nsize = 3',
        r"feature 'x': size has no meaning for kind 'vocabulary'\. Received: 3",
    ),
    ('kind = "vocabulary"\nbuckets = 3', r"buckets has no meaning for kind 'vocabulary'"),
    ('kind = "vocabulary"\nscale = 3.0', r"scale has no meaning for kind 'vocabulary'"),
    ('kind = "vocabulary"\nmax_abs = 3.0', r"max_abs has no meaning for kind 'vocabulary'"),
    (
        'kind = "hash"\nbuckets = 3\nmin_count = 2',
        r"min_count has no meaning for kind 'hash'\. Received: 2",
    ),
    (
        'kind = "integer"\nsize = 3\ndtype = "int64"',
        r"dtype has no meaning for kind 'integer'\. Received: 'int64'",
    ),
    ('kind = "log_round"\nbuckets = 3', r"buckets has no meaning for kind 'log_round'"),
    (
        'kind = "vocabulary"\ndtype = "float32"',
        r"dtype must be 'string' or 'int64'\. Received: 'float32'",
    ),
    (
        'kind = "vocabulary"\nmin_count = 0',
        r"min_count must be an integer, 1 or more\. Received: 0",
    ),
    (
        'kind = "vocabulary"\nmin_count = true',
        r"min_count must be an integer, 1 or more\. Received: True",
    ),
    (
        'kind = "vocabulary"\nmax_length = -1',
        r"max_length must be an integer, 0 or more\. Received: -1",
    ),
    (
        'kind = "vocabulary"\nmax_length = 1.5',
        r"max_length must be an integer, 0 or more\. Received: 1\.5",
    ),
    (
        'kind = "vocabulary"\nmax_length = 10001',
        r"max_length must be 10,000 or less\. Received: 10001",
    ),
    (
        'kind = "integer"\nsize = 2147483646',
        r"size must be 2,147,483,645 or less\. Received: 2147483646",
    ),
    (
        'kind = "hash"\nbuckets = 18446744073709551616',
        r"buckets must be 2,147,483,645 or less\. Received: 18446744073709551616",
    ),
    (
        'kind = "log_round"\nscale = 1e6',
        r"scale must make at most 16,777,216 buckets up to max_abs\. Received: 1000000\.0",
    ),
    (
        'kind = "log_round"\nscale = 1.7e308\nmax_abs = 1e300',
        r"scale must make at most 16,777,216 buckets up to max_abs\. Received: 1\.7e\+308",
    ),
    ('kind = "integer"', r"size must be an integer, 1 or more\. Received: 0"),
    ('kind = "hash"', r"buckets must be an integer, 1 or more\. Received: 0"),
    ('kind = "log_round"\nscale = 0.0', r"scale must be a positive number\. Received: 0\.0"),
    ('kind = "log_round"\nscale = "4"', r"scale must be a positive number\. Received: '4'"),
    ('kind = "log_round"\nmax_abs = inf', r"max_abs must be a positive number\. Received: inf"),
    ('kind = "log_round"\nmax_abs = nan', r"max_abs must be a positive number\. Received: nan"),
    (
        'kind = "vocabulary"\npooling = "sum"',
        r"pooling needs max_length > 0 \(a list\)\. Received: 'sum'",
    ),
    (
        'kind = "vocabulary"\nweights = "w"',
        r"weights needs max_length > 0 \(a list\)\. Received: 'w'",
    ),
    (
        'kind = "vocabulary"\nseparator = ";"',
        r"separator needs max_length > 0 \(a list\)\. Received: ';'",
    ),
    (
        'kind = "vocabulary"\nmax_length = 2\npooling = "max"',
        r"pooling must be 'sum' or 'mean'\. Received: 'max'",
    ),
    (
        'kind = "vocabulary"\nmax_length = 2\nseparator = "||"',
        r"separator must be one character\. Received: '\|\|'",
    ),
    ('kind = "vocabulary"\ncolumn = 3', r"feature 'x': column must be a string\. Received: 3"),
    (
        'kind = "vocabulary"\nmincount = 3',
        r"feature 'x': mincount is not a key; known are name, kind",
    ),
    ('kind = "quantile"\nbuckets = 1', r"buckets must be an integer, 2 or more\. Received: 1"),
    ('kind = "quantile"\nbuckets = 10001', r"buckets must be 10,000 or less\. Received: 10001"),
    ('kind = "quantile"\nscale = 2.0', r"scale has no meaning for kind 'quantile'"),
    ("column = 'x'", r"feature 'x': kind is required"),
]

TASK_RULES = [
    ("weight = -1", r"task 'buy': weight must be a number, 0 or more\. Received: -1"),
    ("weight = true", r"task 'buy': weight must be a number, 0 or more\. Received: True"),
    ("weight = inf", r"task 'buy': weight must be a number, 0 or more\. Received: inf"),
    (
        "weigth = 1",
        r"task 'buy': weigth is not a key; known are .*truth, via, kind\. Received: 1",
    ),
    (
        'negative = ["0", "NA"]\nmay_be_unknown = true',
        r"task 'buy': may_be_unknown has no meaning where .* Received: \['NA'\]",
    ),
    ('when = "past"', r"task 'buy': when must be one of \['', 'present'\]\. Received: 'past'"),
    ("positive = [1]", r"task 'buy': positive must be a sequence of str\. Received: \[1\]"),
    (
        'positive = ["y"]\nwhen = "present"',
        r"task 'buy': positive has no meaning beside `when`\. Received: \('y',\)",
    ),
    (
        'positive = ["y"]\nnegative = ["n", "y"]',
        r"task 'buy': negative must not name a text of `positive`\. Received: \['y'\]",
    ),
    ('via = "buy"', r"task 'buy': via must not read the column of task 'buy': column"),
    ("via = 1", r"task 'buy': via must be a sequence of str\. Received: 1"),
    ('via = ["cart", ""]', r"task 'buy': via must hold names of columns, none of them empty"),
    ('via = ["cart", "cart"]', r"task 'buy': via must not read the column of task 'buy': via"),
    ("truth = 1", r"task 'buy': truth must be a string\. Received: 1"),
    (
        'column = "click"',
        r"task 'buy': column must not read the column of task 'click': column\. Received: 'click'",
    ),
    ('truth = "buy"', r"task 'buy': truth must not read the column of task 'buy': column"),
    (
        'truth = "user"',
        r"feature 'user': column must not be a target \(task 'buy': truth\).*answer.*'user'",
    ),
    ('column = "user"', r"feature 'user': column must not be a target \(task 'buy': column\)"),
    ('[[tasks]]\nname = "buy"\ncolumn = "b"', r"task 'buy': name must be given once\. Received: 2"),
    (
        '[[tasks]]\nname = "3"',
        r"tasks\.name must be letters, digits and underscores.*Received: '3'",
    ),
    ('[[tasks]]\ncolumn = "b"', r"tasks\[2\]: name is required"),
]

LIST_TWICE = """
[[features]]
name = "a"
kind = "hash"
buckets = 3
column = "x"
[[features]]
name = "b"
kind = "vocabulary"
column = "x"
max_length = 2
"""

WEIGHTS_LEAK = """
[[features]]
name = "a"
kind = "hash"
buckets = 3
max_length = 2
weights = "click"
"""

VOCABULARY_A = '[[features]]\nname = "a"\nkind = "vocabulary"\n'
HALF_OF_ALL = '[[features]]\nname = "{}"\nkind = "integer"\nsize = 1073741822\n'
TOP_RULES = [
    (
        document(top='name = "a shop"'),
        r"name must be letters, digits and underscores.*Received: 'a shop'",
    ),
    (document(top="name = 3"), r"name must be letters, digits and underscores.*Received: 3"),
    (document(top=""), r"the top level: name is required"),
    (
        document(top='name = "shop"\nowner = "me"'),
        r"the top level: owner is not a key; known are .*Received: 'me'",
    ),
    (
        document(top='name = "shop"\ngroup = 1'),
        r"group must be a string\. Received: 1",
    ),
    (
        document(top='name = "shop"\nfeatures = 3', features=""),
        r"features must be written as \[\[features\]\] tables",
    ),
    (
        document(top='name = "shop"\ntasks = ["a"]', tasks=""),
        r"tasks must be written as \[\[tasks\]\] tables.*\['a'\]",
    ),
    (document(features=""), r"features must hold at least one feature\. Received: 0"),
    (document(tasks=""), r"tasks must hold the funnel, one step or more\. Received: 0"),
    (document(top='name = "shop"\norder = "mend"'), r"order must be one of .*'repair'.*'mend'"),
    (document(top='name = "shop"\nmissing = "NA"'), r"missing must be a sequence of str.*'NA'"),
    (document(top='name = "shop"\ndelimiter = ";;"'), r"delimiter must be one character.*';;'"),
    (document(top='name = "shop"\nquote = ";;"'), r"quote must be one character.*';;'"),
    (
        document(features='[[features]]\nname = "x-y"\nkind = "hash"\nbuckets = 1'),
        r"features\.name must .*'x-y'",
    ),
    (
        document(features='[[features]]\nname = "a"\nkind = "hash"\nbuckets = 1\n' * 2),
        r"feature 'a': name must be given",
    ),
    (
        document(features='[[features]]\nname = "A"\nkind = "vocabulary"\n' + VOCABULARY_A),
        r"feature 'a': name must differ from 'A' in more than case",
    ),
    (
        document(features="".join(HALF_OF_ALL.format(name) for name in "ab")),
        r"feature 'a': size must leave the embedding table 2,147,483,647 rows in all, not 2,147,48",
    ),
    (
        document(top='name = "shop"\nsample_weight = "buy"'),
        r"sample_weight must not read the column of task 'buy'",
    ),
    (
        document(top='name = "shop"\nsample_weight = "user"'),
        r"feature 'user': column must not .*\(sample_weight\)",
    ),
    (
        document(top='name = "shop"\ngroup = "click"'),
        r"group must not be the column of task 'click': column",
    ),
    (
        document(top='name = "shop"\ntime = "buy"'),
        r"time must not be the column of task 'buy': column\. .*'buy'",
    ),
    (
        document(features=LIST_TWICE),
        r"feature 'b': column 'x' is read by 'a' too, so max_length must agree",
    ),
    (
        document(features=WEIGHTS_LEAK),
        r"feature 'a': column must not be a target \(task 'click': column\)",
    ),
]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *[(with_feature(body), message) for body, message in FEATURE_RULES],
        *[(with_task(body), message) for body, message in TASK_RULES],
        *TOP_RULES,
    ],
)
def test_a_broken_rule_names_file_key_rule_and_value(
    tmp_path: pathlib.Path, text: str, message: str
) -> None:
    with pytest.raises(SchemaError, match=rf"schema\.toml: (?s:.*){message}") as from_file:
        load(tmp_path, text)
    path = tmp_path / "schema.toml"
    with pytest.raises(SchemaError) as from_dict:
        schema_toml.parse(tomllib.loads(text), where=str(path))
    assert str(from_dict.value) == str(from_file.value)


def test_the_classes_check_themselves() -> None:
    with pytest.raises(SchemaError, match=r"column 'x': dtype must be one of .*'int32'"):
        Column(name="x", dtype="int32")  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match=r"column 'x': max_length must be an integer, 0 or more"):
        Column(name="x", dtype="string", max_length=-1)
    with pytest.raises(SchemaError, match=r"column 'x': separator must be one character"):
        Column(name="x", dtype="string", separator="")
    with pytest.raises(SchemaError, match=r"feature 'x': weights must be a string\. Received: 3"):
        Feature(name="x", kind="vocabulary", max_length=2, weights=3)  # type: ignore[arg-type]
    tasks = (Task(name="click"), Task(name="buy"))
    with pytest.raises(SchemaError, match=r"features must be a sequence of Feature\. Received"):
        Schema(name="shop", features=({"name": "x"},), tasks=tasks)  # type: ignore[arg-type]
    feature = Feature(name="x", kind="vocabulary")
    schema = Schema(name="shop", features=[feature], tasks=list(tasks))  # type: ignore[arg-type]
    assert schema == Schema(name="shop", features=(feature,), tasks=tasks)


@pytest.mark.parametrize(
    "text", [document(), with_feature('kind = "vocabulary"'), with_task("weight = 0")]
)
def test_the_fragments_around_the_broken_rules_are_sound(tmp_path: pathlib.Path, text: str) -> None:
    assert len(load(tmp_path, text).tasks) == 2

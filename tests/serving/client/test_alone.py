"""The client on a machine that has grpcio, protobuf and NumPy, and nothing else."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import numpy as np
from fake_server import Fake
from signature_infos import tensor_infos

from tafe_tf.schema import MISSING_TEXTS
from tafe_tf.serving.client import Client, arrow_columns, columns

TESTS = pathlib.Path(__file__).resolve().parents[2]
SHOP = columns.types(tensor_infos(user="string", item="int64", price="float32", tags="strings"))

ASK = """
import json
import sys

import without_tensorflow

without_tensorflow.hide("tensorflow", "tensorflow_serving", "pyarrow", "absl", "pandas")

import numpy as np
from tafe_tf.serving.client import Client, ServingError

with Client(sys.argv[1], "shop", rows_per_request=4) as client:
    outputs = client.predict({"item": np.arange(-3, 7)})
    said = []
    for column in ([1, 2], (1, 2), np.array([1, 2], np.int8), [1.0, None]):
        try:
            said.append(client.predict({"item": column})["twice"].tolist())
        except ServingError as error:
            said.append(str(error))
    unseen = client.seen({"item": np.arange(20)}).unseen
found = {name: array.tobytes().hex() for name, array in outputs.items()}
print(json.dumps([found, said, unseen]))
"""


def test_the_client_needs_neither_tensorflow_nor_pyarrow(fake: Fake, address: str) -> None:
    item = {"name": "item", "column": "item", "separator": "|"}
    field = {"name": "item", "missing": 0.0, "unseen": 0.25}
    fake.description = {"inputs": [item], "missing": list(MISSING_TEXTS), "fields": [field]}
    done = subprocess.run(
        [sys.executable, "-c", ASK, address], cwd=TESTS, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found, said, unseen = json.loads(done.stdout)
    with Client(address, "shop", rows_per_request=4) as client:
        outputs = client.predict({"item": np.arange(-3, 7)})
        assert unseen == client.seen({"item": np.arange(20)}).unseen
    assert found == {name: array.tobytes().hex() for name, array in outputs.items()}
    assert said[:3] == [[2.0, 4.0]] * 3
    assert said[3].startswith(
        "FAILED_PRECONDITION: column 'item' has to be converted, which takes pyarrow: "
        "`pip install pyarrow`, or give a NumPy array"
    )


def test_what_needs_no_pyarrow_is_what_pyarrow_makes_of_it() -> None:
    """Drawn columns, texts that mean missing values among them, by both ways."""
    chance = np.random.default_rng(18)
    texts = np.array(["a", "Köln", "", "nan", "7", "2024-01-01", *MISSING_TEXTS], object)
    for _ in range(50):
        rows = int(chance.integers(1, 30))
        given = {
            "user": chance.choice(texts, rows),
            "item": chance.integers(-5, 2**60, rows),
            "price": chance.choice([1.5, -0.0, np.nan, 1e30], rows).astype(np.float32),
            "tags": chance.choice(texts, (rows, int(chance.integers(1, 4)))),
        }
        found, _ = columns.to_arrays(given, SHOP, "")
        for name, wanted in SHOP.items():
            expected = arrow_columns.to_array(
                name, given[name], wanted, SHOP.missing, columns.no_check
            )
            assert found[name].dtype == expected.dtype
            np.testing.assert_array_equal(found[name], expected)


def test_missing_texts_that_are_numbers_go_by_pyarrow() -> None:
    inputs = columns.Types(SHOP)
    inputs.missing = ("-999",)
    given = {"user": ["-999"], "item": np.array([-999]), "tags": [["a"]]}
    given["price"] = np.array([-999.0], np.float32)
    found, _ = columns.to_arrays(given, inputs, "")
    assert (found["user"][0], found["item"][0]) == ("", -1) and np.isnan(found["price"][0])

"""What the gate says of an export that describes itself wrongly."""

from __future__ import annotations

import json
import types
from typing import Any

import numpy as np
import pytest

from tafe_tf.export import field_shares
from tafe_tf.export.errors import ExportError


class Served:
    """A model with one input, `item`, and one field."""

    def __init__(self, names: list[str], **changes: np.ndarray) -> None:
        taken = types.SimpleNamespace(inputs={"item": None})
        self.signatures = dict.fromkeys(("serving_default", "fields", "describe"), taken)
        self.described = {
            "inputs": [{"name": name} for name in names],
            "fields": [{"name": "item"}],
        }
        one, none = np.ones((3, 1), np.float32), np.zeros((3, 1), np.float32)
        self.fields = {"values": one, "missing": none, "unseen": none, **changes}

    def __call__(self, inputs: Any, signature: str) -> dict[str, Any]:
        if signature == "describe":
            return {"description": np.array([json.dumps(self.described).encode()], object)}
        return self.fields


ROWS = {"item": np.array([1, 2, 3])}
NAN = np.full((3, 1), np.nan, np.float32)


def test_what_fits_passes() -> None:
    field_shares.check(Served(["item"]), ROWS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("served", "error"),
    [
        (Served(["Item No"]), r"describe names the inputs \['Item No'\], .* takes \['item'\]"),
        (Served(["item"], unseen=np.zeros((3, 2))), r"output unseen: has shape \(3, 2\) for"),
        (Served(["item"], unseen=np.full((3, 1), 1.5)), "output unseen: must be .* Received: 1.5"),
        (Served(["item"], missing=NAN), "output missing: must be .* Received: nan"),
        (Served(["item"], values=np.zeros((3, 1))), "output values: must be .* Received: 0.0"),
    ],
)
def test_what_does_not_fit_is_named(served: Any, error: str) -> None:
    with pytest.raises(ExportError, match=error):
        field_shares.check(served, ROWS)

"""The values of an export's fields in some rows: which are missing or unseen, beside training."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tafe_tf.data.field_counts import FieldCounts, training_shares
from tafe_tf.export import warmup
from tafe_tf.export.description import FIELDS_SIGNATURE, ask
from tafe_tf.export.errors import ExportError
from tafe_tf.export.session_model import DEFAULT_SIGNATURE, SessionModel
from tafe_tf.terminal.field_shares import print_field_table


def names_of_fields(described: Mapping[str, Any]) -> list[str]:
    """The names of the fields of a description, in the order of the signature `fields`."""
    return [field["name"] for field in described["fields"]]


def warmup_counts(served: SessionModel) -> FieldCounts | None:
    """Counts the values of the largest warm-up request, which is made of held-out rows.

    Args:
        served: The loaded export.

    Returns:
        The counts; None if the export has no such request or no signature `fields`, which exports
        did not always have.
    """
    described = ask(served)
    inputs = _warmup_inputs(served)
    if described is None or not inputs:
        return None
    counts = FieldCounts(names_of_fields(described))
    counts.add_rows(**served(inputs, FIELDS_SIGNATURE))
    return counts


def print_warmup(path: pathlib.Path) -> None:
    """Prints the shares of the warm-up rows beside those of training.

    Args:
        path: The export; nothing is printed where `warmup_counts` is None.
    """
    with contextlib.closing(SessionModel(path)) as served:
        counts = warmup_counts(served)
        described = ask(served)
        inputs = _warmup_inputs(served)
    if counts is not None and described is not None:
        rows = len(next(iter(inputs.values())))
        print_field_table(counts, training_shares(described), f"values of {rows} warm-up rows")


def _warmup_inputs(served: SessionModel) -> dict[str, np.ndarray]:
    """The inputs of the largest warm-up request of `fields`; none if there is none."""
    inputs: dict[str, np.ndarray] = {}
    for request in warmup.read(served.path):
        if request.model_spec.signature_name == FIELDS_SIGNATURE:
            inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
    return inputs


def check(served: SessionModel, inputs: Mapping[str, np.ndarray]) -> None:
    """Checks what an export says of itself; one without `describe` and `fields` says nothing.

    Args:
        served: The loaded export.
        inputs: Rows as `serving_default` takes them, [B, ...] each.

    Raises:
        ExportError: If the description does not fit the signatures, or a share is none.
    """
    described = ask(served)
    if described is None or FIELDS_SIGNATURE not in served.signatures:
        return
    names = sorted(column["name"] for column in described["inputs"])
    taken = sorted(served.signatures[DEFAULT_SIGNATURE].inputs)
    if names != taken:
        raise ExportError(f"describe names the inputs {names}, and the model takes {taken}")
    count = len(next(iter(inputs.values())))
    shape = (count, len(described["fields"]))
    for name, values in served(inputs, FIELDS_SIGNATURE).items():
        if values.shape != shape:
            raise ExportError(f"fields, output {name}: has shape {values.shape} for {shape}")
        is_possible = values >= 1.0 if name == "values" else (values >= 0.0) & (values <= 1.0)
        if not np.all(is_possible):
            wrong = values[~is_possible][0]
            raise ExportError(
                f"fields, output {name}: must be a number of values or a share. Received: {wrong}"
            )

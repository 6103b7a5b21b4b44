"""What is computed of rows: with which model, which of its outputs, and beside which columns."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

from tafe_tf import schema_toml
from tafe_tf.data.atomic import read_json
from tafe_tf.data.bad_rows import Policy
from tafe_tf.data.errors import DataError
from tafe_tf.data.field_counts import training_shares
from tafe_tf.export import manifest, model_card, operations
from tafe_tf.export.description import FIELDS_SIGNATURE
from tafe_tf.export.errors import ExportError
from tafe_tf.export.session_model import DEFAULT_SIGNATURE
from tafe_tf.export.versions import SCHEMA_FILE
from tafe_tf.native.library import MODES, Mode
from tafe_tf.schema import RANKS, Schema
from tafe_tf.storage.addresses import named
from tafe_tf.storage.staging import stage


class JobError(ValueError):
    """A job cannot be done as it is asked for; the message says what to change."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What to compute of rows.

    Attributes:
        model: The absolute path of an exported version, or its URI. Each process brings a copy of
            one in a store to its machine.
        keys: Names of the input's columns that are given beside the scores, none by default.
        signature: The signature to ask, one that takes raw columns; "serving_default" by default,
            which gives every probability.
        batch_size: Rows that the model scores at a time, 1024 by default.
        on_bad_row: "raise" (the default) to stop at a bad row, "drop" to leave it out.
        native: Whether the native kernel computes in place of the layers, see `SessionModel`; by
            default where it was built and applies.

    Raises:
        JobError: If one of these breaks its rule.
        OSError: If the model lacks a file.
    """

    model: str
    keys: tuple[str, ...] = ()
    signature: str = DEFAULT_SIGNATURE
    batch_size: int = 1024
    on_bad_row: Policy = "raise"
    native: Mode = "auto"

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise JobError(f"batch_size must be 1 or more. Received: {self.batch_size}")
        if self.on_bad_row not in ("raise", "drop"):
            raise JobError(f"on_bad_row must be 'raise' or 'drop'. Received: {self.on_bad_row!r}")
        if self.native not in MODES:
            raise JobError(f"native must be 'auto', 'on' or 'off'. Received: {self.native!r}")

    @functools.cached_property
    def schema(self) -> Schema:
        """The schema that the model was trained with."""
        return schema_toml.load(on_this_machine(self.model) / SCHEMA_FILE)

    @functools.cached_property
    def outputs(self) -> tuple[str, ...]:
        """The names of the signature's outputs, in the funnel's order."""
        inputs = {column.input for column in self.schema.served_inputs}
        scoring: dict[str, set[str]] = {}  # signatures that score rows of columns
        for name, definition in _signature_defs(self.model).items():
            if set(definition.inputs) == inputs and name not in RANKS:
                scoring[name] = set(definition.outputs)
        if self.signature not in scoring:
            names = ", ".join(sorted(scoring))
            raise JobError(
                f"{self.model}: signature {self.signature!r} scores no rows of columns; "
                f"these do: {names}"
            )
        found = scoring[self.signature]
        order = self.schema.output_names
        in_order = [name for name in order if name in found]
        others = sorted(found - set(order))
        return (*in_order, *others)

    @functools.cached_property
    def tells_fields(self) -> bool:
        """Whether the model tells which values of rows it knows; exports did not always."""
        return FIELDS_SIGNATURE in _signature_defs(self.model)

    @functools.cached_property
    def training_shares(self) -> dict[str, dict[str, float]]:
        """The shares of missing and of unseen values in training, by field, as far as known."""
        card = on_this_machine(self.model) / model_card.FILE
        described = read_json(card) if card.exists() else {}
        return training_shares({"fields": [], **described})

    @functools.cached_property
    def fingerprint(self) -> str:
        """What distinguishes the model from any other, see `manifest.identity`."""
        return manifest.identity(on_this_machine(self.model))


@functools.lru_cache(maxsize=8)
def on_this_machine(model: str) -> pathlib.Path:
    """Where the files of a version are; those of one in a store are brought here, once a process.

    Raises:
        StoreError: If the store cannot be read.
    """
    return stage(model)


def _signature_defs(model: str) -> Mapping[str, Any]:
    """The model's `SignatureDef`s by name, read without loading the model."""
    try:
        saved = operations.read_graph(on_this_machine(model))
    except ExportError as error:
        raise JobError(str(error)) from None
    return saved.meta_graphs[0].signature_def


def check_model(model: str) -> str:
    """Finds that a model is what was published, and holds no operation but computations.

    Args:
        model: The path or URI of its version.

    Returns:
        What was found, a line.

    Raises:
        JobError: In one line, if a file is another one, or the graph does more than compute.
    """
    try:
        found = manifest.check(on_this_machine(model))
        operations.check(on_this_machine(model))
    except (DataError, ExportError) as error:
        raise JobError(named(str(error))) from None
    return found

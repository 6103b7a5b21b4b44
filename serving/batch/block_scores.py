"""The scores of a block of rows, by a model that each process loads once."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping
from concurrent.futures import Executor

import numpy as np

from tafe_tf.data.blocks.block import Block
from tafe_tf.data.field_counts import FieldCounts
from tafe_tf.export import kernel_check, manifest
from tafe_tf.export.description import FIELDS_SIGNATURE
from tafe_tf.export.session_model import SessionModel
from tafe_tf.export.signature_inputs import by_input
from tafe_tf.native.library import Mode
from tafe_tf.serving.batch.settings import JobError, Settings, on_this_machine

CHECKED_ROWS = 64  # of each block, which are computed by the kernel and without it
_LOADING = threading.Lock()  # threads of one worker wait for the first to load the model


def loaded(settings: Settings) -> SessionModel:
    """The model, which a process loads when it is first asked for; it keeps the last one.

    It is asked on all cores at once, each with a batch of its own.

    Raises:
        JobError: If another model lies there than where the job was started.
        ValueError: If the native kernel must be used and cannot.
    """
    with _LOADING:
        return _load(settings.model, settings.fingerprint, settings.native)


def forget() -> None:
    """Frees the model that this process has loaded, once nobody computes by it."""
    with _LOADING:
        _load.cache_clear()


@functools.lru_cache(maxsize=1)
def _load(model: str, fingerprint: str, native: Mode) -> SessionModel:
    found = manifest.identity(on_this_machine(model))
    if found != fingerprint:
        raise JobError(
            f"{model}: holds another model on this worker than where the job was started "
            f"({found} and not {fingerprint}); give all workers the same files"
        )
    return SessionModel(model, native=native, native_threads=1)


def score_block(
    model: SessionModel,
    settings: Settings,
    block: Block,
    workers: Executor,
    counts_fields: bool = True,
) -> tuple[dict[str, np.ndarray], FieldCounts | None]:
    """The scores of a block's n rows.

    Args:
        model: The model, see `loaded`.
        settings: What to compute.
        block: The rows.
        workers: Threads that compute a batch each.
        counts_fields: Whether the values of the rows' fields are counted too. Default: True.

    Returns:
        Each output by name, float32 [n]; and the values of the rows' fields, or None if they are
        not to be counted or the model does not tell them.

    Raises:
        ExportError: If the native kernel does not compute what the model's own operations do.
    """
    count = len(block.row)
    tells_fields = counts_fields and settings.tells_fields
    fields = FieldCounts([feature.name for feature in settings.schema.counted_features])
    scores = {name: np.empty(count, np.float32) for name in settings.outputs}

    def score_batch(start: int) -> Mapping[str, np.ndarray]:
        rows = slice(start, start + settings.batch_size)
        inputs = _inputs(settings, block, rows)
        for name, values in model(inputs, settings.signature).items():
            scores[name][rows] = values
        return model(inputs, FIELDS_SIGNATURE) if tells_fields else {}

    if count and settings.signature in model.native_signatures:
        first = _inputs(settings, block, slice(CHECKED_ROWS))
        kernel_check.check(model, settings.signature, first)
    for shares in workers.map(score_batch, range(0, count, settings.batch_size)):
        if tells_fields:
            fields.add_rows(**shares)
    return scores, fields if tells_fields else None


def _inputs(settings: Settings, block: Block, rows: slice) -> dict[str, np.ndarray]:
    """Some rows of a block as the model's inputs."""
    columns = {name: values[rows] for name, values in block.columns.items()}
    return by_input(settings.schema, columns)

"""Permutation importance of a run's fields, as a function."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from tafe_tf.data.atomic import write_json
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.insight.importance import fields as of_model
from tafe_tf.insight.importance import held_rows
from tafe_tf.insight.importance.measure import REPEATS, Importance, measure
from tafe_tf.terminal.progress import Progress
from tafe_tf.training.noted_files import IMPORTANCE
from tafe_tf.training.noted_rows import EVALUATION_ROWS
from tafe_tf.training.run import Run

SAMPLE = 100_000  # rows


def importance(
    run: Run,
    rows: Any = None,
    *,
    fields: Sequence[str] = (),
    sample: int = SAMPLE,
    repeats: int = REPEATS,
    batch_size: int = EVALUATION_ROWS,
    verbose: bool = True,
    **settings: Any,
) -> Importance:
    """Measures how much a run's model loses when each field's values change places among rows.

    That of all fields on the run's own test rows, as they were in training, also goes into
    `<run_dir>/importance.json`.

    Args:
        run: The run.
        rows: Rows with labels, as `Run.evaluate` takes them. Default: None, the run's test rows.
        fields: Names of fields, or of several with "+" between them, which are permuted together.
            Default: none, which is each field by itself.
        sample: At most so many rows are taken, drawn by hashes of their places; 0 for all of them.
            They are held in memory as the model's inputs. Default: 100,000.
        repeats: Number of permutations of each field, 1 or more. Default: 5.
        batch_size: Number of rows that go through the model together. The default is 4,096.
        verbose: Whether to say how many rows are held. The default is True.
        **settings: Further arguments of `Run.data`, such as `bad_rows`.

    Raises:
        DataError: On a bad row, or if there is none.
        LockError: If another process writes in the run's directory.
        ValueError: If a field is not there, or a number is out of range.

    Example:
        run = tafe_tf.load("runs/shop")
        first = run.importance().fields[0]
        print(first.field, first.output, first.auc_drop, first.interval)
    """
    for name, value, least in (("sample", sample, 0), ("repeats", repeats, 1)):
        if value < least:
            raise ValueError(f"`{name}` must be {least} or more. Received: {value}")
    chosen = of_model.chosen(of_model.fields_of(run.features), fields)
    is_kept = False
    if rows is None:
        rows = run.directory.rows.test_files()
        settings.setdefault("now", run.directory.rows.now)
        is_test = run.directory.rows.is_test(rows)
        is_kept = is_test and not fields
        if not is_test and verbose:
            print(
                "these are not the test rows of training: "
                f"{run.directory}/{IMPORTANCE} stays as it was"
            )
    data = run.data(rows, batch_size, **settings)
    # Locked before the work, which would be lost if it could not be kept.
    with run.directory.locked() if is_kept else contextlib.nullcontext():
        found = _measured(run, data, chosen, sample, repeats, batch_size, verbose)
        if is_kept:
            _keep(run, found)
    return found


def _measured(
    run: Run,
    data: FunnelData,
    chosen: Sequence[of_model.Field],
    sample: int,
    repeats: int,
    batch_size: int,
    verbose: bool,
) -> Importance:
    """Holds the rows and measures."""
    held = held_rows.read(data, run.features, sample)
    if verbose:
        size = f"{held.bytes / 2**20:,.0f} MiB"
        print(f"{held.count:,} rows are held, {size}; {repeats} permutations a field", flush=True)
    passes = 1 + len(chosen) * repeats
    with Progress("importance", passes, unit="passes") as progress:
        return measure(
            held,
            held_rows.predictor(run.model, len(run.schema.tasks), batch_size),
            chosen,
            run.schema,
            repeats,
            lambda count: progress.advance(1, count),
        )


def _keep(run: Run, found: Importance) -> None:
    """Writes what was found into the run's directory, which is locked."""
    run.directory.files.forget(IMPORTANCE)
    write_json(run.path / IMPORTANCE, found.as_json())
    run.directory.files.note(IMPORTANCE)
    run.directory.send()

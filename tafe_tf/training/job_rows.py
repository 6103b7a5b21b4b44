"""The rows of a job: kept, split into training and validation, and counted before a step."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tafe_tf.data.atomic import read_json
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.batches.holdout import Holdout, time_holdout
from tafe_tf.data.batches.times import judged_at
from tafe_tf.distributed.cluster import Cluster
from tafe_tf.features import vocabulary
from tafe_tf.storage.addresses import absolute, parent_of
from tafe_tf.training.config import TrainingConfig
from tafe_tf.training.data_config import DataConfig, Rows
from tafe_tf.training.errors import RunError
from tafe_tf.training.evaluator import check_monitor
from tafe_tf.training.run_dir import RunDir
from tafe_tf.training.warm_start import WarmStart

# The first file that is made from the rows of a split. Until then rows may be replaced, so that the
# same call goes on once a bad row is mended.
_MADE_FROM = {"train": "statistics.json", "valid": "history.json", "test": "metrics.json"}


def check_held_out(data: DataConfig, config: TrainingConfig) -> None:
    """Refuses a way of holding rows out, or a metric of them, that the schema has not.

    Args:
        data: The rows and their schema.
        config: Its `valid_split`, `valid_fraction`, `validate_steps` and `monitor` count.

    Raises:
        RunError: If the latest rows or whole groups are to be held out, and no column tells them,
            or if there is validation within an epoch, and no row for it.
        ValueError: If no evaluation gives the metric.
    """
    columns = {"time": data.schema.time, "group": data.schema.group}
    for name, column in columns.items():
        is_needed = name in config.valid_split.split("_")
        if config.valid_fraction and is_needed and not column:
            split_by = config.valid_split
            raise RunError(f"--valid_split={split_by} needs a schema with a `{name}` column")
    if config.validate_steps and not is_validated(config, data):
        rule = "needs validation rows: valid files, or --valid_fraction above 0"
        raise RunError(f"--validate_steps {rule}. Received: {config.validate_steps}")
    check_monitor(config.monitor, data.schema)


def is_validated(config: TrainingConfig, data: DataConfig) -> bool:
    """Whether there are rows to validate on."""
    has_valid = isinstance(data.valid, pa.Table) or len(data.valid) > 0
    return has_valid or config.valid_fraction > 0


def named(rows: Rows) -> str:
    """Some rows as a run's settings name them, by the paths of their files."""
    if isinstance(rows, pa.Table):
        return "rows in memory"
    return ",".join(absolute(path) for path in rows)


def keep_rows(run: RunDir, data: DataConfig) -> DataConfig:
    """The same data with files only: tables in memory go into the run directory, as Parquet.

    Raises:
        RunError: If other rows lie there.
    """
    files: dict[str, Any] = {}
    for name, rows in data.splits():
        if isinstance(rows, pa.Table):
            path = run.path / "rows" / f"{name}.parquet"
            is_used = (run.path / _MADE_FROM[name]).exists()
            run.keep_table(path, rows, is_used)
            files[name] = (run.send_file(path),)
    return dataclasses.replace(data, **files)


def split(
    data: DataConfig,
    config: TrainingConfig,
    cluster: Cluster,
    bad_rows: BadRows,
) -> tuple[FunnelData, FunnelData]:
    """Training and validation rows.

    The latter are the validation files if there are any, and otherwise a part of the training
    files.
    """
    # Who reads the labels counts the bad rows.
    uncounted = BadRows(config.on_bad_row, config.max_bad_rows)
    now = judged_at(config.now, data.schema, data.files(), uncounted)
    training = FunnelData(
        files=list(data.train),
        schema=data.schema,
        batch_size=config.batch_size,
        seed=config.seed,
        shuffle_rows=config.shuffle_rows,
        readers=config.readers or cluster.workers,
        bad_rows=bad_rows,
        beside=list(data.train),  # validation and test rows may lack a rare column
        keep_negatives=config.keep_negatives,
        now=now,
        gives_ages=config.delay_loss != "none",
    )
    if data.valid:
        everything = Holdout(fraction=1.0)
        return training, dataclasses.replace(
            training,
            files=list(data.valid),
            holdout=everything,
        )
    fraction = config.valid_fraction
    holdout = Holdout(fraction=fraction)
    if fraction and config.valid_split in ("time", "group_time"):
        holdout = time_holdout(
            training.files,
            data.schema,
            fraction,
            bad_rows,
        )
    if config.valid_split in ("group", "group_time"):
        holdout = dataclasses.replace(holdout, group=data.schema.group)
    training = dataclasses.replace(training, holdout=holdout)
    return training, training


def prepare(
    run: RunDir,
    rows: FunnelData,
    schema_file: str,
    warm: WarmStart | None = None,
) -> int:
    """Builds the run's vocabularies, or takes those beside the schema.

    Returns:
        The number of rows in the training files.
    """
    statistics = run.path / "statistics.json"
    if warm:
        warm.grow(rows.paths, rows.schema, rows.bad_rows, rows.now)
    elif not statistics.exists():
        beside = parent_of(schema_file)
        # How many labels are known depends on now, which what was counted before does not know.
        may_reuse = bool(schema_file) and rows.now is None
        reused = may_reuse and vocabulary.reuse(
            rows.paths,
            rows.schema,
            beside,
            run.path,
        )
        if not reused:
            vocabulary.build(
                rows.paths,
                rows.schema,
                run.path,
                rows.bad_rows,
                rows.now,
            )
    return int(read_json(statistics)["rows"])


def kept_share(run: RunDir, config: TrainingConfig) -> float:
    """The share of the training rows that `keep_negatives` leaves."""
    statistics = run.statistics()
    left_out = _negatives(statistics) * (1.0 - config.keep_negatives)
    return 1.0 - left_out / max(statistics["rows"], 1)


def check_kept(statistics: Mapping[str, Any], config: TrainingConfig) -> None:
    """Raises RunError if `keep_negatives` leaves so few rows that likely none is left."""
    negatives = _negatives(statistics)
    if negatives and negatives * config.keep_negatives < 1.0:
        rule = f"must leave one or more of the {negatives:,} training rows without the first step"
        raise RunError(f"--keep_negatives {rule}. Received: {config.keep_negatives:g}")


def _negatives(statistics: Mapping[str, Any]) -> int:
    """The number of the training rows that know that the first step did not happen."""
    if "negatives" in statistics:
        return int(statistics["negatives"])
    rate = next(iter(statistics["rate"].values()))  # all rows know it
    return round(statistics["rows"] * (1.0 - rate))

"""What the flags of `tafe_tf.compare` and `tafe_tf.tune` say of all their runs."""

from __future__ import annotations

from tafe_tf import flags
from tafe_tf.comparison.folder import RunsFolder
from tafe_tf.comparison.runs import Shared


def shared() -> Shared:
    """What the flags ask for of all runs.

    Raises:
        CommandError: If --run_dir or the rows are not given.
        DataError: If both --data_dir and --train are given.
        StoreError: If there is no such store as --run_dir names.
    """
    flags.required_with_rows(run_dir=flags.RUN_DIR.value)
    return Shared(
        folder=RunsFolder(flags.RUN_DIR.value),
        settings=flags.as_flagfile(but={"model", "seed", "schema"}),
        sources=flags.sources(),
        schema_file=flags.schema_file(),
        bad_rows=flags.bad_rows(),
    )

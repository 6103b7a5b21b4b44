"""Trains gradient-boosted trees on a funnel, as `tafe compare --models=gbdt` does for each run.

    python -m tafe_tf.gbdt --data_dir=data/shop --run_dir=runs/shop_trees --heads=conditional

The flags of `tafe_tf.train` that say which rows are read, held out and dropped have the same
meaning; the flags of the trees are in `tafe_tf.trees.config`. LightGBM (the extra `gbdt`) grows the
trees, one booster for each step of the funnel. Run the same command again to go on with a run that
was interrupted. The trees are there to be compared with: nothing exports them.
"""

from __future__ import annotations

import os
import sys

from tafe_tf.first_look import start
from tafe_tf.terminal import ending

if __name__ == "__main__":  # TensorFlow takes seconds to import: first what is quickly seen
    ending.end_on_sigterm()
    start.stop_if_wrong(sys.argv)

from absl.flags import adopt_module_key_flags

from tafe_tf import flags, tracking_flags
from tafe_tf.terminal import command
from tafe_tf.training.data_config import DataConfig
from tafe_tf.trees.config import check_installed

adopt_module_key_flags(flags)
adopt_module_key_flags(tracking_flags)


def main(argv: list[str]) -> None:
    """Runs the job; a mistake of the user's ends it with one line and exit code 1."""
    command.only_flags(argv)
    with command.one_line_errors():
        flags.required_with_rows(run_dir=flags.RUN_DIR.value)
        # Threads that spin while they wait take ten times as long where cores are shared. It is
        # read when LightGBM is loaded, which the check does.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        check_installed()
        # Inside the function: LightGBM is an optional dependency.
        from tafe_tf.insight.tracking.job import Tracking
        from tafe_tf.training.run_dir import RunDir
        from tafe_tf.trees.fit import fit_trees

        data = DataConfig.of_sources(flags.sources(), flags.SCHEMA.value)
        fit_trees(
            data,
            flags.RUN_DIR.value,
            trees=flags.trees_config(),
            training=flags.training_config(),
        )
        address = tracking_flags.TRACKING.value
        if address:
            directory = RunDir(flags.RUN_DIR.value)
            Tracking(address, directory, tracking_flags.TRACKING_PARENT.value).finish()


if __name__ == "__main__":
    command.run(main)

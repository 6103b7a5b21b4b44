"""Trains a model on a funnel, evaluates it on the test rows and leaves a run directory.

    python -m tafe_tf.train --flagfile=flagfiles/demo.flags

--data_dir is a directory with files `train`, `valid` and `test`, a directory with files of any
name, or one file; `tafe_tf.draft` writes a first schema. What is wrong with the schema, the files'
columns or their first rows is said at once, before anything is loaded or written.

Run the same command again to go on with a run that was interrupted. A flag on the command line wins
over the flagfile. On several machines the command is the same, with TF_CONFIG in the environment.
--tracking=mlflow:URI tells a tracker of the run; docs/training.md says what.
"""

from __future__ import annotations

import sys
from typing import Any

from tafe_tf.first_look import start
from tafe_tf.terminal import ending

if __name__ == "__main__":  # TensorFlow takes seconds to import: first what is quickly seen
    ending.end_on_sigterm()
    start.stop_if_wrong(sys.argv)

import tensorflow as tf
from absl import logging
from absl.flags import adopt_module_key_flags

from tafe_tf import flags, machine, tracking_flags
from tafe_tf.distributed import cluster as clusters
from tafe_tf.insight.tracking.job import Tracking
from tafe_tf.terminal import command
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.fit import fit
from tafe_tf.training.loop import NotFiniteError
from tafe_tf.training.preemption import Preempted
from tafe_tf.training.run_dir import RunDir

adopt_module_key_flags(flags)
adopt_module_key_flags(tracking_flags)

LOST = 138  # "try again": another process of the job is gone


def main(argv: list[str]) -> None:
    """Runs the job; what the user can mend ends it with one line and exit code 1.

    Exit code 143 says that SIGTERM came and a checkpoint is written, 138 that another process of
    the job is gone. After either, the same command goes on.
    """
    command.only_flags(argv)
    logging.set_verbosity(logging.WARNING)  # TensorFlow notes every checkpoint
    with command.one_line_errors(NotFiniteError):
        try:
            train()
        except Preempted as stop:
            print(f"SIGTERM: {stop}; the same command goes on", file=sys.stderr)
            sys.exit(ending.TERMINATED)
        except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
            lines = [line for line in error.message.splitlines() if " " in line.strip()]
            reason = lines[0] if lines else ""
            print(
                "another process is gone; started again, this one goes on from the checkpoint. "
                + reason,
                file=sys.stderr,
            )
            sys.exit(LOST)


def train() -> None:
    """What `main` does, errors aside."""
    flags.required_with_rows(run_dir=flags.RUN_DIR.value)
    model, training = flags.model_config(), flags.training_config()
    machine.set_threads(training.batch_size)
    machine.keep_freed_memory()
    cluster = clusters.make(flags.STRATEGY.value, flags.TPU.value)
    data = DataConfig.of_sources(flags.sources(), flags.SCHEMA.value)
    settings: dict[str, Any] = {"model": model, "training": training, "cluster": cluster}
    address = tracking_flags.TRACKING.value
    if not address:
        fit(data, flags.RUN_DIR.value, **settings)
        return
    directory = RunDir(flags.RUN_DIR.value)
    tracking = Tracking(address, directory, tracking_flags.TRACKING_PARENT.value)
    with tracking.of_training():
        run = fit(data, flags.RUN_DIR.value, callbacks=[tracking.callback], **settings)
    if cluster.chief:
        tracking.finish(run)


if __name__ == "__main__":
    command.run(main)

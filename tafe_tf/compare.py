"""Trains models side by side, and tests which one is better and by how much.

    python -m tafe_tf.compare --flagfile=flagfiles/steam.flags --run_dir=runs/compare \\
        --models=single_task,mmoe,tafe,tafe/dependence_weight=0 --seeds=5

The flags of `tafe_tf.train` hold for every model, and MODEL/FLAG=VALUE makes a variant of one.
Every model sees the same batches in the same order and stops by the same rule. Run the command
again to resume, or with more models or seeds to add them. The figures go into compare.json,
compare.md and, as a page, compare.html in the run directory, whose folder cells/ holds the runs.
"""

from __future__ import annotations

import sys

from tafe_tf.first_look import start
from tafe_tf.terminal import ending

if __name__ == "__main__":  # TensorFlow takes seconds to import: first what is quickly seen
    ending.end_on_sigterm()
    start.stop_if_wrong(sys.argv)

from absl import flags as absl_flags
from absl.flags import adopt_module_key_flags

from tafe_tf import flags, runs_flags, tracking_flags
from tafe_tf.comparison.folder import RunsFolder
from tafe_tf.comparison.plan import Plan, compare
from tafe_tf.comparison.runs import variants_of
from tafe_tf.data.atomic import read_toml
from tafe_tf.terminal import command

adopt_module_key_flags(flags)
adopt_module_key_flags(tracking_flags)

_MODELS = absl_flags.DEFINE_list(
    "models",
    ["single_task", "shared_bottom", "mmoe", "ple", "aitm", "tafe"],
    "The models to compare, separated by commas: MODEL, or MODEL/FLAG=VALUE/... for a variant.",
)
_SEEDS = absl_flags.DEFINE_integer(
    "seeds",
    5,
    "How many times each model is trained, with the seeds --seed, --seed + 1 and so on.",
    lower_bound=1,
)
_REPLICATES = absl_flags.DEFINE_integer(
    "replicates",
    400,
    "How many bootstrap samples the intervals and p-values are computed from.",
    lower_bound=20,
)
_AGAINST = absl_flags.DEFINE_string(
    "against",
    "",
    "The model that all others are tested against; by default the best one that is not TAFE.",
)
_TUNED = absl_flags.DEFINE_string(
    "tuned",
    "",
    "A run directory of `tafe_tf.tune`, whose MODEL.flags are used for MODEL; by default none.",
)
_PUBLISHED = absl_flags.DEFINE_string(
    "published",
    "",
    "A TOML file with a paper's metrics by model, to be shown beside ours; by default none.",
)


def main(argv: list[str]) -> None:
    """Runs the comparison; a mistake of the user's or a failed run ends it with exit code 1."""
    command.only_flags(argv)
    with command.one_line_errors():
        failed = compare(_plan())
    if failed:
        sys.exit(f"error: {len(failed)} runs failed; run the same command to try them again")


def _plan() -> Plan:
    """What the flags ask for."""
    shared = runs_flags.shared()
    first_seed = flags.training_config().seed
    published = {}
    if _PUBLISHED.value:
        published = read_toml(_PUBLISHED.value)
    tuned = None
    if _TUNED.value:
        tuned = RunsFolder(_TUNED.value)
        tuned.fetch()
    return Plan(
        shared=shared,
        variants=variants_of(_MODELS.value, flags.names()),
        seeds=range(first_seed, first_seed + _SEEDS.value),
        tuned=tuned,
        replicates=_REPLICATES.value,
        against=_AGAINST.value,
        published=published,
        tracking=tracking_flags.TRACKING.value,
    )


if __name__ == "__main__":
    command.run(main)

"""Searches each model's settings, with the same budget for all models.

    python -m tafe_tf.tune --flagfile=flagfiles/steam.flags --run_dir=runs/tuned \\
        --models=mmoe,tafe --trials=12
    python -m tafe_tf.compare --flagfile=flagfiles/steam.flags --run_dir=runs/compare \\
        --models=mmoe,tafe --tuned=runs/tuned

Optuna (the extra `tune`) proposes the settings: by its TPE sampler, or, if --search lists values
for every flag, by trying all combinations. A trial is a training run that is judged by its best
validation score, never by test rows. The first trial of a model has the settings as they are given,
so that a search never ends with settings that are worse by that score. The run directory gets
MODEL.flags, a flagfile with the best trial's settings, and tune.json with all scores; its folder
trials/ holds the runs. Run the command again to resume, or with more --trials to go on. Another
--search needs another directory.
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
from tafe_tf.comparison.runs import Variant, variants_of
from tafe_tf.terminal import command
from tafe_tf.terminal.command import CommandError

adopt_module_key_flags(flags)
adopt_module_key_flags(tracking_flags)

_MODELS = absl_flags.DEFINE_list(
    "models",
    ["single_task", "shared_bottom", "mmoe", "ple", "aitm", "tafe"],
    "The models to tune, separated by commas: MODEL, or MODEL/FLAG=VALUE/... for a variant.",
)
_TRIALS = absl_flags.DEFINE_integer(
    "trials",
    12,
    "How many settings are tried for each model, besides the settings as they are given; fewer if "
    "--search has fewer combinations.",
    lower_bound=1,
)
_SEARCH = absl_flags.DEFINE_list(
    "search",
    ["learning_rate=5e-4:2e-2:log", "dropout=0:0.3"],
    "What to search, separated by commas: FLAG=LOW:HIGH for a range, FLAG=LOW:HIGH:log for a range "
    "on a logarithmic scale, FLAG=A|B|C for a list of values, with flags of `tafe_tf.train` or of "
    "`tafe_tf.gbdt`. A range of a flag with whole numbers has whole numbers. For each model those "
    "are searched that it reads.",
)


def main(argv: list[str]) -> None:
    """Runs the search; a mistake of the user's or a failed trial ends it with exit code 1."""
    command.only_flags(argv)
    with command.one_line_errors():
        try:
            import optuna  # an optional dependency

            from tafe_tf.comparison import search, search_space
        except ModuleNotFoundError:
            raise CommandError("a search needs Optuna: pip install 'tafe_tf[tune]'") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        variants = variants_of(_MODELS.value, flags.names())
        space = search_space.space_from(_SEARCH.value, flags.kinds())
        spaces = {}
        for variant in variants:
            own = search_space.space_of(variant, space, flags.read_by(variant.model))
            spaces[variant.text] = own
            for flag, drawn_from in own.items():
                for text in search_space.ends_of(drawn_from):
                    _check(variant, flag, text)
            unread = [flag for flag in space if flag not in own]
            if unread:
                print(f"{variant.text}: not searched, since it reads none: {', '.join(unread)}")
        settings = search.Search(
            shared=runs_flags.shared(),
            spaces=spaces,
            trials=_TRIALS.value,
            seed=flags.training_config().seed,
            monitor=flags.training_config().monitor,
            tracking=tracking_flags.TRACKING.value,
        )
        search.tune(settings, variants)


def _check(
    variant: Variant,
    flag: str,
    text: str,
) -> None:
    """Refuses a value of a search with which no trial could be trained."""
    try:
        flags.check_value(variant.model, flag, text)
    except ValueError as error:
        raise CommandError(f"--search of {variant.text}: {error}") from None


if __name__ == "__main__":
    command.run(main)

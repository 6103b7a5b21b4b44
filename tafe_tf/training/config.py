"""What a training job is asked for: frozen settings that check themselves.

Each default is written here once. The command line takes names, types, defaults and help texts of
its flags from these classes (`tafe_tf.flags`), and `tafe_tf.fit` takes its keyword arguments from
them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from tafe_tf import models
from tafe_tf.data import bad_row_limit
from tafe_tf.training import settings
from tafe_tf.training.settings import Setting

# What the job gives every model by itself, from the data and the cluster.
_GIVEN_BY_THE_JOB = frozenset(
    {"amount", "embedding_parts", "encoders", "frozen", "shares", "slots", "via"}
)

# What a constructor leaves to the dtype of all weights, which is float32 under every policy here.
_IN_A_JOB = {"embedding_dtype": "float32"}

# What a job gives a model by default where its constructor keeps to the paper. docs/results.md has
# the measurements that chose it.
_JOB_DEFAULTS: dict[str, dict[str, Any]] = {
    "tafe": {
        "num_inducing": 16,
        "num_layers": 2,
        "deep_units": None,  # by the number of rows, see `tafe_tf.training.deep_units`
        "dropout": 0.1,
        "heads": "conditional",
        "conditional_weight": 1.0,
    },
}

# Settings of training that the weights do not depend on: a run goes on whatever they are.
FREE_SETTINGS = frozenset(
    {
        "accept_changed_input",
        "cache_dir",
        "checkpoint_steps",
        "max_bad_rows",
        "native",
        "save_predictions",
        "steps_per_call",
    }
)

# What jobs of earlier versions did where a setting's default is another one today: a run whose
# settings do not name it was trained so.
BEFORE: dict[str, Any] = {"unseen_share": 0.0}

_POSITIVE = (
    "batch_size",
    "epochs",
    "patience",
    "shuffle_rows",
    "steps_per_call",
    "checkpoint_steps",
)
_NOT_NEGATIVE = (
    "learning_rate",
    "dependence_weight",
    "order_weight",
    "gradnorm_alpha",
    "intercept_rows",
    "embedding_parts",
    "readers",
    "retire_after",
    "validate_steps",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How a model is trained.

    Attributes:
        batch_size: B, the number of rows of one training step.
        epochs: Number of passes over the training rows, at most.
        patience: Number of validations in a row without a better `monitor` after which training
            stops: of epochs, unless there is `validate_steps`. It needs validation rows. With
            `learning_rate_decay` "plateau" it is how often the learning rate falls, and the next
            validation that is not better ends the training.
        validate_steps: Number of steps after which the validation rows are evaluated within an
            epoch, beside its end: the best weights may then be those of a part of it, and training
            may stop there. By default, 0, at the end of each epoch alone.
        monitor: The validation metric that early stopping goes by: "auc" or "log_loss", both as the
            mean over the tasks on all impressions, or the name of one metric, such as "auc/ctr".
        learning_rate: Learning rate of the optimizer, LazyAdam.
        learning_rate_decay: "plateau" lets the learning rate fall to a fifth after each validation
            that is not better than the best one before, and goes back to the best weights; without
            validation rows it is "linear". "linear" lets it fall to 0 over all epochs, and "none"
            keeps it.
        start_at_rates: Whether the intercepts start at the log-odds of the steps' rates in the
            training rows, instead of at 0. With rare steps the first steps of training then need
            not learn how rare they are. A warm start has the intercepts of the run before.
        gamma_decay: With tafe, the share of all planned steps (epochs times the steps of one) after
            which gamma of its smooth step (eq. 16) would reach 0. By default none, and
            `gamma_decay_steps` counts steps instead, as in the paper.
        dependence_weight: Weight of L_D (eq. 25). By default the model's own: 1 for tafe and 0 for
            the others.
        order_weight: Weight of max(f_i - f_{i-1}, 0). By default the model's own: 0.6 for aitm and
            0 for the others.
        loss_balancing: Whether the weights of the tasks' cross entropies are learned: "none" keeps
            those of the schema, "uncertainty" learns a variance a task (Kendall et al. 2018), and
            "gradnorm" makes the tasks' gradients of like size (Chen et al. 2018). The schema's
            weights multiply what is learned; L_D and other terms of the loss keep their weights.
        gradnorm_alpha: With `loss_balancing` "gradnorm", how much more weight slow tasks get; 0
            makes all gradients' norms equal.
        seed: Seed of the initial weights, of dropout, of the shuffle and of the hold-out.
        valid_fraction: Share of the training rows held out for early stopping where there are no
            validation files.
        valid_split: "random" holds out random rows, "time" the latest ones by the schema's time
            column, and "group" whole groups, such as users, by the schema's group column.
            "group_time" holds out the rows of `valid_fraction` of the groups among the latest
            `valid_fraction` of the rows; the earlier rows of these groups and the latest rows of
            the others are left out of training, so that it knows neither these groups nor their
            time.
        keep_negatives: Share of the training rows without the first step that are kept, drawn by a
            hash of the row's place and the seed. Each counts as 1 / share rows, so that the model
            and its sums are those of all rows. Validation, intercepts, metrics and boosted trees
            take all rows in any case.
        unseen_share: Share of the ids of training batches that are taken for those of unseen
            values, drawn anew in each epoch, in the fields in which no training value is unseen.
            Without it nothing trains the row that serves a new user or item, and its answer is
            arbitrary. Validation, intercepts and metrics take every id as it is, as do boosted
            trees.
        now: As of when labels are judged, where a task has `matures_after`: a time in ISO 8601, or
            a number as the time column holds it. By default the time of the newest row of all
            files.
        delay_loss: What becomes of labels that have not matured, where a task has `matures_after`:
            "none" leaves them out of training, as they are out of metrics in any case, and
            "exponential" learns from them as they were seen by `now`, with delays that are learned
            too (Chapelle 2014). It takes exponential delays that do not depend on the features, and
            models whose loss is of the steps alone: escm2, esm2 and hm3 are refused.
        shuffle_rows: Number of consecutive rows that are shuffled together.
        on_bad_row: "raise" stops at the first bad row; "drop" leaves bad rows out, counts and
            reports them.
        max_bad_rows: How many rows "drop" may leave out of a split before the job stops: a number
            such as 1000, or a share of the rows such as 1%, which allows 100 rows in any case. The
            weights do not depend on it.
        intercept_rows: Number of training rows on which the intercept of each task is set after the
            last epoch, so that predictions sum to labels. 0 leaves the intercepts alone.
        dtype_policy: Keras's dtype policy of the computations.
        embedding_parts: Number of tables that the embedding table is cut into, each of whole
            fields. By default, 0, one for each parameter server, and otherwise one.
        readers: Number of parts into which the input is dealt, by file: a multiple of the number of
            workers. By default, 0, one for each worker. With the same number of readers any number
            of workers sees the same batches, and a job goes on with fewer or more workers.
        warm_start: Directory of a finished run to go on from with new files. Schema and model must
            be that run's.
        retire_after: With `warm_start`, the number of runs in a row, this one the last, whose
            training files a value must be missing from to lose its row of the table. 0 keeps all
            values.
        warm_gamma: With `warm_start`, whether the schedule of gamma (eq. 16) goes on ("continue")
            or starts anew ("restart").
        steps_per_call: Number of steps between two looks at the loss. The weights do not depend on
            it.
        checkpoint_steps: Number of steps between two checkpoints, rounded up to whole calls. The
            weights do not depend on it.
        save_predictions: Whether to write the logits of the test rows to `predictions.npz`.
        native: Whether tafe computes by the native kernel for CPUs, which `tafe native` builds:
            "auto" uses it where it was built and applies, "on" refuses to train without it, "off"
            leaves the layers. Either way gives the same weights but for rounding.
        cache_dir: Folder of this machine's disk in which input files that lie in a store are kept
            whole, for training that reads them in many epochs. By default none are kept. The
            weights do not depend on it, and nothing in it is removed.
        accept_changed_input: Whether a run that was interrupted goes on although its files have
            changed since, which is otherwise refused. `data.json` notes what had changed. The
            vocabularies stay, and rows that were held out before may be trained on.
    """

    batch_size: int = 1024
    epochs: int = 20
    patience: int = 2
    validate_steps: int = 0
    monitor: str = "auc"
    learning_rate: float = 3e-3
    learning_rate_decay: Literal["plateau", "linear", "none"] = "plateau"
    start_at_rates: bool = False
    gamma_decay: float | None = None
    dependence_weight: float | None = None
    order_weight: float | None = None
    loss_balancing: Literal["none", "uncertainty", "gradnorm"] = "none"
    gradnorm_alpha: float = 1.5
    seed: int = 0
    valid_fraction: float = 0.1
    valid_split: Literal["random", "time", "group", "group_time"] = "random"
    keep_negatives: float = 1.0
    unseen_share: float = 0.01
    now: str = ""
    delay_loss: Literal["none", "exponential"] = "none"
    shuffle_rows: int = 1 << 18
    on_bad_row: Literal["raise", "drop"] = "raise"
    max_bad_rows: str = bad_row_limit.DEFAULT
    intercept_rows: int = 1 << 20
    dtype_policy: Literal["float32", "mixed_bfloat16"] = "float32"
    embedding_parts: int = 0
    readers: int = 0
    warm_start: str = ""
    retire_after: int = 0
    warm_gamma: Literal["continue", "restart"] = "continue"
    steps_per_call: int = 20
    checkpoint_steps: int = 2000
    save_predictions: bool = False
    native: Literal["auto", "on", "off"] = "auto"
    cache_dir: str = ""
    accept_changed_input: bool = False

    def __post_init__(self) -> None:
        for name, setting in settings.of_dataclass(type(self)).items():
            settings.check(setting, getattr(self, name))
        for name in _POSITIVE:
            settings.require(self, name, getattr(self, name) >= 1, "must be 1 or more")
        for name in _NOT_NEGATIVE:
            value = getattr(self, name)
            settings.require(
                self,
                name,
                value is None or value >= 0,
                "must be 0 or more",
            )
        settings.require(
            self,
            "gamma_decay",
            self.gamma_decay is None or self.gamma_decay > 0,
            "must be more than 0",
        )
        settings.require(
            self,
            "keep_negatives",
            0 < self.keep_negatives <= 1,
            "must be above 0 and at most 1",
        )
        settings.require(
            self,
            "unseen_share",
            0 <= self.unseen_share < 1,
            "must be 0 or more and below 1",
        )
        bad_row_limit.check_limit(self.max_bad_rows)
        settings.require(
            self,
            "valid_fraction",
            0 <= self.valid_fraction <= 0.9,
            "must be between 0 and 0.9",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which model is trained.

    Attributes:
        name: The architecture, a key of `tafe_tf.models.BY_NAME`.
        arguments: Arguments of its constructor, by name. Those that are left out have the
            constructor's defaults, but for tafe: its constructor keeps to the paper, and a job
            takes the smaller model, with a deep component, that `tafe train --help` tells.
    """

    name: str = "tafe"
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in models.BY_NAME:
            known = ", ".join(models.BY_NAME)
            raise ValueError(f"model must be one of {known}. Received: {self.name!r}")
        known_arguments = model_arguments(self.name)
        for name, value in self.arguments.items():
            if name not in known_arguments:
                takes = ", ".join(known_arguments)
                raise ValueError(f"model {self.name!r} has no argument {name!r}; it takes {takes}")
            settings.check(known_arguments[name], value)
        models.check_arguments(self.arguments)

    def all_arguments(self) -> dict[str, Any]:
        """The arguments with the defaults of those that were left out."""
        defaults = {}
        for name, argument in model_arguments(self.name).items():
            defaults[name] = argument.default
        return {**defaults, **_IN_A_JOB, **self.arguments}


def model_arguments(name: str) -> dict[str, Setting]:
    """The arguments of a model's constructor that a user chooses, by name, with a job's defaults.

    Args:
        name: A key of `tafe_tf.models.BY_NAME`.
    """
    job_defaults = _JOB_DEFAULTS.get(name, {})
    chosen = constructor_arguments(name)
    for argument, default in job_defaults.items():
        chosen[argument] = dataclasses.replace(chosen[argument], default=default)
    return chosen


def follows_the_rows(name: str, argument: str) -> bool:
    """Whether a job finds a model's argument by its rows where nobody chose it.

    Args:
        name: A key of `tafe_tf.models.BY_NAME`.
        argument: Of the model's constructor.
    """
    job_defaults = _JOB_DEFAULTS.get(name, {})
    return argument in job_defaults and job_defaults[argument] is None


def constructor_arguments(name: str) -> dict[str, Setting]:
    """The same arguments with the constructor's defaults.

    Args:
        name: A key of `tafe_tf.models.BY_NAME`.
    """
    found = settings.of_constructor(models.BY_NAME[name])
    chosen = {}
    for argument, setting in found.items():
        if argument not in _GIVEN_BY_THE_JOB:
            chosen[argument] = setting
    return chosen

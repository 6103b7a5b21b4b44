"""What a job with gradient-boosted trees is asked for."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any, Literal

from tafe_tf.terminal.command import CommandError
from tafe_tf.training import settings

NAME = "gbdt"  # what --models and --model call the trees

# What the trees take of `TrainingConfig`; they pass over the rest.
OF_TRAINING = frozenset(
    {
        "accept_changed_input",
        "max_bad_rows",
        "monitor",
        "now",
        "on_bad_row",
        "save_predictions",
        "seed",
        "valid_fraction",
        "valid_split",
    }
)

_AT_LEAST = {
    "num_leaves": 2,
    "min_data_in_leaf": 1,
    "num_iterations": 1,
    "early_stopping_round": 1,
    "max_list_values": 1,
    "lambda_l2": 0,
    "cat_smooth": 0,
    "cat_l2": 0,
}
_SHARES = ("feature_fraction", "bagging_fraction")
_MOST_LEAVES = 131_072  # of LightGBM


@dataclasses.dataclass(frozen=True, kw_only=True)
class TreesConfig:
    """How the trees of a funnel are trained. The names are LightGBM's own where it has one.

    Attributes:
        heads: What the trees of a step i >= 2 learn. "separate": f_i, from all impressions.
            "conditional": P(step i | step i - 1), from the rows that reached step i - 1; f_i is
            then f_{i-1} times it, so that it never rises along the funnel.
        num_leaves: Number of leaves of a tree, at most; 131,072 is the most that there can be.
        min_data_in_leaf: Number of rows that a leaf holds, at least, whatever their weights are.
        shrinkage_rate: Factor on each tree's answers, which other libraries call its learning rate.
        num_iterations: Number of trees of a step, at most.
        early_stopping_round: Number of trees without a better `monitor` on the held-out rows after
            which a step gets no more of them. The trees after the best one are left out.
        feature_fraction: Share of the columns that each tree may read, drawn for each tree.
        bagging_fraction: Share of the rows that each tree is grown from, drawn for each tree.
            Where that is less than one row of a step, each tree is grown from all of them.
        lambda_l2: Weight of the squares of the leaves' answers (L2).
        cat_smooth: Rows that a category is thought to have more than it has, at the mean of all,
            where categories are ordered for a split.
        cat_l2: Weight of the squares of the leaves' answers (L2) below a split by categories.
        max_list_values: Number of values of a field with lists that get a column of their own: the
            most frequent ones of the training rows.

    Raises:
        ValueError: If a setting breaks its rule, naming it.

    Example:
        >>> from tafe_tf.trees.config import TreesConfig
        >>> TreesConfig(heads="conditional").num_leaves
        31
        >>> TreesConfig(num_leaves=1)
        Traceback (most recent call last):
        ...
        ValueError: num_leaves must be 2 or more. Received: 1
    """

    heads: Literal["separate", "conditional"] = "separate"
    num_leaves: int = 31
    min_data_in_leaf: int = 20
    shrinkage_rate: float = 0.05
    num_iterations: int = 2000
    early_stopping_round: int = 50
    feature_fraction: float = 0.5
    bagging_fraction: float = 0.8
    lambda_l2: float = 0.0
    cat_smooth: float = 10.0
    cat_l2: float = 10.0
    max_list_values: int = 64

    def __post_init__(self) -> None:
        for name, setting in settings.of_dataclass(type(self)).items():
            settings.check(setting, getattr(self, name))
        for name, least in _AT_LEAST.items():
            settings.require(self, name, getattr(self, name) >= least, f"must be {least} or more")
        settings.require(
            self, "num_leaves", self.num_leaves <= _MOST_LEAVES, f"must be {_MOST_LEAVES} or less"
        )
        settings.require(self, "shrinkage_rate", self.shrinkage_rate > 0, "must be above 0")
        for name in _SHARES:
            settings.require(
                self, name, 0 < getattr(self, name) <= 1, "must be above 0 and at most 1"
            )

    def parameters(self, seed: int, rows: int, threads: int) -> dict[str, Any]:
        """The parameters of LightGBM for the trees of one step.

        Args:
            seed: Of the columns and rows that are drawn.
            rows: Number of rows that the step's trees learn from.
            threads: Number of threads; the trees do not depend on it.
        """
        draws_a_row = self.bagging_fraction * rows >= 1  # LightGBM grows no tree from no row
        return {
            "objective": "binary",
            "metric": "None",  # `StepMonitor` measures
            "num_leaves": self.num_leaves,
            "min_data_in_leaf": self.min_data_in_leaf,
            "learning_rate": self.shrinkage_rate,
            "feature_fraction": self.feature_fraction,
            "bagging_fraction": self.bagging_fraction if draws_a_row else 1.0,
            "bagging_freq": 1,
            "lambda_l2": self.lambda_l2,
            "cat_smooth": self.cat_smooth,
            "cat_l2": self.cat_l2,
            "seed": seed,
            "num_threads": threads,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }


def check_installed() -> None:
    """Refuses to go on without LightGBM, which is an optional dependency.

    Raises:
        CommandError: If it is not installed or cannot be loaded, with what mends it.
    """
    try:
        importlib.import_module("lightgbm")
    except ModuleNotFoundError:
        raise CommandError(f"{NAME} needs LightGBM: pip install 'tafe_tf[gbdt]'") from None
    except OSError as error:  # its wheel for Linux has no OpenMP of its own
        mend = "on Debian and Ubuntu: apt-get install libgomp1"
        raise CommandError(f"{NAME}: LightGBM cannot be loaded ({error}); {mend}") from None

"""A comparison from its plan to its figures: trains what is missing, then writes the figures."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from tafe_tf.comparison.folder import RunsFolder
from tafe_tf.comparison.page import write_page
from tafe_tf.comparison.runs import ChildRun, Shared, Variant, train_all
from tafe_tf.comparison.statistics import Comparison
from tafe_tf.comparison.tables import markdown, tables
from tafe_tf.data.atomic import read_text, write_json, write_text
from tafe_tf.insight.tracking.together import Together
from tafe_tf.schema import Schema
from tafe_tf.terminal.tables import show
from tafe_tf.training.errors import RunError
from tafe_tf.training.run_dir import claim


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What to compare.

    Attributes:
        shared: What all runs have in common.
        variants: The models.
        seeds: The seeds that each model is trained with.
        tuned: The folder of a search whose best settings are used; None for none.
        replicates: Number of bootstrap samples.
        against: The model that the others are tested against; empty for the best but TAFE.
        published: A paper's metrics by model.
        tracking: The address of a tracker that is told of all runs, see `Tracking`. Default: "",
            none.
    """

    shared: Shared
    variants: list[Variant]
    seeds: range
    tuned: RunsFolder | None
    replicates: int
    against: str
    published: Mapping[str, Any]
    tracking: str = ""

    def arguments(self, variant: Variant) -> list[str]:
        """What the command lines of a model's runs begin with, its tuned settings included.

        The tuned settings are noted beside the model's runs, or found to be the same as there:
        runs with others do not compare.

        Raises:
            RunError: If there is no flagfile for this model in the directory `tuned`, or if the
                model's runs have other tuned settings.
        """
        settings = self._tuned_settings(variant)
        folder = self._folder(variant)
        folder.mkdir(parents=True, exist_ok=True)
        noted = folder / "tuned.flags"
        has_runs = any(run.is_dir() for run in folder.glob("seed-*"))
        if not has_runs:
            noted.unlink(missing_ok=True)
        otherwise = f"the runs of {variant.text} have other tuned settings; give another --run_dir"
        claim(noted, settings, otherwise)
        return [*self.shared.arguments, f"--flagfile={noted}"]

    def all_tuned_settings(self) -> dict[str, str]:
        """The tuned settings by model, on one line; empty where those as given are the best."""
        settings = {}
        for variant in self.variants:
            settings[variant.text] = " ".join(self._tuned_settings(variant).splitlines())
        return settings

    def _tuned_settings(self, variant: Variant) -> str:
        """The flagfile of a model's tuned settings; empty without a search."""
        if self.tuned is None:
            return ""
        flagfile = self.tuned.path / f"{variant.folder}.flags"
        if not flagfile.exists():
            remedy = f"tune this model first: python -m tafe_tf.tune --models={variant.text} ..."
            raise RunError(f"{flagfile}: is missing; {remedy}")
        return read_text(flagfile)

    def _folder(self, variant: Variant) -> pathlib.Path:
        """Where the runs of a model are."""
        return self.shared.folder.path / "cells" / variant.folder

    def run(self, variant: Variant, seed: int) -> ChildRun:
        """The run of a model with a seed."""
        return ChildRun(variant, seed, self._folder(variant) / f"seed-{seed}")


def compare(plan: Plan) -> dict[str, str]:
    """Trains what is missing, and writes and prints the figures of all finished runs.

    Args:
        plan: What to compare.

    Returns:
        What went wrong, by run.

    Raises:
        DataError: On a bad file or row.
        RunError: If the directory is another job's, settings that should be tuned are missing, or
            a model's runs have other tuned settings.
        LockError: If another process works in the directory.
        ValueError: If no run has finished, or `plan.against` is none of the models.
    """
    with plan.shared.prepared(needs_test=True) as schema:
        together = Together(plan.tracking, plan.shared.folder.path, "compare", schema.name)
        shared = dataclasses.replace(plan.shared, tracking=together.arguments)
        plan = dataclasses.replace(plan, shared=shared)
        arguments = {}
        for variant in plan.variants:
            arguments[variant.text] = plan.arguments(variant)
        # Seed by seed, so that a comparison that is stopped early has all models.
        in_turn = []
        for seed in plan.seeds:
            in_turn += [plan.run(variant, seed) for variant in plan.variants]
        failed = train_all(in_turn, arguments, plan.shared.folder.send)
        _write_figures(plan, schema, failed)
        written = [plan.shared.folder.path / f"compare.{kind}" for kind in ("json", "md", "html")]
        together.finish(written)
        return failed


def _write_figures(
    plan: Plan,
    schema: Schema,
    failed: Mapping[str, str],
) -> None:
    """Writes and prints the figures of all finished runs."""
    folder = plan.shared.folder
    by_model = []
    for variant in plan.variants:
        by_model += [plan.run(variant, seed) for seed in plan.seeds]
    comparison = Comparison(
        schema=schema,
        replicates=plan.replicates,
        against=plan.against,
        published=plan.published,
    )
    results = comparison.results(by_model, failed)
    if plan.tuned is not None:
        results["tuned"] = plan.all_tuned_settings()
    write_json(folder.path / "compare.json", results)
    write_text(folder.path / "compare.md", markdown(results, schema))
    written = "compare.json and compare.md"
    if write_page(folder.path / "compare.html", results, schema):
        written = "compare.json, compare.md and compare.html"
    for table in tables(results, schema):
        show(table)
    print(f"{folder.address}/{written} have more")

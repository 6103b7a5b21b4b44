"""Measures what numbers become by each kind of feature: AUC and log loss on the test rows.

    python -m benchmarks.number_kinds --flagfile=flagfiles/hotel.flags --data_dir=DIR \
        --run_dir=runs/kinds [--kinds=log_round,quantile,number,autodis] [--seeds=5]

Takes the flags of `tafe train`. Trains once for each seed and kind, with the schema's `log_round`
features of that kind instead. Prints a line of Markdown for each kind: the mean AUC over the steps,
the sum of their log losses, predicted over observed of each, and the differences of the first two
from the first kind; means over the seeds, and intervals of 95 % over test rows, or groups of them,
and seeds.
"""

from __future__ import annotations

import dataclasses

from absl import flags

import tafe_tf.flags as job_flags
from benchmarks.support.seeded_rows import SeededRows, predicted_by_seeds
from tafe_tf import schema_toml
from tafe_tf.schema import Feature, Schema
from tafe_tf.terminal import command
from tafe_tf.training.data_config import DataConfig

flags.adopt_module_key_flags(job_flags)
KINDS = {
    "log_round": {},
    "quantile": {"kind": "quantile"},
    "number": {"kind": "number"},
    "autodis": {"kind": "number", "embedding": "autodis"},
}
_KINDS = flags.DEFINE_list("kinds", list(KINDS), "What numbers become.")
_SEEDS = flags.DEFINE_integer("seeds", 5, "How many seeds, from 0 on.", 1)


def main(argv: list[str]) -> None:
    """Trains, evaluates and prints."""
    command.only_flags(argv)
    job_flags.required_with_rows(run_dir=job_flags.RUN_DIR.value)
    schema = schema_toml.load(job_flags.schema_file())
    steps = " | ".join(f"{name}, predicted / observed" for name in schema.step_names)
    print(f"| numbers | mean AUC | log losses | {steps} | AUC, diff. | loss, diff. |")
    print("|---" * (5 + len(schema.step_names)) + "|", flush=True)
    first = None
    for kind in _KINDS.value:
        predicted = _predictions(kind, _with_numbers(schema, KINDS[kind]))
        first = first or predicted
        print(f"| {kind} | {predicted.line(first)} |", flush=True)


def _with_numbers(schema: Schema, settings: dict[str, str]) -> Schema:
    """The schema with other settings for its numbers."""
    if not settings:
        return schema
    features = []
    for feature in schema.features:
        if feature.kind == "log_round":
            given = {"name": feature.name, "column": feature.column, "side": feature.side}
            feature = Feature(**given, **settings)  # type: ignore[arg-type]
        features.append(feature)
    return dataclasses.replace(schema, features=tuple(features))


def _predictions(kind: str, schema: Schema) -> SeededRows:
    """Trains with every seed, and predicts the test rows."""
    splits = job_flags.sources().find()
    data = DataConfig(
        schema=schema,
        train=tuple(splits["train"]),
        test=tuple(splits["test"]),
    )
    return predicted_by_seeds(data, kind, _SEEDS.value)


if __name__ == "__main__":
    command.run(main)

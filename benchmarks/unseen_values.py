"""Measures what values get that training did not see: a tenth of a field's values is left out.

    python -m benchmarks.unseen_values --flagfile=flagfiles/steam.flags --data_dir=DIR \
        --run_dir=runs/unseen --field=game [--shares=0,0.01] [--seeds=3]

Takes the flags of `tafe train`. Trains once for each seed and each `--unseen_share` on the training
rows of the other values, and evaluates the test rows of both kinds. Prints a line of Markdown for
each share and kind: the mean AUC over the steps, the sum of their log losses, predicted over
observed of each, and the differences of the first two from the first share; means over the seeds,
and intervals of 95 % over test rows, or groups of them, and seeds.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from absl import flags

import tafe_tf.flags as job_flags
from benchmarks.support.seeded_rows import SeededRows, predicted_by_seeds
from tafe_tf import schema_toml
from tafe_tf.data.hashing import of_texts
from tafe_tf.schema import Schema
from tafe_tf.terminal import command
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.run import as_rows

flags.adopt_module_key_flags(job_flags)
_FIELD = flags.DEFINE_string("field", None, "The column of which values are left out.")
_LEFT_OUT = flags.DEFINE_float("left_out", 0.1, "Share of its values, drawn by a hash.", 0.0, 1.0)
_SHARES = flags.DEFINE_list("shares", ["0", "0.01"], "Values of --unseen_share.")
_SEEDS = flags.DEFINE_integer("seeds", 3, "How many seeds, from 0 on.", 1)
flags.mark_flag_as_required("field")


def main(argv: list[str]) -> None:
    """Trains, evaluates and prints."""
    command.only_flags(argv)
    job_flags.required_with_rows(run_dir=job_flags.RUN_DIR.value)
    schema = schema_toml.load(job_flags.schema_file())
    files = job_flags.sources().find()
    train, test = (_rows(list(files[name])) for name in ("train", "test"))
    is_new = _is_left_out(test)
    is_known = ~_is_left_out(train)
    print(
        f"{_FIELD.value}: {len(train) - is_known.sum():,} of {len(train):,} training rows left "
        f"out; {is_new.sum():,} of {len(test):,} test rows are of such values",
        flush=True,
    )
    steps = " | ".join(f"{name}, predicted / observed" for name in schema.step_names)
    print(f"| --unseen_share | rows | mean AUC | log losses | {steps} | AUC, diff. | loss, diff. |")
    print("|---" * (6 + len(schema.step_names)) + "|", flush=True)
    kinds = {"left out": is_new, "the others": ~is_new}
    first: dict[str, SeededRows] = {}
    for share in map(float, _SHARES.value):
        predicted = _predictions(schema, train[is_known], test, share)
        for name, which in kinds.items():
            part = predicted.take(which)
            line = part.line(first.setdefault(name, part))
            print(f"| {share:g} | {name} | {line} |", flush=True)


def _rows(files: list[str]) -> pd.DataFrame:
    parts = [pd.read_csv(file, dtype={_FIELD.value: str}, keep_default_na=False) for file in files]
    return pd.concat(parts, ignore_index=True)


def _is_left_out(rows: pd.DataFrame) -> np.ndarray:
    """Whether the field's value is one of those that training does not see, [n]."""
    hashes = of_texts(rows[_FIELD.value].to_numpy(object))
    return np.asarray(hashes < np.uint64(_LEFT_OUT.value * 2.0**53))


def _predictions(
    schema: Schema,
    train: pd.DataFrame,
    test: pd.DataFrame,
    share: float,
) -> SeededRows:
    """Trains with every seed, and predicts the test rows."""
    data = DataConfig(
        schema=schema,
        train=as_rows(train, "train", schema),
        test=as_rows(test, "test", schema),
    )
    return predicted_by_seeds(data, f"share-{share:g}", _SEEDS.value, unseen_share=share)


if __name__ == "__main__":
    command.run(main)

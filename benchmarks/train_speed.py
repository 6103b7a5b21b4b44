"""Measures training in rows per second: whole steps, embedding table and optimizer included.

    python -m benchmarks.train_speed [--models="tafe mmoe/expert_units=[256,64]"]
        [--native=auto,off] [--sources=memory,parquet,tfrecord] [--against="COMMAND"]

Ali-CCP's 23 fields with 1.4 million ids, and each model as the paper sets it. Prints a table and a
line of JSON: rows/s (train_sps), MiB of weights, peak MiB of the process, and the seconds of the
first call, which compiles; each as median, least and most of the rounds.
"""

from __future__ import annotations

import itertools
import pathlib
import tempfile

import keras
import tensorflow as tf
from absl import flags

from benchmarks.support import ali_ccp_shape, rounds, training_steps
from tafe_tf import machine
from tafe_tf.terminal import command

_MODELS = flags.DEFINE_spaceseplist(
    "models",
    ["tafe"],
    "The models to measure, separated by spaces: MODEL, or MODEL/ARGUMENT=VALUE/... with arguments "
    "of its constructor.",
)
_SOURCES = flags.DEFINE_list(
    "sources",
    ["memory"],
    "Where batches come from, separated by commas: memory, or a file format such as parquet.",
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 1024, "Rows of a batch.", lower_bound=1)
_DTYPE_POLICY = flags.DEFINE_enum(
    "dtype_policy",
    "float32",
    ["float32", "mixed_bfloat16"],
    "Keras's dtype policy, the precision to compute in.",
)
_NATIVE = flags.DEFINE_list(
    "native",
    ["auto"],
    "How tafe computes, separated by commas: auto for the native kernel where it was built, on, or "
    "off for the layers.",
)


def main(argv: list[str]) -> None:
    """Measures every model on batches from every source, in alternating rounds."""
    command.only_flags(argv)
    size = _BATCH_SIZE.value
    machine.set_threads(size)
    machine.keep_freed_memory()
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(_DTYPE_POLICY.value)
    ways = {}
    with tempfile.TemporaryDirectory() as directory:
        for source in _SOURCES.value:
            dataset = _batches(source, pathlib.Path(directory) / source)
            for spec, native in itertools.product(_MODELS.value, _NATIVE.value):
                name = spec if source == "memory" else f"{spec}, {source}"
                if native != "auto":
                    name += f", native={native}"
                ways[name] = training_steps.measured(
                    spec, size, ali_ccp_shape.ALL_FIELDS, dataset, native
                )
        seen = rounds.run(ways, {"train_sps": "train_sps"})
    rounds.show(seen, f"training, B = {size}, {_DTYPE_POLICY.value}")


def _batches(source: str, directory: pathlib.Path) -> tf.data.Dataset:
    size, fields = _BATCH_SIZE.value, ali_ccp_shape.ALL_FIELDS
    if source == "memory":
        return training_steps.from_memory(size, fields)
    return training_steps.from_files(directory, source, size, fields)


if __name__ == "__main__":
    command.run(main)

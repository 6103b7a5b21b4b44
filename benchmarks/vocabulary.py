"""Measures what a larger vocabulary costs: training steps with 1 million and with 10 million ids.

    python -m benchmarks.vocabulary [--model=tafe] [--batch_size=1024]

Ids follow a Zipf law over the whole of each table. With lazy updates a step reads and writes the
rows of its batch only. Prints the rows/s of both, and last the ratio of their step times.
"""

from __future__ import annotations

import statistics

from absl import flags, logging

from benchmarks.support import ali_ccp_shape, rounds, training_steps
from tafe_tf import machine
from tafe_tf.terminal import command

_MODEL = flags.DEFINE_string(
    "model",
    "tafe",
    "The model: MODEL, or MODEL/ARGUMENT=VALUE/... with arguments of its constructor.",
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 1024, "Rows of a batch.", lower_bound=1)

IDS = (1_000_000, 10_000_000)


def main(argv: list[str]) -> None:
    """Measures both vocabularies in alternating rounds."""
    command.only_flags(argv)
    logging.set_verbosity(logging.WARNING)
    size = _BATCH_SIZE.value
    machine.set_threads(size)
    machine.keep_freed_memory()
    ways = {}
    for ids in IDS:
        fields = ali_ccp_shape.scaled_fields(ids)
        dataset = training_steps.from_memory(size, fields)
        ways[f"{ids:,} ids"] = training_steps.measured(_MODEL.value, size, fields, dataset)
    seen = rounds.run(ways, {})
    rounds.show(seen, f"training {_MODEL.value}, B = {size}")
    small, large = (seen[way]["train_sps"] for way in ways)
    ratios = [fast / slow for fast, slow in zip(small, large, strict=True)]
    ratio = statistics.median(ratios)
    print(f"step time with {IDS[1]:,} ids / with {IDS[0]:,}: {ratio:.3f}")


if __name__ == "__main__":
    command.run(main)

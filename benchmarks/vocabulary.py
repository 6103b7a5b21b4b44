"""What a larger vocabulary costs a training step: the same model with 1 M and with 10 M ids, in turn.

python -m benchmarks.vocabulary [--model=tafe]

Ids follow a Zipf law over the whole of each table. With lazy updates a step reads and writes its batch's rows only.
"""

from __future__ import annotations

import statistics

from absl import app, flags, logging

from benchmarks import train_speed
from benchmarks.support import ali_ccp_shape, rounds
from tafe_tf import machine
from tafe_tf.flags import model_config, training_config

flags.declare_key_flag("model")
flags.declare_key_flag("batch_size")
IDS = (1_000_000, 10_000_000)


def fields(ids: int) -> dict[str, int]:
    """Ali-CCP's fields, each as much larger or smaller as makes the sum about `ids`."""
    factor = ids / sum(ali_ccp_shape.ALL_FIELDS.values())
    return {name: max(round(size * factor), 2) for name, size in ali_ccp_shape.ALL_FIELDS.items()}


def main(argv: list[str]) -> None:
    """Interleaved rounds; the last line has the ratio of the step times."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    logging.set_verbosity(logging.WARNING)
    machine.set_threads(training_config().batch_size)
    machine.keep_freed_memory()
    ways = {}
    for ids in IDS:
        sizes = fields(ids)
        dataset = train_speed.from_memory(training_config().batch_size, sizes)
        ways[f"{ids:,} ids"] = train_speed.trained(
            model_config().name, training_config().batch_size, sizes, dataset
        )
    seen = rounds.run(ways, {})
    rounds.show(seen, f"training {model_config().name}, B = {training_config().batch_size}")
    small, large = (seen[way]["train_sps"] for way in ways)
    ratio = statistics.median(a / b for a, b in zip(small, large, strict=True))
    print(f"step time with {IDS[1]:,} ids / with {IDS[0]:,}: {ratio:.3f}")


if __name__ == "__main__":
    app.run(main)

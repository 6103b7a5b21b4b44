"""Measures training and inference on JAX beside the paper's; needs JAX and Keras, no TensorFlow.

    KERAS_BACKEND=jax python -m benchmarks.jax_speed [--out=FILE] [--profile] [--minutes=5.5]
        [--batch_sizes=1024,16384,65536,262144] [--precision=default] [--precision=bfloat16]
        [--attention=layers] [--attention=recomputed] [--ids=0,10000000] [--devices=1] [--quick]

Ali-CCP's 18 fields, and the model as the paper sets it. Batches lie on the device, logits stay
there, and a call makes several steps. Training is whole steps, embedding table and optimizer
included (`tafe_tf.jax_training`). For each precision it finds the fastest way to compute the
attention at the first batch size but one, and tries the other sizes in that way; then further
sizes of the table at the best one. What would exceed --minutes, what does not fit into memory and
what the device lacks is named and left out.

Prints each case as it ends, the device's own limits, and a line of JSON, which --out keeps as it
grows: rows/s with spread, how many times the paper's, MiB of the device, and how much of the
device's product of matrices the model's products are. --quick shows that everything runs.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import keras
from absl import app, flags

from benchmarks.support import jax_attention, jax_case, jax_limits, jax_profile, rounds
from benchmarks.support.jax_case import Case
from tafe_tf.terminal import command

_MODEL = flags.DEFINE_string(
    "model",
    "tafe",
    "The model: MODEL, or MODEL/ARGUMENT=VALUE/... with arguments of its constructor.",
)
_BATCH_SIZES = flags.DEFINE_list(
    "batch_sizes",
    ["1024", "16384", "65536", "262144"],
    "Rows of a batch over all devices, separated by commas.",
)
_PRECISIONS = flags.DEFINE_multi_enum(
    "precision",
    ["default", "bfloat16", "highest"],
    jax_case.PRECISIONS,
    "Precisions to compute in, one flag each; all by default. Products of float32 with JAX's "
    "default precision are TF32 on recent NVIDIA GPUs; bfloat16 is Keras's mixed_bfloat16.",
)
_ATTENTIONS = flags.DEFINE_multi_enum(
    "attention",
    list(jax_attention.WAYS),
    list(jax_attention.WAYS),
    "Ways to compute the attention, one flag each; all by default. See "
    "benchmarks/support/jax_attention.py.",
)
_IDS = flags.DEFINE_list(
    "ids",
    ["0", "10000000"],
    "Rows of the embedding table, separated by commas; 0 stands for the paper's 1.3 million.",
)
_STEPS = flags.DEFINE_integer("steps", 16, "Steps in a call of the device.", lower_bound=1)
_DEVICES = flags.DEFINE_integer(
    "devices",
    1,
    "How many of this machine's devices share a batch; 0 takes all.",
)
_MINUTES = flags.DEFINE_float("minutes", 5.5, "Minutes after which no further case is begun.")
_OUT = flags.DEFINE_string("out", "", "A file for the JSON; by default there is none.")
_PROFILE = flags.DEFINE_bool("profile", False, "Whether to list what takes the time of training.")
_QUICK = flags.DEFINE_bool(
    "quick", False, "Whether to measure each case once, for a tenth of a second."
)
flags.set_default(rounds.ROUNDS, 3)
flags.set_default(rounds.SECONDS, 0.5)

# Rows per second in section 4.5: 38 M rows trained in 1,177 s and 4.2 M answered in 47 s, with
# PyTorch on unnamed hardware; trained at B = 1,024 (section 4.1.4).
PAPER = {"train_sps": 38e6 / 1177, "infer_sps": 4.2e6 / 47}


class Search:
    """Measures case after case until the time is over.

    Args:
        devices: The devices that share a batch.
        machine: What the output says of the machine and of the settings.

    Attributes:
        results: What was measured, by case.
        left_out: Why a case was not measured.
    """

    def __init__(self, devices: Sequence[jax.Device], machine: dict[str, Any]) -> None:
        self._devices = devices
        self._machine = machine
        self._end = time.monotonic() + 60 * _MINUTES.value
        self._longest = 0.0  # seconds of a case
        self.results: dict[Case, dict[str, Any]] = {}
        self.left_out: dict[Case, str] = {}

    def run(self) -> None:
        """Measures the cases that the flags ask for, the most telling ones first."""
        sizes = [int(size) for size in _BATCH_SIZES.value]
        size = sizes[min(1, len(sizes) - 1)]
        ids, *further_ids = [int(ids) for ids in _IDS.value]
        for precision in _PRECISIONS.value:
            for attention in _attentions(precision):
                self._measure(_case(size, precision, attention, ids))
            best = self._best(precision=precision)
            if best is None:
                continue
            for other in sizes:
                self._measure(dataclasses.replace(best, batch_size=other))
        best = self._best()
        if best is not None:
            for more in further_ids:
                self._measure(dataclasses.replace(best, ids=more))

    def _measure(self, case: Case) -> None:
        if case in self.results or case in self.left_out:
            return
        began = time.monotonic()
        if began + self._longest > self._end:
            self._leave_out(case, f"--minutes={_MINUTES.value:g} are over")
            return
        try:
            running = jax_case.Running(case, self._devices)
            self._keep(case, running, began)
        except Exception as error:  # the next case is worth its time all the same
            text = " ".join(str(error).split())
            self._leave_out(case, f"{type(error).__name__}: {text}"[:300])
        finally:
            keras.backend.clear_session()
        self._longest = max(self._longest, time.monotonic() - began)
        self.write()

    def _keep(self, case: Case, running: jax_case.Running, began: float) -> None:
        compiled = time.monotonic()
        rates = jax_case.measure(running)
        result: dict[str, Any] = {
            "compile_s": round(compiled - began, 1),
            "first_loss": running.first_loss,
        }
        for figure, values in rates.items():
            phase = figure.removesuffix("_sps")
            flop = jax_case.flop_a_row(case.model)[phase]
            rate = rounds.Spread.of(values)
            result[figure] = {
                **dataclasses.asdict(rate),
                "times_paper": round(rate.median / PAPER[figure], 2),
                "mib": running.bytes[phase] >> 20,
                "mflop_a_row": flop / 1e6,
                "share_of_product": round(rate.median * flop / self._limit(case.precision), 5),
            }
        self.results[case] = result
        print(f"{_name(case)}: {_shown(result)}", flush=True)

    def _limit(self, precision: str) -> float:
        tflops: float = self._machine["limits"][f"product_{precision}_tflops"]
        return tflops * 1e12 * len(self._devices)

    def _leave_out(self, case: Case, reason: str) -> None:
        self.left_out[case] = reason
        print(f"{_name(case)}: left out: {reason}", flush=True)

    def _best(self, **fixed: str) -> Case | None:
        """The case that trains fastest among those with some attributes."""
        cases = [
            case
            for case in self.results
            if all(getattr(case, name) == value for name, value in fixed.items())
        ]
        return max(cases, key=self._train_sps, default=None)

    def _train_sps(self, case: Case) -> float:
        rate: float = self.results[case]["train_sps"]["median"]
        return rate

    def profile(self) -> None:
        """Lists what takes the time of training in the best case."""
        best = self._best()
        if best is None:
            return
        running = jax_case.Running(best, self._devices)
        operations = jax_profile.top_operations(running.train)
        self._machine["profile"] = {"case": dataclasses.asdict(best), "operations": operations}
        for operation in operations:
            share, name = operation["share"], operation["name"]
            print(f"{share:6.1%} {operation['ms']:9.3f} ms {operation['times']:5} {name[:90]}")
        self.write()

    def write(self) -> str:
        """Puts all that was measured into a line of JSON, and into --out."""
        best = self._best()
        line = json.dumps(
            {
                **self._machine,
                "paper": {figure: round(rate) for figure, rate in PAPER.items()},
                "best": None if best is None else _flat(best, self.results[best]),
                "cases": [_flat(case, result) for case, result in self.results.items()],
                "left_out": [
                    {**dataclasses.asdict(case), "reason": reason}
                    for case, reason in self.left_out.items()
                ],
            }
        )
        if _OUT.value:
            pathlib.Path(_OUT.value).write_text(f"{line}\n", encoding="utf-8")
        return line


def _attentions(precision: str) -> Iterator[str]:
    """The ways to compute the attention that a precision has."""
    for name in _ATTENTIONS.value:
        if precision == "bfloat16" or name not in jax_attention.HALF_PRECISION_ALONE:
            yield name


def _case(size: int, precision: str, attention: str, ids: int) -> Case:
    return Case(_MODEL.value, size, precision, attention, ids, _STEPS.value)


def _flat(case: Case, result: dict[str, Any]) -> dict[str, Any]:
    return {**dataclasses.asdict(case), **result}


def _name(case: Case) -> str:
    table = f"{case.ids} ids" if case.ids else "the paper's ids"
    return f"{case.precision}, B = {case.batch_size}, {case.attention}, {table}"


def _shown(result: dict[str, Any]) -> str:
    parts = []
    for figure, word in (("train_sps", "trains"), ("infer_sps", "answers")):
        found = result[figure]
        parts.append(
            f"{word} {found['median']:,.0f} ({found['least']:,.0f}-{found['most']:,.0f}) rows/s, "
            f"{found['times_paper']} times the paper's, {found['share_of_product']:.1%} of the "
            f"device's product, {found['mib']:,} MiB"
        )
    return f"{'; '.join(parts)}; compiled in {result['compile_s']} s"


def chosen_devices() -> list[jax.Device]:
    """The devices that --devices asks for, which must be able to share every batch evenly."""
    devices: list[jax.Device] = jax.local_devices()[: _DEVICES.value or None]
    if len(devices) < _DEVICES.value:
        raise app.UsageError(f"--devices={_DEVICES.value}: this machine has {len(devices)}")
    uneven = [size for size in _BATCH_SIZES.value if int(size) % len(devices)]
    if uneven:
        rule = f"{len(devices)} devices cannot share them evenly"
        raise app.UsageError(f"--batch_sizes={','.join(uneven)}: {rule}")
    return devices


def main(argv: list[str]) -> None:
    """Measures all cases."""
    command.only_flags(argv)
    if keras.backend.backend() != "jax":
        raise app.UsageError("say so to Keras: KERAS_BACKEND=jax python -m benchmarks.jax_speed")
    if _QUICK.value:
        flags.FLAGS.rounds = 1
        flags.FLAGS.seconds = 0.1
    devices = chosen_devices()
    machine = {
        "device": devices[0].device_kind,
        "devices": len(devices),
        "backend": jax.default_backend(),
        "jax": jax.__version__,
        "limits": jax_limits.measure(devices[0]),
    }
    print(", ".join(f"{key} {value}" for key, value in machine.items()), flush=True)
    search = Search(devices, machine)
    search.run()
    if _PROFILE.value:
        search.profile()
    print(search.write())
    if not search.results:
        raise SystemExit("error: no case could be measured")


if __name__ == "__main__":
    command.run(main)

"""Jobs of several processes on one small funnel, and what they leave."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import small_models
import tensorflow as tf

from tafe_tf.data.formats.write import write

FLAGS = {
    "readers": 2,
    "batch_size": 64,
    "epochs": 3,
    "patience": 3,
    "learning_rate": 1e-2,
    "learning_rate_decay": "linear",
    "embedding_dim": 4,
    "num_inducing": 4,
    "num_layers": 1,
    "dropout": 0.0,  # each replica drops others
    "shuffle_rows": 300,
    "unseen_share": 0.1,  # so that many ids are drawn
    "steps_per_call": 2,
    "checkpoint_steps": 6,
    "save_predictions": True,
}
TRAIN = ("-m", "tafe_tf.train")
_LISTENS = "0A"  # a socket's state in /proc/net/tcp
LOGICAL_DEVICES = """
import runpy, sys
import tensorflow as tf
devices = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], devices)
sys.argv[0] = "train"
runpy.run_module("tafe_tf.train", run_name="__main__")
"""


def make_funnel(directory: pathlib.Path) -> pathlib.Path:
    """Four training files and a test file of `shop`: strings, lists with weights, groups."""
    directory.mkdir()
    (directory / "schema.toml").write_text(small_models.SCHEMAS["shop"])
    for i in range(4):
        write(directory / f"train-{i}.parquet", small_models.rows("shop", 500 + 60 * i, seed=i))
    write(directory / "test.parquet", small_models.rows("shop", 400, seed=9))
    return directory


class Job:
    """A job that was started; `flags` win over `FLAGS`."""

    def __init__(
        self, funnel: pathlib.Path, run: pathlib.Path, *command: str, **flags: object
    ) -> None:
        self.run, self.log_file = run, run.with_suffix(".log")
        given = {**FLAGS, "data_dir": funnel, "run_dir": run, **flags}
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        environment.pop("TF_CONFIG", None)
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command, *(f"--{name}={value}" for name, value in given.items())],
                stdout=log,
                stderr=log,
                env=environment,
            )

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def wait(self) -> None:
        assert self.process.wait(timeout=400) == 0, self.log[-4000:]

    def until(self, seen: Callable[[], bool]) -> None:
        """Waits for something to be seen while the job runs."""
        for _ in range(4000):
            if seen():
                return
            assert self.process.poll() is None, self.log[-4000:]
            time.sleep(0.05)
        raise AssertionError(self.log[-4000:])

    def signal(self, task: str, number: int, signal: int) -> None:
        """Sends a signal to the process of one task."""
        os.kill(self.task(task, number), signal)

    def task(self, task: str, number: int) -> int:
        """The number of the process of one task."""
        wanted = f'"task": {{"type": "{task}", "index": {number}}}'.encode()
        ours = [
            pid
            for pid in _children(self.process.pid)
            if wanted in pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        ]
        assert len(ours) == 1
        return ours[0]

    def listening(self, task: str, number: int) -> set[str]:
        """Interfaces of the network in which the process of one task listens."""
        process = pathlib.Path(f"/proc/{self.task(task, number)}/net")
        sockets = [
            line.split()
            for name in ("tcp", "tcp6")
            for line in (process / name).read_text().splitlines()[1:]
        ]
        assert any(state == _LISTENS for _, _, _, state, *_ in sockets)
        lines = (process / "dev").read_text().splitlines()[2:]
        return {line.partition(":")[0].strip() for line in lines}

    def checkpoints(self) -> list[str]:
        """Names of the checkpoints that the job has finished, by now the latest two."""
        state = tf.train.get_checkpoint_state(self.run / "checkpoints")
        return (
            []
            if state is None
            else [os.path.basename(path) for path in state.all_model_checkpoint_paths]
        )

    def numbers(self) -> dict[str, np.ndarray]:
        """All weights, moments and what else is learned, in the last checkpoint, by name."""
        reader = tf.train.load_checkpoint(str(self.run / "checkpoints"))
        names = [
            name
            for name in reader.get_variable_to_shape_map()
            if name.startswith(("weights/", "optimizer/", "balancing/", "delays/"))
        ]
        return {name: reader.get_tensor(name) for name in names}

    def metrics(self) -> dict[str, float]:
        found = json.loads((self.run / "metrics.json").read_text())
        return {name: value for name, value in found.items() if name != "seconds"}

    def train_rows(self) -> list[int]:
        """Rows trained on, by epoch."""
        return [
            epoch["train_rows"] for epoch in json.loads((self.run / "history.json").read_text())
        ]

    def validated_steps(self) -> list[int]:
        """The optimizer's step of each validation."""
        history = json.loads((self.run / "history.json").read_text())
        return [entry["step"] for entry in history]

    def predictions(self) -> dict[str, np.ndarray]:
        """The test rows' numbers, each sorted for itself, as processes order rows differently."""
        with np.load(self.run / "predictions.npz") as rows:
            return {name: np.sort(rows[name], axis=0) for name in rows}


def _children(pid: int) -> list[int]:
    listed = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]


def launched(workers: int, servers: int = 0) -> tuple[str, ...]:
    """The command of a job of several processes."""
    return (
        "-m",
        "tafe_tf.launch",
        f"--workers={workers}",
        f"--servers={servers}",
        "--restarts=3",
        "--",
    )

"""Kills jobs with `kill -9` at random moments, and compares what they leave with undisturbed ones.

    python -m benchmarks.random_kills [--kills=100] [--seed=0] [--jobs=train,prepare,export,score]
    python -m benchmarks.random_kills --store=s3://BUCKET/FOLDER    # rows, models and outputs there

Training, preparation, export and batch scoring take turns. Each job is killed up to five times in
a row, each time at a moment drawn from the whole time that it takes, and then the same command runs
to its end. Prints a line for each such chain, and last a line of JSON: the kills, how many chains
ended with other bytes or weights than the undisturbed job, and how many left files over.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from absl import flags

from tafe_tf.data import manifest
from tafe_tf.data.atomic import read_json
from tafe_tf.export import versions
from tafe_tf.storage.addresses import is_remote, join
from tafe_tf.storage.listing import exists
from tafe_tf.storage.staging import fetch_tree, publish_tree
from tafe_tf.terminal import command

_KILLS = flags.DEFINE_integer("kills", 100, "How many times jobs are killed.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "The seed of the moments.")
_STORE = flags.DEFINE_string(
    "store",
    "",
    "URI below which jobs read and write. By default they do so on this machine's disk.",
)
_JOBS = flags.DEFINE_list(
    "jobs", ["train", "prepare", "export", "score"], "Which jobs are killed, comma-separated."
)

KILLS_IN_A_ROW = 5
SMALL = ("--embedding_dim=4", "--num_inducing=4", "--num_layers=1", "--batch_size=256")

# Their bytes hold the time at which they were made, or hashes of such files.
TIMED = ("events.out.tfevents", "manifest.json", "model.keras")
# Keys of JSON files that hold times, or sums over an epoch since a process began or resumed it.
OF_A_PROCESS = ("created", "seconds", "train_loss", "train_rows", "train_seconds")

Content = Mapping[str, str]  # a hash by file


@dataclasses.dataclass(frozen=True)
class Job:
    """A command that is killed.

    Attributes:
        arguments: Of `python -m`, given the directory that it writes.
        content: What the directory holds in the end: a hash for everything that must be equal.
    """

    arguments: Callable[[str], list[str]]
    content: Callable[[pathlib.Path], Content]


def jobs(root: str) -> dict[str, Job]:
    """The jobs by name.

    Args:
        root: Where the rows (`data`) and a finished run and its export (`run`, `models`) are, a
            path or a URI.
    """
    data = f"--data_dir={join(root, 'data')}"
    input_files = f"--input={join(root, 'data', 'train.csv')}"

    def train(output: str) -> list[str]:
        steps = ("--epochs=3", "--checkpoint_steps=10")
        return ["tafe_tf.train", data, f"--run_dir={output}", *SMALL, *steps]

    def prepare(output: str) -> list[str]:
        return ["tafe_tf.prepare", data, f"--output_dir={output}", "--shard_rows=5000"]

    def export(output: str) -> list[str]:
        where = (f"--run_dir={join(root, 'run')}", f"--export_dir={output}")
        return ["export.saved_model", *where]

    def score(output: str) -> list[str]:
        model = f"--model={join(root, 'models')}"
        shards = ("--rows_per_shard=2000", "--batch_size=500")
        return ["serving.batch_score", model, input_files, f"--output={output}", *shards]

    return {
        "train": Job(train, of_run),
        "prepare": Job(prepare, of_files),
        "export": Job(export, of_newest_version),
        "score": Job(score, of_files),
    }


def of_files(directory: pathlib.Path) -> Content:
    """The hashes of all files but those that hold times."""
    found = {}
    for name in manifest.files_below(directory):
        if any(timed in name for timed in TIMED):
            continue
        if name.endswith(".json"):
            text = json.dumps(without_sums(read_json(directory / name)))
            found[name] = hashlib.sha256(text.encode()).hexdigest()
        else:
            found[name] = manifest.entry(directory / name)["sha256"]
    return found


def without_sums(value: Any) -> Any:
    """What a JSON file holds, without what depends on the process that wrote it."""
    if isinstance(value, list):
        return [without_sums(item) for item in value]
    if isinstance(value, dict):
        return {key: without_sums(item) for key, item in value.items() if key not in OF_A_PROCESS}
    return value


def of_newest_version(directory: pathlib.Path) -> Content:
    """The hashes of the newest export's files; one that was killed too late is there besides."""
    return of_files(versions.latest(directory))


def of_run(directory: pathlib.Path) -> Content:
    """The hashes of a run's files, and of its weights instead of the files that hold them."""
    found = {}
    for name, content in of_files(directory).items():
        if not name.startswith(("best/", "checkpoints/")):
            found[name] = content
    reader = tf.train.load_checkpoint(directory / "best")
    for name in sorted(reader.get_variable_to_shape_map()):
        if name.startswith("weights"):
            values = np.ascontiguousarray(reader.get_tensor(name))
            found[name] = hashlib.sha256(values.tobytes()).hexdigest()
    return found


def all_names(directory: pathlib.Path) -> set[str]:
    """The names of all files, hidden ones too, with N instead of numbers of versions and times."""
    names = set()
    for path in directory.rglob("*"):
        if path.is_file():
            name = str(path.relative_to(directory))
            names.add(re.sub(r"(^|(?<=ckpt-)|(?<=tfevents\.))[0-9]+(?=[/.]).*?(?=/|$)", "N", name))
    return names


@contextlib.contextmanager
def on_this_machine(output: str) -> Iterator[pathlib.Path]:
    """What a job has left, hidden files too; from a store it is brought here."""
    if not is_remote(output):
        yield pathlib.Path(output)
        return
    with tempfile.TemporaryDirectory() as folder:
        if exists(output):
            fetch_tree(output, folder)
        yield pathlib.Path(folder)


def run(
    arguments: list[str],
    temporary: pathlib.Path,
    seconds: float | None = None,
) -> bool:
    """Runs a job to its end, or kills it.

    Args:
        arguments: Of `python -m`.
        temporary: The folder for the process's temporary files.
        seconds: After which it is killed, with all processes that it has started. Default: never.

    Returns:
        Whether it was killed.

    Raises:
        CommandError: If it failed.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True
    if process.returncode != 0:
        raise command.CommandError(f"{' '.join(arguments)} failed: {printed}")
    return False


def make_inputs(root: pathlib.Path, temporary: pathlib.Path) -> None:
    """Writes the rows, a finished run and its export, from which the jobs begin."""
    data, run_dir, models = root / "data", root / "run", root / "models"
    rows = ("--train_rows=20000", "--test_rows=2000")
    run(["tafe_tf.generate", f"--data_dir={data}", *rows], temporary)
    run(
        ["tafe_tf.train", f"--data_dir={data}", f"--run_dir={run_dir}", *SMALL, "--epochs=1"],
        temporary,
    )
    run(
        [
            "export.saved_model",
            f"--run_dir={run_dir}",
            f"--export_dir={models}",
        ],
        temporary,
    )


@dataclasses.dataclass
class Chain:
    """A job that is killed several times in a row.

    Attributes:
        name: Of the job.
        job: The job.
        seconds: How long it takes undisturbed.
        expected: What it leaves then.
        names: The files that it leaves then.
    """

    name: str
    job: Job
    seconds: float
    expected: Content
    names: set[str]

    def run(self, kills: int, moments: random.Random, root: pathlib.Path) -> tuple[int, bool, bool]:
        """Kills the job, and lets it run to its end.

        Args:
            kills: How often at most.
            moments: Draws the moments.
            root: The folder for what it writes.

        Returns:
            How often it was killed, whether it left other content, and whether it left other files.
        """
        with tempfile.TemporaryDirectory(dir=root) as directory:
            output = output_of(f"{self.name}-{uuid.uuid4().hex[:8]}", pathlib.Path(directory))
            temporary = pathlib.Path(directory) / "temporary"
            temporary.mkdir()
            arguments = self.job.arguments(output)
            drawn = []
            killed = 0
            for _ in range(kills):
                moment = moments.uniform(0.0, self.seconds)
                drawn.append(f"{moment:.2f}")
                killed += run(arguments, temporary, moment)
            run(arguments, temporary)
            with on_this_machine(output) as left:
                found = self.job.content(left)
                left_over = all_names(left) ^ self.names
            of_temporary = all_names(temporary)
        differing = {
            name
            for name in found.keys() | self.expected.keys()
            if found.get(name) != self.expected.get(name)
        }
        print(
            f"{self.name}: killed {killed} times (moments {', '.join(drawn)} s); "
            f"differing: {sorted(differing) or 'nothing'}; "
            f"left over: {sorted(left_over | of_temporary) or 'nothing'}",
            flush=True,
        )
        return killed, bool(differing), bool(left_over or of_temporary)


def undisturbed(name: str, job: Job, root: pathlib.Path) -> Chain:
    """Runs a job once without a kill."""
    output = output_of(f"undisturbed_{name}", root)
    temporary = root / f"temporary_{name}"
    temporary.mkdir()
    began = time.monotonic()
    run(job.arguments(output), temporary)
    seconds = time.monotonic() - began
    print(f"{name}: {seconds:.1f} s undisturbed", flush=True)
    with on_this_machine(output) as left:
        return Chain(name, job, seconds, job.content(left), all_names(left))


def output_of(name: str, root: pathlib.Path) -> str:
    """Where a job writes: in the store, if one is given, or else below a folder."""
    return join(_STORE.value or root, name)


def main(argv: list[str]) -> None:
    """Runs chains of kills until there were enough."""
    command.only_flags(argv)
    moments = random.Random(_SEED.value)
    killed = 0
    differ = 0
    left_over = 0
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        make_inputs(root, root)
        if _STORE.value:
            for name in ("data", "run", "models"):
                publish_tree(root / name, join(_STORE.value, name))
        known = jobs(_STORE.value or directory)
        chains = [undisturbed(name, known[name], root) for name in _JOBS.value]
        number = 0
        while killed < _KILLS.value:
            chain = chains[number % len(chains)]
            number += 1
            wanted = min(KILLS_IN_A_ROW, _KILLS.value - killed)
            kills, is_other, has_more = chain.run(wanted, moments, root)
            killed += kills
            differ += is_other
            left_over += has_more
    figures = {"seed": _SEED.value, "kills": killed, "differ": differ, "left_over": left_over}
    print(json.dumps(figures))
    sys.exit(bool(differ or left_over))


if __name__ == "__main__":
    command.run(main)

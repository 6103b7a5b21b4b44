"""Several processes and devices: the weights of one, whatever is lost on the way."""

from __future__ import annotations

import json
import pathlib
import signal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import small_models
from distributed_jobs import LOGICAL_DEVICES, TRAIN, Job, launched, make_funnel
from processes import wait_until_gone

import tafe_tf
from tafe_tf import schema_toml
from tafe_tf.data.formats.write import write
from tafe_tf.data.public.delay_law import DelayLaw
from tafe_tf.data.public.synthetic import SyntheticFunnel
from tafe_tf.distributed import cluster


@pytest.fixture(scope="module")
def funnel(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return make_funnel(tmp_path_factory.mktemp("distributed") / "funnel")


@pytest.fixture(scope="module")
def alone(funnel: pathlib.Path) -> Job:
    """The same batches in one process on one device."""
    job = Job(funnel, funnel.parent / "alone", *TRAIN)
    job.wait()
    return job


def assert_same(job: Job, alone: Job) -> None:
    ours, theirs = job.numbers(), alone.numbers()
    assert ours.keys() == theirs.keys() and len(ours) > 25
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=0, atol=1e-5, err_msg=name)
    rows, expected = job.predictions(), alone.predictions()
    assert len(rows["depth"]) == 400
    np.testing.assert_array_equal(rows["group"], expected["group"])
    np.testing.assert_allclose(rows["logits"], expected["logits"], rtol=0, atol=1e-4)
    metrics, wanted = job.metrics(), alone.metrics()
    assert metrics.keys() == wanted.keys() and "gauc/ctr" in metrics
    for name, number in wanted.items():
        assert metrics[name] == pytest.approx(
            number, abs=2e-3 if name.startswith(("auc", "gauc", "ece")) else 1e-4
        ), name


@pytest.mark.slow
def test_two_devices_have_the_weights_of_one(
    funnel: pathlib.Path, alone: Job, tmp_path: pathlib.Path
) -> None:
    job = Job(funnel, tmp_path / "mirrored", "-c", LOGICAL_DEVICES, strategy="mirrored")
    job.wait()
    assert_same(job, alone)


@pytest.mark.slow
def test_two_processes_have_the_weights_of_one(
    funnel: pathlib.Path, alone: Job, tmp_path: pathlib.Path
) -> None:
    job = Job(funnel, tmp_path / "two", *launched(2))
    job.wait()
    assert_same(job, alone)
    assert job.train_rows() == alone.train_rows()
    assert job.log.count("epoch 1:") == 1  # the chief alone speaks


@pytest.mark.slow
def test_rows_that_are_given_and_not_trained_stay_on_devices_and_servers(
    tmp_path: pathlib.Path,
) -> None:
    funnel = make_funnel(tmp_path / "funnel")
    text = small_models.SCHEMAS["shop"]
    frozen = 'kind = "vocabulary"\nmin_count = 2\npretrained = "users.parquet"\ntrainable = false'
    text = text.replace('kind = "vocabulary"\nmin_count = 2', frozen)
    friend = '[[features]]\nname = "friend"\ncolumn = "user"\nshares = "user"\nside = "user"\n'
    (funnel / "schema.toml").write_text(text + friend)
    vectors = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    users = pa.table({"id": [f"u {i}" for i in range(30)], "vector": list(vectors)})
    pq.write_table(users, funnel / "users.parquet")
    one = Job(funnel, tmp_path / "one", *TRAIN)
    one.wait()
    two = Job(funnel, tmp_path / "two", "-c", LOGICAL_DEVICES, strategy="mirrored")
    two.wait()
    assert_same(two, one)
    servers = Job(funnel, tmp_path / "servers", *launched(2, servers=2), readers=1)
    servers.wait()
    for job in (one, two, servers):
        rows = tafe_tf.load(job.run).embeddings("friend").to_pylist()[2:]
        assert len(rows) == 30
        for row in rows:
            np.testing.assert_array_equal(row["vector"], vectors[int(row["id"][2:])])


@pytest.mark.slow
def test_histories_numbers_and_vectors_on_devices_and_servers(tmp_path: pathlib.Path) -> None:
    funnel = tmp_path / "funnel"
    funnel.mkdir()
    more = """
[[features]]
name = "price"
kind = "number"
[[features]]
name = "size"
column = "price"
kind = "number"
embedding = "autodis"
buckets = 6
[[features]]
name = "class"
column = "price"
kind = "quantile"
buckets = 8
[[features]]
name = "photo"
kind = "vector"
length = 2
"""
    features, sequences = small_models.STORIES.split("[[sequences]]")
    features = features.replace("[[tasks]]", 'group = "user"\n[[tasks]]', 1)
    (funnel / "schema.toml").write_text(f"{features}{more}[[sequences]]{sequences}")

    def rows(count: int, seed: int) -> dict[str, list[object]]:
        rng = np.random.default_rng(seed)
        prices: list[object] = rng.lognormal(2, 1, count).tolist()
        photos: list[object] = rng.normal(size=(count, 2)).tolist()
        prices[::7] = [None] * len(prices[::7])  # so that what missing values learn is trained too
        photos[::5] = [None] * len(photos[::5])
        return {**small_models.rows("stories", count, seed), "price": prices, "photo": photos}

    for number in range(4):
        write(funnel / f"train-{number}.parquet", rows(500 + 60 * number, number))
    write(funnel / "test.parquet", rows(400, 9))
    one = Job(funnel, tmp_path / "one", *TRAIN)
    one.wait()
    two = Job(funnel, tmp_path / "two", "-c", LOGICAL_DEVICES, strategy="mirrored")
    two.wait()
    assert_same(two, one)
    processes = Job(funnel, tmp_path / "processes", *launched(2))
    processes.wait()
    assert_same(processes, one)
    servers = Job(funnel, tmp_path / "servers", *launched(2, servers=2), readers=1)
    servers.wait()
    # As above: three standard errors of an AUC, since asynchronous steps come in any order.
    assert servers.metrics()["auc/ctr"] == pytest.approx(one.metrics()["auc/ctr"], abs=0.075)
    moments = [n for n in servers.numbers() if n.startswith("optimizer/")]
    assert len(moments) > 40
    for name in moments:  # every weight has had a gradient
        assert np.abs(servers.numbers()[name]).max() > 0, name


@pytest.mark.slow
def test_two_devices_balance_the_tasks_as_one_does(
    funnel: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    flags = {"model": "shared_bottom", "loss_balancing": "gradnorm"}
    one = Job(funnel, tmp_path / "one", *TRAIN, **flags)
    one.wait()
    two = Job(funnel, tmp_path / "two", "-c", LOGICAL_DEVICES, strategy="mirrored", **flags)
    two.wait()
    assert_same(two, one)
    learned = two.numbers()["balancing/0/.ATTRIBUTES/VARIABLE_VALUE"]
    assert np.ptp(learned) > 0.1


@pytest.mark.slow
def test_two_devices_learn_the_delays_of_one(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "log"
    log.mkdir()
    law = DelayLaw(mean_days=1.0, window_days=7, log_days=14)
    funnel = SyntheticFunnel(rates=(0.4, 0.2), fields=3, values=5, delay=law)
    (log / "schema.toml").write_text(schema_toml.dump(funnel.schema()))
    for number in range(4):
        write(log / f"train-{number}.parquet", funnel.chunk(0, number, 600))
    flags = {"model": "shared_bottom", "delay_loss": "exponential", "save_predictions": False}
    one = Job(log, tmp_path / "one", *TRAIN, **flags)
    one.wait()
    two = Job(log, tmp_path / "two", "-c", LOGICAL_DEVICES, strategy="mirrored", **flags)
    two.wait()
    ours, theirs = two.numbers(), one.numbers()
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=0, atol=1e-5, err_msg=name)
    learned = ours["delays/0/.ATTRIBUTES/VARIABLE_VALUE"]
    assert learned[1] - np.log(3.0 / (7 * 86_400)) > 0.1  # from 2.3 days towards 1


@pytest.mark.slow
def test_lost_and_preempted_workers_change_nothing(
    funnel: pathlib.Path, alone: Job, tmp_path: pathlib.Path
) -> None:
    job = Job(funnel, tmp_path / "disturbed", *launched(2))
    job.until(lambda: len(job.checkpoints()) > 0)
    job.signal("worker", 1, signal.SIGTERM)  # taken back: all save and leave
    job.until(lambda: job.log.count("resuming from") == 1)
    seen = job.checkpoints()
    job.until(lambda: job.checkpoints() != seen)
    job.signal("worker", 0, signal.SIGKILL)  # the chief, whenever it may be writing
    job.wait()
    assert "SIGTERM" in job.log and "saved at epoch" in job.log and "exit code 143" in job.log
    assert "lost worker 0 (exit code -9)" in job.log and job.log.count("resuming from") == 2
    assert_same(job, alone)


@pytest.mark.slow
def test_a_launcher_that_is_killed_or_asked_to_end_changes_nothing(
    funnel: pathlib.Path, alone: Job, tmp_path: pathlib.Path
) -> None:
    job = Job(funnel, tmp_path / "launched", *launched(2))
    job.until(lambda: len(job.checkpoints()) > 0)
    assert job.listening("worker", 0) == {"lo"} or "listen on every network interface" in job.log
    workers = [job.task("worker", 0), job.task("worker", 1)]
    job.process.kill()
    job.process.wait()
    wait_until_gone(*workers)

    seen = job.checkpoints()
    job = Job(funnel, tmp_path / "launched", *launched(2))
    job.until(lambda: job.checkpoints() != seen)
    workers = [job.task("worker", 0), job.task("worker", 1)]
    job.process.terminate()
    assert job.process.wait(timeout=60) == 143, job.log
    assert "resuming from" in job.log and "saved at epoch" in job.log
    wait_until_gone(*workers)

    job = Job(funnel, tmp_path / "launched", *launched(2))
    job.wait()
    assert "resuming from" in job.log
    assert_same(job, alone)


@pytest.mark.slow
def test_parameter_servers_learn_as_much(
    funnel: pathlib.Path, alone: Job, tmp_path: pathlib.Path
) -> None:
    job = Job(funnel, tmp_path / "servers", *launched(2, servers=2), readers=1)
    job.until(lambda: len(job.checkpoints()) > 0)
    job.signal("worker", 1, signal.SIGKILL)
    job.wait()
    assert "starting worker 1 again" in job.log
    assert (
        json.loads((job.run / "model.json").read_text())["config"]["embedding_parts"] == 2
    )  # a table a server
    rows = job.train_rows()[0]
    assert job.train_rows() == [rows] * 3 and 2000 < rows < 2360  # whole epochs, whatever was lost
    # The order of asynchronous steps differs from run to run, and so do the weights: on 400 rows an
    # AUC of 0.8 has a standard error of 0.025, so this asks for three of them.
    assert job.metrics()["auc/ctr"] == pytest.approx(alone.metrics()["auc/ctr"], abs=0.075)


@pytest.mark.slow
def test_validation_within_epochs_is_that_of_one_process(
    funnel: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    flags = {"validate_steps": 10, "patience": 99}
    one = Job(funnel, tmp_path / "one", *TRAIN, **flags)
    one.wait()
    two = Job(funnel, tmp_path / "two", *launched(2), **flags)
    two.until(lambda: len(two.checkpoints()) > 0)
    two.signal("worker", 1, signal.SIGTERM)
    two.wait()
    assert "resuming from" in two.log and "epoch 2, step 20: " in two.log
    assert_same(two, one)
    assert two.validated_steps() == one.validated_steps()

    servers = Job(funnel, tmp_path / "servers", *launched(2, servers=2), readers=1, **flags)
    servers.wait()
    steps = servers.validated_steps()
    ends = steps[3::4]
    assert steps == [start + n for start in (0, *ends[:2]) for n in (10, 20, 30, ends[0])]


def test_a_strategy_needs_its_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(
        ValueError, match="--strategy=multi_worker needs the environment variable TF_CONFIG"
    ):
        cluster.make("multi_worker")
    assert cluster.make().replicas == 1


def test_readers_are_dealt_evenly() -> None:
    three = cluster.Cluster(worker=1, workers=3)
    assert list(three.readers(6)) == [2, 3]
    with pytest.raises(ValueError, match="--readers must be a multiple of the 3 workers"):
        three.readers(4)

"""The processes that train together: their strategy, their chief, and what they exchange."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

NAMES = ("auto", "one_device", "mirrored", "multi_worker", "parameter_server", "tpu")


class Cluster:
    """This process's view of the job. The defaults describe a job of one process.

    Args:
        strategy: Of tf.distribute; by default the current one.
        worker: This process's number, from 0. The default is 0.
        workers: Number of processes that run the loop, each on its own part of the rows. The
            default is 1.
        stepping: Number of workers that this process, as a coordinator, sends batches to. The
            default, 0, means that it steps itself.
        servers: Number of parameter servers. The default is 0.

    Attributes:
        strategy: Of tf.distribute.
        chief: Whether this process writes and prints.
        local_replicas: Number of replicas of the model in this process.
        is_tpu: Whether all shapes must be known.
        replicas: Number of replicas in all processes; with parameter servers 1, since each of their
            workers steps by itself.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy | None = None,
        worker: int = 0,
        workers: int = 1,
        stepping: int = 0,
        servers: int = 0,
    ) -> None:
        self.strategy = strategy or tf.distribute.get_strategy()
        self.worker = worker
        self.workers = workers
        self.stepping = stepping
        self.servers = servers
        self.chief = worker == 0
        self.replicas = self.strategy.num_replicas_in_sync
        self.local_replicas = self.replicas // workers
        self.is_tpu = isinstance(self.strategy, tf.distribute.TPUStrategy)

    def readers(self, count: int) -> range:
        """Those of `count` readers whose rows this process trains on.

        Raises:
            ValueError: If they cannot be dealt evenly.
        """
        if count % self.workers:
            raise ValueError(
                f"--readers must be a multiple of the {self.workers} workers. Received: {count}"
            )
        each = count // self.workers
        first = self.worker * each
        return range(first, first + each)

    def iterate(self, dataset: tf.data.Dataset) -> Any:
        """An iterator over batches, each a replica's piece in turn, without end."""
        if self.replicas == 1:
            return iter(dataset)
        endless = dataset.apply(
            tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        )
        return iter(self.strategy.distribute_datasets_from_function(lambda _: endless))

    def all(self, flag: bool) -> bool:
        """Whether the flag is set in every process. All processes must ask together."""
        if self.workers == 1:
            return flag
        unset = self._sum(int(not flag))
        return unset == 0

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process. All processes must ask together."""
        if self.workers == 1:
            return flag
        set_in = self._sum(int(flag))
        return set_in > 0

    def barrier(self) -> None:
        """Waits for all processes."""
        self.all(True)

    def first(self, do: Callable[[], Any]) -> Any:
        """Does something in all processes, in the chief first.

        The other processes then find what the chief wrote.
        """
        if self.chief:
            result = do()
        self.barrier()
        return result if self.chief else do()

    def gather(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Joins the arrays of all processes, in every process.

        Args:
            arrays: [n, ...] by name, the same names in every process; n may differ.

        Returns:
            The arrays of all processes one after the other, [sum of n, ...] by name.
        """
        if self.workers == 1:
            return dict(arrays)
        return {name: self._gather(array) for name, array in arrays.items()}

    def _sum(self, value: int) -> int:
        of_workers = self._exchange(np.array([value]))
        return int(of_workers.sum())

    def _gather(self, array: np.ndarray) -> np.ndarray:
        counts = self._exchange(np.array([len(array)]))
        longest = max(counts.max(), 1)  # collectives crash on an empty array
        shape = (longest, *array.shape[1:])
        padded = np.zeros(shape, array.dtype)
        padded[: len(array)] = array
        of_workers = np.split(self._exchange(padded), self.workers)
        rows = []
        for part, count in zip(of_workers, counts, strict=True):
            rows.append(part[:count])
        return np.concatenate(rows)

    def _exchange(self, array: np.ndarray) -> np.ndarray:
        """`gather` for arrays that are equally long, and not empty, in all processes."""
        sent = array
        if array.dtype.itemsize < 4:
            sent = array.astype(np.int32)  # collectives know neither smaller types
        elif array.dtype == np.uint64:
            sent = array.view(np.int64)  # nor this one
        gathered = _all_gather(self.strategy, tf.constant(sent))
        of_replicas = gathered.numpy().reshape(
            self.workers,
            self.local_replicas,
            *array.shape,
        )
        of_workers = of_replicas[:, 0]  # a worker's replicas all send the same
        joined = of_workers.reshape(-1, *array.shape[1:])
        if array.dtype == np.uint64:
            return joined.view(np.uint64)
        return joined.astype(array.dtype, copy=False)


@tf.function(reduce_retracing=True)
def _all_gather(strategy: tf.distribute.Strategy, rows: tf.Tensor) -> tf.Tensor:
    def own(rows: tf.Tensor) -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        on_device = tf.identity(rows)  # as an operation it has a device
        return context.all_gather(on_device, axis=0)

    of_replicas = strategy.run(own, args=(rows,))
    local = strategy.experimental_local_results(of_replicas)
    return local[0]


def make(name: str = "auto", tpu: str = "") -> Cluster:
    """Finds this process's place in TF_CONFIG, or else the devices of this machine. Call it first.

    A process that TF_CONFIG makes a parameter server, or a worker beside parameter servers, serves
    here and does not come back.

    Args:
        name: Of a strategy, one of `NAMES`; "auto" takes parameter servers or several workers if
            TF_CONFIG has them, a TPU if its address is given, all GPUs if there are several, and
            else one device.
        tpu: Address of a TPU, or "local" on its own host.

    Raises:
        ValueError: If the strategy needs a TF_CONFIG that is not there.
    """
    config = json.loads(os.environ.get("TF_CONFIG") or "{}")
    jobs = config.get("cluster", {})
    chiefs = len(jobs.get("chief", []))
    workers = chiefs + len(jobs.get("worker", []))
    if name == "auto":
        name = _found(jobs, workers, tpu)
    if name in ("multi_worker", "parameter_server") and not jobs:
        raise ValueError(
            f"--strategy={name} needs the environment variable TF_CONFIG, see docs/clusters.md"
        )
    if name == "multi_worker":
        task = config["task"]
        number = int(task["index"])
        if task["type"] == "worker":
            number += chiefs
        return Cluster(
            tf.distribute.MultiWorkerMirroredStrategy(),
            number,
            workers,
        )
    if name == "parameter_server":
        return Cluster(
            _parameter_servers(),
            stepping=len(jobs["worker"]),
            servers=len(jobs["ps"]),
        )
    if name == "tpu":
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(tpu or None)
        return Cluster(tf.distribute.TPUStrategy(resolver))
    return Cluster(tf.distribute.MirroredStrategy() if name == "mirrored" else None)


def _found(
    jobs: Mapping[str, Any],
    workers: int,
    tpu: str,
) -> str:
    if "ps" in jobs:
        return "parameter_server"
    if workers > 1:
        return "multi_worker"
    if tpu:
        return "tpu"
    return "mirrored" if len(tf.config.list_physical_devices("GPU")) > 1 else "one_device"


def _parameter_servers() -> tf.distribute.Strategy:
    """The coordinator's strategy; a worker or server stays here."""
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver(rpc_layer="grpc")
    if resolver.task_type in ("worker", "ps"):
        server = tf.distribute.Server(
            resolver.cluster_spec(),
            job_name=resolver.task_type,
            task_index=resolver.task_id,
            protocol="grpc",
        )
        server.join()
    return tf.distribute.ParameterServerStrategy(resolver)

"""Batch scoring as an Apache Beam pipeline, for which the extra [beam] must be installed.

Every worker runs `serving.batch.scoring.score`. Beam's own TensorFlow handlers load models by Keras
and fail on SavedModels under Keras 3 (apache/beam#30616); ours loads through the session loader,
once per worker process. Model, input and output files must lie where every worker finds them under
the same path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from apache_beam.ml.inference.base import ModelHandler, RunInference

from tafe_tf.data.lock import locked
from tafe_tf.engines.beam import pipeline
from tafe_tf.export.session_model import SessionModel
from tafe_tf.serving.batch.job import Job, JobError, check_model
from tafe_tf.serving.batch.ledger import Shard, claim, finish
from tafe_tf.serving.batch.scoring import load, score


class ShardHandler(ModelHandler):
    """Scores shards where they lie: their names travel through the pipeline, not their rows.

    Args:
        job: The job that the shards belong to.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(
            max_batch_size=1
        )  # a shard has a million rows, and need not wait for others
        self._job = job

    def load_model(self) -> SessionModel:
        """Loads the model; Beam calls this once per worker process."""
        return load(self._job)

    def run_inference(
        self,
        batch: Sequence[Shard],
        model: SessionModel,
        inference_args: Mapping[str, Any] | None = None,
    ) -> Iterator[int]:
        """Scores shards and writes their parts; yields each shard's number of rows."""
        for shard in batch:
            yield sum(score(model, self._job, [shard]))


def run(job: Job, options: Sequence[str]) -> dict[str, Any]:
    """Scores what is left of a job on one of Beam's runners.

    Args:
        job: The job; the same job goes on where it was stopped.
        options: Beam's options, `--runner` among them.

    Returns:
        The counts of `ledger.finish`.

    Raises:
        JobError: If the output directory holds another job, the model is not what was published, or
            the pipeline failed. The message then holds the reason that the worker gave, such as a
            bad row's file, row, column and value.
        LockError: If another process scores into the directory.
    """
    with locked(job.output):
        left = claim(job, each_part=True)
        if left:
            print(f"{job.model}: {check_model(job.model)}", flush=True)
            try:
                pipeline.run(left, RunInference(ShardHandler(job)), options)
            except pipeline.PipelineError as error:
                raise JobError(str(error)) from error
        return finish(job)

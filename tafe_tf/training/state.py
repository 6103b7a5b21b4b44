"""How far training has come: what a checkpoint says of it, and sums over the running epoch."""

from __future__ import annotations

import dataclasses
import json
import math
import time

from tafe_tf.data.batches.position import Position
from tafe_tf.metrics import Metrics
from tafe_tf.training.step_report import StepReport


@dataclasses.dataclass
class State:
    """What a checkpoint holds beside weights and moments.

    Attributes:
        position: The next batch.
        best: The best score so far; larger is better.
        waited: Number of validations since then.
        validated: The batch of the running epoch before which validation last took place; 0 if it
            has not yet in this epoch.
        stopped: Whether a callback has ended the training.
        history: Training and validation metrics by validation.
        run: The run that it is a state of, see `NotedRows.identity`.
    """

    position: Position = dataclasses.field(default_factory=Position)
    best: float = -math.inf
    waited: int = 0
    validated: int = 0
    stopped: bool = False
    history: list[Metrics] = dataclasses.field(default_factory=list)
    run: str = ""

    def to_json(self) -> str:
        """The state as text."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> State:
        """The state that `to_json` wrote."""
        fields = json.loads(text)
        return cls(
            **{
                **fields,
                "position": Position(**fields["position"]),
            }
        )


@dataclasses.dataclass
class Sums:
    """Sums over steps in a row, those that this process has made."""

    rows: int = 0
    steps: int = 0
    loss: float = 0.0
    began: float = dataclasses.field(default_factory=time.monotonic)

    def add(self, report: StepReport) -> None:
        """Adds the steps of a call."""
        self.rows += int(report.rows)
        self.steps += round(float(report.steps))
        self.loss += float(report.loss)

    @property
    def mean_loss(self) -> float:
        """The mean over the steps; NaN if there were none."""
        return self.loss / self.steps if self.steps else math.nan

    def metrics(self) -> Metrics:
        """The sums as an entry of the history has them."""
        return {
            "train_seconds": time.monotonic() - self.began,
            "train_rows": self.rows,
            "train_loss": self.mean_loss if self.steps else None,
        }


@dataclasses.dataclass
class Epoch:
    """What this process has trained of an epoch.

    Attributes:
        all: All of it.
        part: What came after the last validation.
        calls: Number of calls.
    """

    all: Sums = dataclasses.field(default_factory=Sums)
    part: Sums = dataclasses.field(default_factory=Sums)
    calls: int = 0

    def add(self, report: StepReport) -> None:
        """Adds the steps of a call."""
        self.all.add(report)
        self.part.add(report)
        self.calls += 1

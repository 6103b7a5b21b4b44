"""Measures what interactions are worth in the funnels whose truth is known.

    python -m benchmarks.additive [--chunks=8]

For each kind of `tafe_tf.generate --interactions`, prints the AUC of the true probabilities and
that of the best additive model: logistic regression on one-hot values, of all rows for each task.
"""

from __future__ import annotations

import numpy as np
from absl import flags
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import OneHotEncoder

from tafe_tf.data.public.sample_wise import SampleWiseFunnel
from tafe_tf.data.public.synthetic import CHUNK, SyntheticFunnel
from tafe_tf.terminal import command

_CHUNKS = flags.DEFINE_integer(
    "chunks", 8, f"How many times {CHUNK:,} rows are fitted; half of it is held out.", 2
)


def main(argv: list[str]) -> None:
    """Measures both kinds."""
    command.only_flags(argv)
    print("| funnel | step | AUC of the truth | AUC of the best additive model |")
    print("|---|---|---|---|")
    kinds = {"fixed": SyntheticFunnel(), "sample_wise": SampleWiseFunnel()}
    for kind, funnel in kinds.items():
        _measure(kind, funnel)


def _measure(kind: str, funnel: SyntheticFunnel) -> None:
    train = _rows(funnel, stream=0, chunks=_CHUNKS.value)
    test = _rows(funnel, stream=1, chunks=_CHUNKS.value // 2)
    encoder = OneHotEncoder(handle_unknown="ignore")
    train_values = encoder.fit_transform(_values(funnel, train))
    test_values = encoder.transform(_values(funnel, test))
    for task in funnel.tasks:
        additive = LogisticRegression(max_iter=200)
        additive.fit(train_values, train[task])
        predicted = additive.predict_proba(test_values)[:, 1]
        of_truth = roc_auc_score(test[task], test[f"true_{task}"])
        of_additive = roc_auc_score(test[task], predicted)
        print(f"| {kind} | {task} | {of_truth:.3f} | {of_additive:.3f} |", flush=True)


def _rows(funnel: SyntheticFunnel, stream: int, chunks: int) -> dict[str, np.ndarray]:
    """The columns of some chunks, one below the other."""
    parts = [funnel.chunk(stream, number, CHUNK) for number in range(chunks)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _values(funnel: SyntheticFunnel, rows: dict[str, np.ndarray]) -> np.ndarray:
    """The fields' values as texts, [rows, fields]."""
    columns = [rows[f"field_{field}"].astype(str) for field in range(funnel.fields)]
    return np.stack(columns, axis=1)


if __name__ == "__main__":
    command.run(main)

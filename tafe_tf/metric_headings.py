"""What tables and pages call the metrics; apart from them, so that a table needs no SciPy."""

from __future__ import annotations

HEADINGS = {
    "rows": "rows that know it",
    "auc": "AUC",
    "gauc": "grouped AUC",
    "gini": "normalised Gini",
    "log_loss": "log loss",
    "pcoc": "predicted / observed",
    "ece": "calibration error",
}
TRUTH_HEADINGS = {
    "truth_auc": "AUC",
    "truth_auc_best": "AUC of the truth",
    "truth_ratio": "predicted / true",
    "truth_mae": "mean abs. error",
}

"""The flags that name a tracker."""

from __future__ import annotations

from absl import flags

TRACKING = flags.DEFINE_string(
    "tracking",
    "",
    "Tracker that is told of settings, curves, metrics, files and the report: mlflow:URI, with "
    "MLflow's tracking URI. By default there is none. A tracker that fails keeps nothing from "
    "being trained or published.",
)
TRACKING_PARENT = flags.DEFINE_string(
    "tracking_parent",
    "",
    "The number of the tracker's run that this one is a part of. By default none.",
)

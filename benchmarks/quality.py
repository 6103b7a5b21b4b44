"""Mean and standard deviation of the test metrics over runs of one dataset with several seeds.

for seed in 0 1 2 3 4; do
  python -m tafe_tf.train --flagfile=flagfiles/steam.flags --data_dir=DIR --run_dir=runs/steam-$seed --seed=$seed
done
python -m benchmarks.quality runs/steam-*
"""

from __future__ import annotations

import json
import pathlib

import numpy as np
from absl import app

from tafe_tf import schema


def main(argv: list[str]) -> None:
    """Prints one line of Markdown a probability, and a last line of JSON."""
    if len(argv) < 2:
        raise app.UsageError("give the run directories of all seeds")
    dataset = schema.load(pathlib.Path(argv[1]) / "schema.toml")
    runs = [json.loads((pathlib.Path(path) / "metrics.json").read_text()) for path in argv[1:]]
    steps = [f"auc/{name}" for name in dataset.step_names]
    for run in runs:
        run["mean over tasks"] = float(np.mean([run[key] for key in steps]))
    keys = [*steps, *(f"auc/{name}" for name in dataset.conditional_names), "mean over tasks"]
    keys += [f"{kind}/{name}" for kind in ("pcoc", "ece") for name in dataset.step_names]
    figures = {key: (np.mean([run[key] for run in runs]), np.std([run[key] for run in runs])) for key in keys}
    print(f"| {dataset.name}, {len(runs)} seeds | mean | sd |\n|---|---|---|")
    for key, (mean, deviation) in figures.items():
        print(f"| {key} | {mean:.4f} | {deviation:.4f} |")
    print(json.dumps({key: [round(float(x), 4) for x in figure] for key, figure in figures.items()}))


if __name__ == "__main__":
    app.run(main)

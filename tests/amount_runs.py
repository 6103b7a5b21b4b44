"""A small run of a funnel with an amount and a score, for the tests of exporting and serving."""

from __future__ import annotations

import dataclasses
import pathlib

import amount_rows

from tafe_tf.data.formats.write import write
from tafe_tf.schema import Score
from tafe_tf.training.config import ModelConfig, TrainingConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.fit import fit
from tafe_tf.training.run import Run

SCORE = Score(
    powers=(("ctcvr", 1.0), ("amount_given_conversion", 0.5), ("bid", 2.0)),
    inputs=("bid",),
)
TEST = amount_rows.drawn(1, 500)
COLUMNS = {name: TEST[name] for name in amount_rows.INPUTS}


def make_run(directory: pathlib.Path) -> Run:
    """Trains it; the first field is the user's, so that its export has `rank` and `rank_score`."""
    rows = amount_rows.drawn(0, 3000)
    write(directory / "train.parquet", {name: values.tolist() for name, values in rows.items()})
    schema = amount_rows.schema(score=SCORE)
    user = dataclasses.replace(schema.features[0], side="user")
    schema = dataclasses.replace(schema, features=(user, *schema.features[1:]))
    model = ModelConfig(name="shared_bottom", arguments={"bottom_units": [8], "tower_units": [4]})
    data = DataConfig(train=(str(directory / "train.parquet"),), schema=schema)
    training = TrainingConfig(
        epochs=1, batch_size=128, learning_rate=1e-3, learning_rate_decay="none"
    )
    return fit(data, directory / "run", model=model, training=training, verbose=False)

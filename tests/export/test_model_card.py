"""The model card against the files that it was made from."""

from __future__ import annotations

import json

from tafe_tf.export import description, model_card
from tafe_tf.export.session_model import SessionModel
from tafe_tf.training.run_dir import RunDir


def test_the_card_repeats_what_the_run_says(served: tuple[RunDir, SessionModel]) -> None:
    run, model = served
    card = json.loads((model.path / model_card.FILE).read_text())
    assert card["test_metrics"] == json.loads((run.path / "metrics.json").read_text())
    assert card["model"] == json.loads((run.path / "model.json").read_text())
    data = json.loads((run.path / "data.json").read_text())
    assert card["accepted_changes"] == data["accepted_changes"]
    noted = data["inputs"]
    for split, files in noted.items():
        found = [(file["name"], file["size"], file["sample"]) for file in card["data"][split]]
        assert found == [tuple(file) for file in files]
    assert card["columns"] == [
        {"name": c.name, "dtype": c.dtype, "list": c.max_length > 0} for c in run.schema().inputs
    ]
    described = description.ask(model)
    assert described is not None
    assert card.items() >= described.items()
    assert set(card["signatures"]) == set(model.signatures)
    assert card["signatures"]["examples"]["inputs"] == {"examples": "string [?]"}
    assert (card["calibration"], card["embedding_storage"]) == ("none", "float32")

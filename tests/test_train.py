"""Training as a user commands it, and what the other commands make of the run."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import small_models
import tensorflow as tf
from absl import flags as absl_flags
from absl.testing import flagsaver
from marks import all_slow_but

from tafe_tf import evaluate, flags, prepare, report, train
from tafe_tf.data.formats.write import write
from tafe_tf.export import publish as publishing
from tafe_tf.export.errors import ExportError
from tafe_tf.export.first_rows import score_first_rows
from tafe_tf.export.probe_rows import probe_rows
from tafe_tf.export.publish import ExportConfig, publish
from tafe_tf.export.session_model import SessionModel
from tafe_tf.export.versions import latest
from tafe_tf.losses import CounterfactualLoss, FunnelLoss
from tafe_tf.models import BY_NAME
from tafe_tf.terminal import command
from tafe_tf.terminal.command import CommandError
from tafe_tf.training.build import build_loss, build_model
from tafe_tf.training.deep_units import with_deep_units
from tafe_tf.training.errors import RunError
from tafe_tf.training.run_dir import RunDir

FLAGS = absl_flags.FLAGS
LONG = ("p_view", "p_cart", "p_buy", "p_cart_given_view", "p_buy_given_cart")
SHORT = ("ctr", "ctcvr", "cvr")
FIELDS = ("user", "item", "hour", "price", "tags")
SCHEMA = small_models.SHOP.replace('side = "user"\n', "").replace(
    'name = "buy"\n', 'name = "buy"\nvia = ["look", "cart"]\n'
)


def rows(count: int, seed: int) -> dict[str, list[object]]:
    """Rows of the shop; half of its clicks fill a cart, and three in four look at reviews first."""
    columns = small_models.rows("shop", count, seed)
    return {
        **columns,
        "look": [int(bool(click) and i % 4 > 0) for i, click in enumerate(columns["click"])],
        "cart": [int(bool(click) and i % 2 == 0) for i, click in enumerate(columns["click"])],
    }


@pytest.fixture(autouse=True)
def known_flags() -> Iterator[None]:
    """Flags as a new process has them, and as after the test nobody sees them."""
    if not FLAGS.is_parsed():
        FLAGS(["test"])
    policy = keras.config.dtype_policy()
    with flagsaver.flagsaver(
        embedding_dim=4, num_inducing=4, num_layers=2, batch_size=64, epochs=2, learning_rate=0.02
    ):
        yield
    keras.config.set_dtype_policy(policy)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The same shop in every format, one directory each."""
    root = tmp_path_factory.mktemp("shop")
    for extension in ("csv.gz", "parquet", "tfrecord"):
        directory = root / extension
        directory.mkdir()
        write(directory / f"train.{extension}", rows(1500, seed=0))
        write(directory / f"test.{extension}", rows(500, seed=1))
        (directory / "schema.toml").write_text(SCHEMA)
    return root


@pytest.fixture(scope="module")
def trained(shop: pathlib.Path) -> pathlib.Path:
    """A run on the Parquet files."""
    if not FLAGS.is_parsed():
        FLAGS(["test"])
    with flagsaver.flagsaver(
        embedding_dim=4, num_inducing=4, num_layers=2, batch_size=64, epochs=2, learning_rate=0.02
    ):
        return run_train(shop / "parquet", shop / "run")


def run_train(data: pathlib.Path, run: pathlib.Path, **settings: object) -> pathlib.Path:
    with flagsaver.flagsaver(data_dir=str(data), run_dir=str(run), **settings):
        train.train()
    return run


def weights(run: pathlib.Path) -> list[np.ndarray]:
    return [np.array(v) for v in RunDir(run).load_best().variables]


@pytest.mark.slow
def test_every_format_gives_the_same_weights(
    shop: pathlib.Path, trained: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    for extension in ("csv.gz", "tfrecord"):
        run = run_train(shop / extension, tmp_path / extension)
        for a, b in zip(weights(run), weights(trained), strict=True):
            np.testing.assert_array_equal(a, b)


def test_metrics_of_the_test_rows(
    shop: pathlib.Path, trained: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = json.loads((trained / "metrics.json").read_text())
    kinds = ("auc", "gauc", "log_loss", "pcoc", "ece")
    assert set(metrics) == {f"{k}/{n}" for k in kinds for n in SHORT} | {
        "rows",
        "rows_without_group",
        "seconds",
        "violation_rate",
        "parameters",
    } | {f"{kind}/{name}" for kind in ("values", "missing", "unseen") for name in FIELDS}
    assert metrics["values/user"] == 500
    known = set((trained / "vocabulary" / "user.txt").read_text().splitlines())
    unseen = [user for user in rows(500, seed=1)["user"] if user not in known]
    assert metrics["unseen/user"] == len(unseen) / 500
    assert metrics["rows"] == 500
    assert metrics["auc/ctr"] > 0.7
    (trained / "metrics.json").unlink()
    with flagsaver.flagsaver(data_dir=str(shop / "parquet"), run_dir=str(trained), split="test"):
        evaluate.evaluate()
    again = json.loads((trained / "metrics.json").read_text())
    assert {k: v for k, v in again.items() if k != "seconds"} == pytest.approx(
        {k: v for k, v in metrics.items() if k != "seconds"}, abs=1e-6
    )
    out = capsys.readouterr().out
    assert "predicted / observed" in out
    assert "values of the test rows" in out and "in training" in out
    report.main(["report", str(trained)])
    out = capsys.readouterr().out
    assert "AUC ctcvr" in out and f"{metrics['auc/cvr']:.4f}" in out


def test_a_run_is_not_mixed_with_another(shop: pathlib.Path, trained: pathlib.Path) -> None:
    with pytest.raises(
        RunError, match=r"flags.txt: this directory holds another run; .*'--learning_rate=0.5'"
    ):
        run_train(shop / "parquet", trained, learning_rate=0.5)
    before = weights(trained)
    run_train(shop / "parquet", trained, checkpoint_steps=1)  # the same run: nothing left to do
    for a, b in zip(weights(trained), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_bad_rows_are_dropped_and_reported(
    shop: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = rows(300, seed=2)
    data["click"][6], data["buy"][6] = 0, 1
    (tmp_path / "schema.toml").write_text(SCHEMA)
    write(tmp_path / "train.csv", data)
    with pytest.raises(
        ValueError,
        match=r"train.csv: row 7, column 'buy': is 1 where the earlier step 'click' is 0",
    ):
        run_train(tmp_path, tmp_path / "raise")
    run_train(tmp_path, tmp_path / "drop", on_bad_row="drop", epochs=1)
    out = capsys.readouterr().out
    assert "dropped 1 rows, the first: " in out and "row 7, column 'buy'" in out
    assert "no test files" in out


# One of each kind: experts, columns for a loss of its own, several tables, attention, products.
@pytest.mark.parametrize(
    "name", all_slow_but({"escm2"}, ["mmoe", "escm2", "single_task", "mran", "hm3"])
)
def test_baselines_train_and_export(shop: pathlib.Path, tmp_path: pathlib.Path, name: str) -> None:
    sizes = {
        "tower_units": ["16"],
        "expert_units": ["16", "16"],
        "bottom_units": ["16"],
        "num_experts": 3,
    }
    run = run_train(
        shop / "parquet", tmp_path / "run", model=name, learning_rate=0.01, epochs=3, **sizes
    )
    assert json.loads((run / "metrics.json").read_text())["auc/ctr"] > 0.6
    assert isinstance(RunDir(run).load_best(), BY_NAME[name])
    path = publish(
        RunDir(run), tmp_path / "export", ExportConfig(version=1, embedding_storage="int8")
    )
    assert json.loads((path / "assets.extra" / "model_card.json").read_text())["model"][
        "class_name"
    ] == (BY_NAME[name].__name__)
    with pytest.raises(
        CommandError, match=r"--tower_units must be positive integers, .* Received: 6,x"
    ):
        run_train(shop / "parquet", tmp_path / "wrong", model=name, tower_units=["6", "x"])


def test_each_model_has_its_papers_loss(trained: pathlib.Path) -> None:
    features, weights = RunDir(trained).features(), {}

    def asked(**settings: object) -> FunnelLoss:
        with flagsaver.flagsaver(**settings):
            model = build_model(with_deep_units(flags.model_config(), rows=0), features)
            return build_loss(model, features.schema, flags.training_config())

    for name in BY_NAME:
        loss = asked(model=name)
        weights[name] = (loss.dependence_weight, loss.order_weight)
    assert weights.pop("tafe") == (1.0, 0.0) and weights.pop("aitm") == (0.0, 0.6)
    assert set(weights.values()) == {(0.0, 0.0)}
    for name in ("mmoe", "escm2", "esm2"):
        loss = asked(model=name, dependence_weight=0.5, order_weight=2.0)
        assert (loss.dependence_weight, loss.order_weight) == (0.5, 2.0)
    assert isinstance(asked(model="escm2", estimator="dr"), CounterfactualLoss)


def test_mains_end_with_one_line(shop: pathlib.Path, tmp_path: pathlib.Path) -> None:
    def failing(main: Callable[[list[str]], None], text: str, **settings: object) -> None:
        with flagsaver.flagsaver(**settings), pytest.raises(SystemExit) as ended:
            main(["program"])
        assert str(ended.value).startswith("error: ") and text in str(ended.value)

    failing(train.main, "--data_dir and --run_dir must be given")
    failing(
        train.main,
        "no file train.EXT",
        data_dir=str(tmp_path),
        run_dir=str(tmp_path / "r"),
        schema=str(shop / "csv.gz/schema.toml"),
    )
    assert not (tmp_path / "r").exists()  # a mistyped path leaves nothing behind
    failing(
        evaluate.main,
        "holds no trained model",
        data_dir=str(shop / "csv.gz"),
        run_dir=str(tmp_path / "none"),
    )
    failing(prepare.main, "No such file", data_dir=str(tmp_path))


def test_prepare_writes_beside_the_schema(
    shop: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = shop / "csv.gz"
    with flagsaver.flagsaver(data_dir=str(directory)):
        prepare.main(["prepare"])
    assert set((directory / "vocabulary" / "user.txt").read_text().split("\n")[:-1]) == {
        f"u {i}" for i in range(30)
    }
    statistics = json.loads((directory / "statistics.json").read_text())
    assert statistics["rows"] == 1500 and statistics["vocabulary"]["tags"] == 9
    assert "MiB" in capsys.readouterr().out


def test_training_takes_prepared_vocabularies_of_the_same_files(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "train.csv", rows(200, seed=4))
    (tmp_path / "schema.toml").write_text(SCHEMA)
    with flagsaver.flagsaver(data_dir=str(tmp_path)):
        prepare.main(["prepare"])
    statistics = tmp_path / "statistics.json"
    made = json.loads(statistics.read_text())
    statistics.write_text(json.dumps({**made, "mark": "copied"}))
    run = run_train(tmp_path, tmp_path / "run", epochs=1, model="shared_bottom")
    assert "mark" in json.loads((run / "statistics.json").read_text())


def test_curves(trained: pathlib.Path) -> None:
    paths = sorted(str(path) for path in (trained / "tensorboard").iterdir())
    events = [event for path in paths for event in tf.compat.v1.train.summary_iterator(path)]
    tags = {value.tag for event in events for value in event.summary.value}
    assert {"train/loss", "train/log_loss/click", "valid/auc/ctr"} <= tags


def test_a_flag_wins_over_the_flagfile_wherever_it_stands() -> None:
    argv = ["train", "--epochs=3", "--flagfile=a.flags", "--seed=1", "--flagfile", "b.flags"]
    expected = ["train", "--flagfile=a.flags", "--flagfile", "b.flags", "--epochs=3", "--seed=1"]
    assert command.flagfiles_first(argv) == expected


def test_export_answers_as_the_model_does(
    shop: pathlib.Path, trained: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    path = publish(RunDir(trained), tmp_path, ExportConfig(version=7))
    assert path == latest(tmp_path) and [p.name for p in tmp_path.iterdir()] == ["7"]
    served = SessionModel(path)
    assert set(served.signatures) == {"serving_default", "examples", "fields", "describe", *SHORT}
    model, features = RunDir(trained).load_best(), RunDir(trained).features()
    columns = probe_rows(features.schema, trained / "vocabulary", 33, seed=5)
    logits = np.array(model(features({k: tf.constant(v) for k, v in columns.items()})), np.float64)
    f = 1 / (1 + np.exp(-np.minimum.accumulate(logits, axis=1)))
    expected = {"ctr": f[:, 0], "ctcvr": f[:, 1], "cvr": f[:, 1] / f[:, 0]}
    for name, outputs in served(columns).items():
        np.testing.assert_allclose(outputs, expected[name], rtol=0, atol=1e-6)
        np.testing.assert_array_equal(served(columns, name)[name].shape, (33,))
    with pytest.raises(ExportError, match="7: exists; give another --version"):
        publish(RunDir(trained), tmp_path, ExportConfig(version=7))
    with pytest.raises(RunError, match="holds no trained model"):
        publish(RunDir(tmp_path), tmp_path, ExportConfig(version=8))
    table = score_first_rows(tmp_path, shop / "parquet" / "test.parquet", 5)
    assert table.row_count == 5


def test_an_export_that_differs_is_not_published(
    trained: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = publishing.in_python

    def other(model: keras.Model, *arguments: Any) -> Any:
        model.heads.bias.assign_add([1e-4, 0.0])
        return original(model, *arguments)

    monkeypatch.setattr(publishing, "in_python", other)
    with pytest.raises(
        ExportError, match=r"the trained model, output .*: differs by .*more than 1e-05, at 1 rows"
    ):
        publish(RunDir(trained), tmp_path, ExportConfig(version=1))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError, match="holds no exported version"):
        latest(tmp_path)


@pytest.mark.slow
def test_a_longer_funnel_has_its_own_names(tmp_path: pathlib.Path) -> None:
    data = rows(400, seed=3)
    view = [int(i % 5 > 0 or bool(click)) for i, click in enumerate(data["click"])]
    data = {"user": data["user"], "view": list(view), "cart": data["click"], "buy": data["buy"]}
    for split in ("train", "test", "valid"):
        write(tmp_path / f"{split}.csv", data)
    tasks = "".join(f'[[tasks]]\nname = "{name}"\n' for name in ("view", "cart", "buy"))
    (tmp_path / "schema.toml").write_text(
        f'name = "x"\n{tasks}[[features]]\nname = "user"\nkind = "vocabulary"\n'
    )
    run = run_train(tmp_path, tmp_path / "run", epochs=1, dtype_policy="mixed_bfloat16")
    metrics = json.loads((run / "metrics.json").read_text())
    assert {f"auc/{name}" for name in LONG} <= set(metrics)
    history = json.loads((run / "history.json").read_text())
    assert history[0]["rows"] == 400  # the valid files, not a part of the training rows
    path = publish(RunDir(run), tmp_path / "export", ExportConfig(version=1))
    outputs = SessionModel(path)({"user": np.array(["u 1", "new", ""], object)})
    assert set(outputs) == set(LONG)
    np.testing.assert_allclose(
        outputs["p_view"] * outputs["p_cart_given_view"], outputs["p_cart"], rtol=1e-5
    )

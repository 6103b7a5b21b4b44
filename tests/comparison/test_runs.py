"""What is asked of a run, and runs that end badly."""

from __future__ import annotations

import pathlib
import sys

import pytest

from tafe_tf.comparison.runs import ChildRun, Variant, train_all


def test_variants() -> None:
    variant = Variant.parse("tafe/use_tsa=false/dropout=0.2", ["tafe"], ["use_tsa", "dropout"])
    assert variant.folder == "tafe+use_tsa=false+dropout=0.2"
    assert variant.arguments == ["--model=tafe", "--use_tsa=false", "--dropout=0.2"]
    with pytest.raises(ValueError, match=r"must be some of tafe. Received: 'tafy'"):
        Variant.parse("tafy", ["tafe"], [])


@pytest.mark.parametrize("wrong", ["tafe/no_flag=1", "tafe/dropout"])
def test_a_variant_sets_flags_of_training(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"must be MODEL/FLAG=VALUE with a flag of training"):
        Variant.parse(wrong, ["tafe"], ["dropout"])


def test_a_failed_run_costs_no_other(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@"\necho broken >&2\nexit 3\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    done = ChildRun(Variant("mmoe", "mmoe", {}), 0, tmp_path / "mmoe" / "seed-0")
    done.path.mkdir(parents=True)
    (done.path / "predictions.npz").touch()
    dropout = Variant("tafe/dropout=0.1", "tafe", {"dropout": "0.1"})
    failing = ChildRun(dropout, 1, tmp_path / "tafe" / "seed-1")

    failed = train_all([failing, done, failing], {dropout.text: ["--epochs=1"]})

    assert failed == {"tafe/dropout=0.1, seed 1": "exit code 3: broken"}
    own = f"--model=tafe --dropout=0.1 --seed=1 --run_dir={failing.path} --save_predictions"
    assert failing.log.read_text() == f"-m tafe_tf.train --epochs=1 {own}\nbroken\n"
    printed = capsys.readouterr().out
    assert printed.startswith("1/3: tafe/dropout=0.1, seed 1\n  failed, exit code 3: broken")
    assert "3/3: tafe" in printed and "mmoe" not in printed

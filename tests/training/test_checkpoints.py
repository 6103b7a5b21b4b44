"""States in files: damaged ones are noticed and passed over, and no undamaged one is lost."""

from __future__ import annotations

import os
import pathlib
import resource
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tafe_tf.terminal import command
from tafe_tf.training.checkpoints import Checkpoints
from tafe_tf.training.errors import RunError

Damage = Callable[[pathlib.Path], Any]

DATA, INDEX = "data-00000-of-00001", "index"


def flip(path: pathlib.Path) -> None:
    """Changes one bit in the middle: of a tensor in the data, of a name in the index."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: pathlib.Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def zero(path: pathlib.Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


DAMAGES: list[Damage] = [flip, cut, zero, pathlib.Path.unlink]


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with the states 10 and 20."""
    variables, states = state_in(tmp_path / "states")
    for number in (5, 10, 20):
        fill(variables, number)
        states.save(number)
    return tmp_path / "states"


def state_in(folder: pathlib.Path) -> tuple[list[tf.Variable], Checkpoints]:
    variables = [tf.Variable(np.zeros((60, 4), np.float32)), tf.Variable("")]
    return variables, Checkpoints(folder, keep=2, all=variables)


def fill(variables: list[tf.Variable], number: int) -> None:
    numbers, text = variables
    numbers.assign(np.random.default_rng(number).normal(size=(60, 4)))
    text.assign(f"state {number}" * 20)


def assert_holds(variables: list[tf.Variable], number: int) -> None:
    expected, _ = state_in(pathlib.Path("nowhere"))
    fill(expected, number)
    for variable, other in zip(variables, expected, strict=True):
        np.testing.assert_array_equal(variable.numpy(), other.numpy())


def test_the_newest_are_kept_and_tensorflow_finds_them(folder: pathlib.Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    files = [f"ckpt-{number}.{part}" for number in (10, 20) for part in (DATA, INDEX)]
    assert names == ["checkpoint", *files]
    known = tf.train.get_checkpoint_state(str(folder))
    assert [os.path.basename(path) for path in known.all_model_checkpoint_paths] == [
        "ckpt-10",
        "ckpt-20",
    ]
    assert tf.train.latest_checkpoint(str(folder)) == str(folder / "ckpt-20")
    variables, states = state_in(folder)
    assert states.restore() == str(folder / "ckpt-20")
    assert_holds(variables, 20)


@pytest.mark.parametrize("part", [DATA, INDEX])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_is_passed_over_and_goes_when_a_whole_one_is_there(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str], damage: Damage, part: str
) -> None:
    damage(folder / f"ckpt-20.{part}")
    variables, states = state_in(folder)
    assert states.restore() == str(folder / "ckpt-10")
    assert_holds(variables, 10)
    out = capsys.readouterr().out
    assert out.startswith(f"{folder}/ckpt-20 is damaged (") and out.count("\n") == 1
    fill(variables, 15)
    states.save(15)  # a smaller number than the damaged one's
    assert {path.stem.partition(".")[0] for path in folder.iterdir()} == {
        "checkpoint",
        "ckpt-10",
        "ckpt-15",
    }
    variables, states = state_in(folder)
    assert states.restore() == str(folder / "ckpt-15")
    assert_holds(variables, 15)
    assert not capsys.readouterr().out


def test_the_list_of_states_may_be_damaged(folder: pathlib.Path) -> None:
    for damage in (zero, cut, pathlib.Path.unlink):
        damage(folder / "checkpoint")
        variables, states = state_in(folder)
        assert states.restore() == str(folder / "ckpt-20")
        assert_holds(variables, 20)


def test_where_no_state_can_be_read_nothing_begins_anew(folder: pathlib.Path) -> None:
    for number in (10, 20):
        zero(folder / f"ckpt-{number}.{INDEX}")
    _, states = state_in(folder)
    with pytest.raises(
        RunError,
        match=rf"^{folder}/ckpt-20 is damaged \(.*\); {folder}/ckpt-10 is damaged \(.*\)\. "
        rf"Bring back a copy of {folder}, or remove checkpoints, best and model.keras from "
        rf"{folder.parent} to train again$",
    ):
        states.restore()
    for path in folder.glob("ckpt-*"):
        path.unlink()
    # The list still knows of it.
    with pytest.raises(RunError, match=r"ckpt-20 is damaged \(its files are gone\)"):
        states.restore()


def test_an_empty_folder_has_no_state(tmp_path: pathlib.Path) -> None:
    _, states = state_in(tmp_path / "none")
    assert states.restore() is None


def test_what_is_no_damage_is_not_passed_over(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that cannot be read now may be read later: the state before must not replace it."""
    full = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
    lost = tf.errors.OpError(None, None, f"{folder}/ckpt-20.index; Stale file handle", 2)
    for error in (full, lost):

        def fail(*_: object, error: Exception = error) -> None:
            raise error

        _, states = state_in(folder)
        monkeypatch.setattr(states._checkpoint, "restore", fail)
        with pytest.raises(type(error)):
            states.restore()


def test_a_state_is_on_the_disk_before_an_older_one_goes(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables, states = state_in(folder)
    states.restore()
    synced: set[int] = set()
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        fsync(descriptor)
        synced.add(os.fstat(descriptor).st_ino)

    unlink = pathlib.Path.unlink

    def checked(path: pathlib.Path, missing_ok: bool = False) -> None:
        if path.name.startswith("ckpt-10"):
            new = [*folder.glob("ckpt-30*"), folder / "checkpoint", folder]
            assert len(new) == 4 and {path.stat().st_ino for path in new} <= synced
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(pathlib.Path, "unlink", checked)
    fill(variables, 30)
    states.save(30)
    assert not list(folder.glob("ckpt-10*"))


def test_a_full_disk_costs_no_state(folder: pathlib.Path) -> None:
    variables, states = state_in(folder)
    states.restore()
    fill(variables, 30)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        with pytest.raises(SystemExit) as ended, command.one_line_errors():
            states.save(30)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    line = str(ended.value)
    assert line.startswith(f"error: {folder}/") and line.endswith("; File too large")
    again, others = state_in(folder)
    assert others.restore() == str(folder / "ckpt-20")
    assert_holds(again, 20)
    states.save(30)  # once there is room
    assert others.restore() == str(folder / "ckpt-30")
    assert_holds(again, 30)
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_what_a_kill_has_left_goes_with_the_next_state(folder: pathlib.Path) -> None:
    (folder / ".ckpt-30_temp").mkdir()
    (folder / ".ckpt-30_temp" / "part-00000-of-00001").write_bytes(b"half")
    (folder / f".ckpt-30.{DATA}").write_bytes(b"half")
    variables, states = state_in(folder)
    assert states.restore() == str(folder / "ckpt-20")
    states.save(40)
    assert not [path for path in folder.iterdir() if "30" in path.name]
    assert_holds(variables, 20)


def test_what_a_kill_has_left_goes_without_another_state(folder: pathlib.Path) -> None:
    before = sorted(path.name for path in folder.iterdir())
    (folder / f"ckpt-5.{DATA}").write_bytes(b"its index is gone")
    (folder / f".ckpt-30.{DATA}").write_bytes(b"it was being written")
    _, states = state_in(folder)
    assert str(states.restore()).endswith("ckpt-20")
    states.tidy()
    assert sorted(path.name for path in folder.iterdir()) == before
    state_in(folder.parent / "nowhere")[1].tidy()  # there is nothing to remove


def test_states_of_earlier_versions_are_read(tmp_path: pathlib.Path) -> None:
    variables, _ = state_in(tmp_path)
    manager = tf.train.CheckpointManager(
        tf.train.Checkpoint(all=variables), str(tmp_path), max_to_keep=2
    )
    for number in (7, 3):  # the list's order counts, not the numbers
        fill(variables, number)
        manager.save(checkpoint_number=number)
    again, states = state_in(tmp_path)
    assert states.restore() == str(tmp_path / "ckpt-3")
    assert_holds(again, 3)

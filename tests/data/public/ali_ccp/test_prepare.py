"""Preparing raw Ali-CCP files: what bad files say, kills, folders of another job, the command."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from ali_ccp_files import ROOT, Row, content, invented, lines_of, small, twin, written

from tafe_tf.data.errors import BadRowError, DataError
from tafe_tf.data.formats.splits import find_files
from tafe_tf.data.lock import LockError, locked
from tafe_tf.data.public.ali_ccp.errors import problem_of
from tafe_tf.data.public.ali_ccp.prepare import Settings, prepare

BAD = [
    ("skeleton", "1,0,0,{key}", r"row 4: must have 6 cells. Received: '1,0,0,{key}'"),
    ("skeleton", "1,2,0,{key},0,", r"row 4, column 'click': a label must be 0 or 1. Received: '2'"),
    (
        "skeleton",
        "1,1,,{key},0,",
        r"row 4, column 'conversion': a label must be 0 or 1. Received: ''",
    ),
    (
        "skeleton",
        "1,0,0,abc,0,",
        r"row 4, column 'common_feature_index': must be 16 hexadecimal digits. Received: 'abc'",
    ),
    (
        "skeleton",
        "1,0,0,00000000deadbeef,0,",
        r"row 4, column 'common_feature_index': has no row in common_features_train.csv. "
        r"Received: '00000000deadbeef'",
    ),
    (
        "skeleton",
        "1,0,0,{key},2,205\x021\x031.0",
        r"row 4, column 'feature_num': must be the number of features in the list, 1. "
        r"Received: '2'",
    ),
    (
        "skeleton",
        "1,0,0,{key},x,",
        r"row 4, column 'feature_num': must be the number of .* 0. Received: 'x'",
    ),
    (
        "skeleton",
        "1,0,0,{key},1,205\x031\x021.0",
        r"row 4, column 'feature_list': a feature must be field, \\x02, id, \\x03, value, and "
        r"\\x01 between two. Received: '205\\x031\\x021.0'",
    ),
    (
        "common",
        "{new},2,205\x021\x031.0\x01",
        r"row 4, column 'feature_list': a feature must be .* Received: ''",
    ),
    (
        "common",
        "{new},1,\x021\x031.0",
        r"row 4, column 'feature_list': a feature must be field, .*",
    ),
    (
        "common",
        "{new},1,205\x02-1\x031.0",
        r"row 4, column 'feature_list': a feature's id must be an integer from 0 to 2\^63 - 1. "
        r"Received: '205\\x02-1\\x031.0'",
    ),
    (
        "common",
        "{new},1,205\x029223372036854775808\x031",
        r"row 4, column 'feature_list': a feature's id must be .*",
    ),
    *(
        (
            "common",
            f"{{new}},1,205\x021\x03{value}",
            r"row 4, column 'feature_list': a feature's value must be a finite number. "
            rf"Received: '205\\x021\\x03{value}'",
        )
        for value in ("nan", "inf", "1e39", "", "x")
    ),
    (
        "common",
        "{key},0,",
        r"row 4, column 'common_feature_index': stands in row 1 already. Received: '{key}'",
    ),
    ("common", "{new},0,,", r"row 4: must have 3 cells. Received: '{new},0,,'"),
]


@pytest.mark.parametrize(("file", "line", "message"), BAD)
def test_bad_rows_are_named(tmp_path: pathlib.Path, file: str, line: str, message: str) -> None:
    raw = invented(tmp_path / "raw")
    name = {"skeleton": "sample_skeleton_train.csv", "common": "common_features_train.csv"}[file]
    key = (raw / "common_features_train.csv").read_text()[:16]
    names = {"key": key, "new": "00000000deadbeef"}
    lines = (raw / name).read_text().splitlines()
    lines[3] = line.format(**names)
    if file == "common":  # or the first bad row is one whose key is gone
        lines[3:3] = lines[4:4]
    (raw / name).write_text("\n".join(lines))
    for key_of_message, value in names.items():
        message = message.replace(f"{{{key_of_message}}}", value)
    for block_bytes in (50, 1 << 20):
        with pytest.raises(BadRowError, match=f"^{raw / name}: {message}$"):
            prepare(raw, tmp_path / f"out{block_bytes}", Settings(block_bytes=block_bytes))


def test_missing_and_empty_files(tmp_path: pathlib.Path) -> None:
    raw = invented(tmp_path / "raw")
    (raw / "sample_skeleton_test.csv").unlink()
    with pytest.raises(
        DataError, match=r"sample_skeleton_test.csv: no such file, nor with .gz behind"
    ):
        prepare(raw, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    for name in ("sample_skeleton_test", "common_features_test"):
        (raw / f"{name}.csv").write_text("\n")
        with pytest.raises(DataError, match=rf"{name}.csv: holds no rows"):
            prepare(raw, tmp_path / name)


def test_any_damaged_byte_is_an_error_or_what_the_twin_reads(tmp_path: pathlib.Path) -> None:
    """What Arrow refuses the slow reader explains, and the reverse."""
    raw = invented(tmp_path / "raw", rows=20)
    path = raw / "sample_skeleton_train.csv"
    settings = Settings(row_split="random", protocol="full23")
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    letters = [*b"\x01\x02\x03,.-0a\"'\\ \x00\xff", 200]
    errors = 0
    for place in rng.integers(0, len(whole), 100).tolist():
        path.write_bytes(whole[:place] + bytes([rng.choice(letters)]) + whole[place + 1 :])
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        is_bad = any(problem_of(line, skeleton=True) for line in lines_of(path))
        try:
            prepare(raw, tmp_path / "out", settings)
        except DataError as error:
            assert str(error).startswith(f"{path}: row ")
            assert is_bad or "has no row in" in str(error)
            errors += 1
            continue
        found = [row for split in ("train", "test") for row in written(tmp_path / "out", split)]
        expected = [row for row in twin(raw, "train", "full23", 50)[0] if row is not None]
        assert sorted(map(str, found)) == sorted(str(plain(row)) for row in expected)
    assert 30 < errors < 100


def plain(row: Row) -> Row:
    return {
        name: [float(v) for v in x] if name.endswith("_weights") else x for name, x in row.items()
    }


@pytest.mark.parametrize("settings", [{}, {"protocol": "full23", "row_split": "random"}])
def test_killed_anywhere_it_ends_with_the_same_bytes(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    raw, job = invented(tmp_path / "raw"), small(**settings)
    renames: list[Any] = []
    replace = os.replace

    def counting(a: Any, b: Any) -> None:
        renames.append(b)
        replace(a, b)

    monkeypatch.setattr(os, "replace", counting)
    prepare(raw, tmp_path / "whole", job)
    expected = content(tmp_path / "whole")
    last = len(renames)
    assert last > 12

    class Killed(BaseException):
        """As a signal: no `except Exception` takes it."""

    for stop in range(last):
        left = [stop]

        def dying(a: Any, b: Any, left: list[int] = left, real: Any = replace) -> None:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            real(a, b)

        out = tmp_path / f"out{stop}"
        monkeypatch.setattr(os, "replace", dying)
        with pytest.raises(Killed):
            prepare(raw, out, job)
        assert not (out / "prepared.json").exists()
        before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
        whole = {path.stem for path in (out / ".ali_ccp").glob("*-?????.json")}
        monkeypatch.setattr(os, "replace", replace)
        prepare(raw, out, job)
        assert content(out) == expected
        untouched = {
            name for name, time in before.items() if (out / name).stat().st_mtime_ns == time
        }
        assert {f"{name}.parquet" for name in whole} & set(before) <= untouched


def test_damage_and_other_files_are_noticed(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, out, job = invented(tmp_path / "raw"), tmp_path / "out", small()
    prepare(raw, tmp_path / "whole", job)
    expected = content(tmp_path / "whole")
    blocks = iter(range(10**6))

    def kill(rows: int) -> None:
        if len(list((out / ".ali_ccp").glob("train-*.json"))) == 2:
            raise KeyboardInterrupt(next(blocks))

    with pytest.raises(KeyboardInterrupt):
        prepare(raw, out, job, kill)
    shard = out / "train-00001.parquet"
    shard.write_bytes(shard.read_bytes()[::-1])
    prepare(raw, out, job)
    assert "train-00001.parquet holds other bytes" in capsys.readouterr().out
    assert content(out) == expected
    shard.write_bytes(shard.read_bytes()[::-1])
    with pytest.raises(
        DataError, match=r"out: train-00001.parquet holds other bytes .* prepare it again"
    ):
        prepare(raw, out, job)
    shard.write_bytes(shard.read_bytes()[::-1])
    with locked(out), pytest.raises(LockError, match=r"out: process \d+ .* writes in this"):
        prepare(raw, out, job)
    skeleton = raw / "sample_skeleton_train.csv"
    lines = skeleton.read_text().splitlines(keepends=True)
    skeleton.write_text("".join(reversed(lines)))
    with pytest.raises(DataError, match=r"was prepared from another sample_skeleton_train.csv, wh"):
        prepare(raw, out, job)


def test_killed_while_the_common_rows_are_read(tmp_path: pathlib.Path) -> None:
    raw = invented(tmp_path / "raw")
    prepare(raw, tmp_path / "whole", small())

    def kill(rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(raw, tmp_path / "out", small(), kill)
    assert not find_files(tmp_path / "out", "train", required=False)
    prepare(raw, tmp_path / "out", small())
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_a_directory_is_of_one_job(tmp_path: pathlib.Path) -> None:
    raw, out = invented(tmp_path / "raw"), tmp_path / "out"
    first = prepare(raw, out)
    before = content(out)
    assert prepare(raw, out) == first and content(out) == before  # nothing left to do
    refused = (
        r"out: was prepared with protocol 'aitm18'; take another directory, or empty it. "
        r"Received: 'full23'"
    )
    with pytest.raises(DataError, match=refused):
        prepare(raw, out, Settings(protocol="full23"))
    with pytest.raises(DataError, match=r"was prepared with seed 0; .* Received: 1"):
        prepare(raw, out, Settings(seed=1))
    invented(raw, rows=151)
    with pytest.raises(
        DataError, match=r"was prepared with sources {'sample_.*; .* Received: {'sample_"
    ):
        prepare(raw, out)
    (tmp_path / "begun/.ali_ccp").mkdir(parents=True)
    (tmp_path / "begun/.ali_ccp/settings.json").write_text(
        json.dumps({"dataset": "ali_ccp", "protocol": "full23"})
    )
    with pytest.raises(
        DataError, match=r"begun: is being prepared with protocol 'full23'; .* Received: 'aitm18'"
    ):
        prepare(raw, tmp_path / "begun")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/train.csv").write_text("x\n")
    with pytest.raises(
        DataError, match=r"other: holds train.csv of another job; take another directory"
    ):
        prepare(raw, tmp_path / "other")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"protocol": "x"},
            r"protocol must be 'aitm18' or 'full23', and max_values 1 or more. Received: 'x', 50",
        ),
        ({"max_values": 0}, r"max_values 1 or more. Received: 'aitm18', 0"),
        ({"row_split": "x"}, r"row_split must be one of official, random. Received: 'x'"),
        ({"format": "csv"}, r"format must be one of parquet, tfrecord. Received: 'csv'"),
        ({"seed": -1}, r"seed must be 0 or more. Received: -1"),
        ({"block_bytes": 0}, r"block_bytes must be 1 or more. Received: 0"),
    ],
)
def test_settings_check_themselves(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**settings)


def test_the_commands(tmp_path: pathlib.Path) -> None:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", *map(str, arguments)]
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
        )

    raw, out = tmp_path / "raw", tmp_path / "out"
    made = run("benchmarks.ali_ccp_raw", raw, "--rows=301")
    assert made.returncode == 0, made.stderr
    done = run(
        "tafe_tf.public_data",
        "--dataset=ali_ccp",
        f"--raw_dir={raw}",
        f"--data_dir={out}",
        "--protocol=full23",
    )
    assert done.returncode == 0, done.stderr
    assert "train: 151 read, 151 written, 0 dropped, 0 several_values" in done.stdout
    assert written(out, "train") == [
        row for row in twin(raw, "train", "full23", 50)[0] if row is not None
    ]
    again = run("tafe_tf.public_data", f"--raw_dir={raw}", f"--data_dir={out}")
    assert again.returncode == 1 and again.stderr.startswith(
        f"error: {out}: was prepared with protocol 'full23'"
    )
    missing = run("tafe_tf.public_data", f"--raw_dir={raw}")
    assert missing.returncode == 1
    assert missing.stderr.endswith("error: --data_dir must be given\n")

"""The command that scores a file by asking a server."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from fake_server import Fake


def test_the_command(fake: Fake, address: str, tmp_path: Any) -> None:
    (tmp_path / "rows.csv").write_text("item,other\n1,a\n2,\n")
    command = [
        sys.executable,
        "-m",
        "tafe_tf.serving.client",
        f"--target={address}",
        "--model_name=shop",
    ]
    done = subprocess.run(
        [*command, f"--input={tmp_path}/rows.csv"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ['"twice","version"', "2,1", "4,1"]
    assert fake.requests[-1].model_spec.name == "shop"
    (tmp_path / "rows.tsv").write_text("item\tother\n1\ta,b\n")
    done = subprocess.run(
        [*command, f"--input={tmp_path}/rows.tsv"], capture_output=True, text=True
    )
    assert done.stdout.splitlines()[1:] == ["2,1"], done.stderr
    (tmp_path / "bad.csv").write_text("item\n1\nx\n")
    done = subprocess.run([*command, f"--input={tmp_path}/bad.csv"], capture_output=True, text=True)
    wrong = "error: INVALID_ARGUMENT: column 'item', row 2: must be an integer. Received: 'x'"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, wrong)


def test_unseen_values_are_shown_on_request(fake: Fake, address: str, tmp_path: Any) -> None:
    item = {"name": "item", "column": "Item No", "separator": "|"}
    field = {"name": "item", "missing": 0.0, "unseen": 0.25}
    fake.description = {"inputs": [item], "missing": [], "fields": [field]}
    (tmp_path / "rows.csv").write_text("Item No\n" + "10\n" * 150 + "1\n" * 50)
    command = [sys.executable, "-m", "tafe_tf.serving.client", f"--target={address}"]
    done = subprocess.run(
        [*command, f"--input={tmp_path}/rows.csv", "--show_unseen"], capture_output=True, text=True
    )
    assert done.stdout.splitlines()[1:3] == ["20,1", "20,1"], done.stderr
    assert ["item", "0.00%", "0.00%", "75.00%", "25.00%"] in [
        line.replace("│", " ").split() for line in done.stderr.splitlines()
    ]
    jump = "warning: field 'item': 75.0% of its values are unseen, and 25.0% were in training"
    assert jump in done.stderr.splitlines()

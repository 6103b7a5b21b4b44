"""The `tafe` command: its list of commands, and how it runs one."""

from __future__ import annotations

import pathlib
import resource
import subprocess
import sys

import pytest

from tafe_tf import __main__ as tafe

ROOT = pathlib.Path(__file__).resolve().parents[1]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tafe_tf", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",), ("help",)])
def test_help_lists_every_command(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line for line in done.stdout.splitlines() if line.startswith("  ")]
    assert [line.split()[0] for line in lines] == list(tafe.COMMANDS)
    assert max(len(line) for line in done.stdout.splitlines()) <= tafe.WIDTH


def test_help_imports_no_command() -> None:
    """Of the processor's time, which other processes do not lengthen; TensorFlow takes seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime < 0.3
    heavy = {"tensorflow", "keras", "numpy", "absl"}
    code = f"import sys, tafe_tf.__main__ as t; t.usage(); print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


@pytest.mark.parametrize("name", tafe.COMMANDS)
def test_a_command_is_described_by_its_first_sentence(name: str) -> None:
    sentence = tafe.first_sentence(tafe.COMMANDS[name])
    assert sentence[0].isupper() and sentence.endswith(".") and "\n" not in sentence
    source = tafe.source_file(tafe.COMMANDS[name]).read_text(encoding="utf-8")
    flowing = " ".join(source.split())
    assert flowing.startswith(f'"""{sentence}')
    assert 'if __name__ == "__main__":' in source


def test_the_first_sentence_is_that_of_the_imported_docstring(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tafe, "HERE", tmp_path)
    text = '"""Does one thing,\nand well. Then another.\n\nMore.\n"""\n'
    (tmp_path / "one.py").write_text(text)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "__main__.py").write_text('"""Does two."""\n')
    assert tafe.first_sentence("tafe_tf.one") == "Does one thing, and well."
    assert tafe.first_sentence("tafe_tf.folder") == "Does two."


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("trian", "error: there is no command 'trian'; did you mean `tafe train`?"),
        ("public", "error: there is no command 'public'; did you mean `tafe public_data`?"),
        ("xyz", "error: there is no command 'xyz'; `tafe --help` lists the commands"),
    ],
)  # fmt: skip
def test_an_unknown_command_is_one_line(name: str, said: str) -> None:
    done = run(name)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{said}\n")


def test_a_command_shows_its_own_help_and_takes_its_own_flags() -> None:
    done = run("generate", "--help")
    assert done.stdout.lstrip().startswith(tafe.first_sentence("tafe_tf.generate"))
    assert "--train_rows: " in done.stdout
    wrong = run("generate", "--no_such_flag")
    assert wrong.returncode == 1 and "no_such_flag" in wrong.stderr


def test_a_command_ends_with_its_own_exit_code(tmp_path: pathlib.Path) -> None:
    written = run("generate", f"--data_dir={tmp_path}", "--train_rows=10", "--test_rows=10")
    assert written.returncode == 0, written.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"train.csv", "test.csv", "schema.toml"}
    refused = run("generate", f"--data_dir={tmp_path}", "--rates=2,3")
    assert refused.returncode == 1 and refused.stderr.splitlines()[-1].startswith("error: ")

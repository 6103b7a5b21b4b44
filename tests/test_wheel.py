"""The wheel, installed away from the checkout: its files, its commands and a whole small job."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from concurrent import futures

import pyarrow.parquet as pq
import pytest

from tafe_tf.__main__ import COMMANDS, first_sentence

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDERS = ("tafe_tf", "export", "serving", "native")
PACKAGED = ("LICENSE", "README.md", "pyproject.toml", "setup.cfg", *FOLDERS)
TEST_ROWS = 500
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def run(*command: object, cwd: pathlib.Path) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end, whatever its exit code, without the checkout on Python's path."""
    arguments = [str(argument) for argument in command]
    return subprocess.run(arguments, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True)


def succeed(*command: object, cwd: pathlib.Path) -> str:
    """Runs a command that must succeed, and returns what it printed."""
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A copy of what is packaged, so that building leaves nothing in the checkout."""
    copy = tmp_path_factory.mktemp("sources")
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "built")
    for name in PACKAGED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, symlinks=True, ignore=ignore)
        else:
            shutil.copy2(source, copy / name)
    return copy


def build_wheel(source: pathlib.Path, directory: pathlib.Path) -> pathlib.Path:
    """Makes a wheel of a source tree or of a source distribution."""
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation")
    succeed(*pip, "--wheel-dir", directory, source, cwd=directory)
    (wheel,) = directory.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(sources: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return build_wheel(sources, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def site_packages(
    wheel: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[pathlib.Path, set[str]]:
    """A new environment with the wheel in it: its site-packages, and the names the wheel put there.

    The dependencies are those of this Python, which a `.pth` file appends to the path: what the
    wheel brings comes first.
    """
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment)
    python = environment / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    succeed(*pip, "--no-deps", "--no-index", wheel, cwd=environment)
    variables = {"base": str(environment), "platbase": str(environment)}
    folder = pathlib.Path(sysconfig.get_path("purelib", "venv", variables))
    names = {path.name for path in folder.iterdir()}
    dependencies = sysconfig.get_path("purelib")
    (folder / "dependencies.pth").write_text(f"{dependencies}\n", encoding="utf-8")
    return folder, names


@pytest.fixture(scope="module")
def tafe(site_packages: tuple[pathlib.Path, set[str]]) -> pathlib.Path:
    """The installed script."""
    folder, _ = site_packages
    return folder.parents[2] / "bin" / "tafe"


def test_the_wheel_holds_each_file_once(wheel: pathlib.Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert len(names) == len(set(names))
    modules = {name for name in names if name.endswith(".py")}
    expected = {
        f"{package}/{path.relative_to(folder)}"
        for package, folder in (
            ("tafe_tf", ROOT / "tafe_tf"),
            ("tafe_tf/export", ROOT / "export"),
            ("tafe_tf/serving", ROOT / "serving"),
        )
        for path in folder.rglob("*.py")  # which follows no links to folders
    }
    assert modules == expected
    others = {
        "insight/page/page.html",
        "py.typed",
        "serving/tf_serving/models.config",
        "serving/wire/serving.proto",
    }
    sources = [path for path in (ROOT / "native").iterdir() if path.suffix in (".cc", ".h")]
    assert sources
    others.update(f"native/kernel/{path.name}" for path in sources)
    assert {f"tafe_tf/{name}" for name in others} <= set(names)


def test_a_source_distribution_makes_the_same_wheel(
    sources: pathlib.Path, wheel: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    setup = "import setuptools; setuptools.setup()"
    succeed(sys.executable, "-c", setup, "-q", "sdist", "--dist-dir", tmp_path, cwd=sources)
    (archive,) = tmp_path.glob("*.tar.gz")
    again = build_wheel(archive, tmp_path)
    assert contents(again) == contents(wheel)


def contents(wheel: pathlib.Path) -> dict[str, int]:
    """Checksums of a wheel's files by name; RECORD repeats them in another order."""
    files = zipfile.ZipFile(wheel).infolist()
    return {file.filename: file.CRC for file in files if not file.filename.endswith("/RECORD")}


def test_only_our_own_name_is_installed(
    site_packages: tuple[pathlib.Path, set[str]], tafe: pathlib.Path
) -> None:
    folder, names = site_packages
    version = next(name for name in names if name.endswith(".dist-info"))
    assert names == {"tafe_tf", version} and version.startswith("tafe_tf-")
    assert tafe.exists()
    code = "import tafe_tf, tafe_tf.export; print(tafe_tf.__file__, tafe_tf.export.__file__)"
    python = tafe.with_name("python")
    where = succeed(python, "-c", code, cwd=folder.parents[2]).split()
    assert all(pathlib.Path(path).is_relative_to(folder) for path in where)
    for name in ("export", "serving"):
        assert "No module named" in run(python, "-c", f"import {name}", cwd=folder).stderr


# A command of each folder; tests/test_main.py looks at all of them without starting any.
ASKED = ("train", "look", "prepare", "export", "score", "serve", "ask", "compare")


def test_commands_show_their_help(tafe: pathlib.Path, tmp_path: pathlib.Path) -> None:
    listed = succeed(tafe, cwd=tmp_path)

    def ask(name: str) -> str:
        done = run(tafe, name, "--help", cwd=tmp_path)
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout

    with futures.ThreadPoolExecutor(2) as pool:
        texts = dict(zip(ASKED, pool.map(ask, ASKED), strict=True))
    for name, text in texts.items():
        flowing = " ".join(text.split())
        assert flowing.startswith(first_sentence(COMMANDS[name])), name
    assert all(f"\n  {name} " in listed for name in COMMANDS)


def test_a_small_job_from_nothing_to_scores(tafe: pathlib.Path, tmp_path: pathlib.Path) -> None:
    rows = ("--train_rows=2000", f"--test_rows={TEST_ROWS}")
    succeed(tafe, "generate", "--data_dir=data", *rows, cwd=tmp_path)
    sizes = ("--embedding_dim=4", "--num_inducing=4", "--num_layers=1", "--batch_size=256")
    where = ("--data_dir=data", "--run_dir=run")
    succeed(tafe, "train", *where, *sizes, "--epochs=1", cwd=tmp_path)
    assert (tmp_path / "run" / "metrics.json").exists()
    (tmp_path / "run" / "metrics.json").unlink()
    succeed(tafe, "evaluate", *where, cwd=tmp_path)
    assert (tmp_path / "run" / "metrics.json").exists()
    succeed(tafe, "export", "--run_dir=run", "--export_dir=models", "--version=7", cwd=tmp_path)
    succeed(tafe, "check", "models", cwd=tmp_path)
    scored = succeed(
        tafe, "score", "--model=models", "--input=data/test.csv", "--output=scores", cwd=tmp_path
    )
    assert f"{TEST_ROWS} rows scored, 0 dropped" in scored
    (part,) = (tmp_path / "scores").glob("*.parquet")
    columns = pq.read_table(part).to_pydict()
    assert columns["row"] == list(range(1, TEST_ROWS + 1))
    for name in ("ctr", "ctcvr", "cvr"):
        assert 0.0 < min(columns[name]) < max(columns[name]) < 1.0

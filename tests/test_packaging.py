"""What is installed, and who may import whom."""

from __future__ import annotations

import ast
import configparser
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from sources import ROOT, SOURCES, within

import tafe_tf
from tafe_tf.__main__ import COMMANDS

ENTRY_POINTS = {
    name
    for name, path in SOURCES.items()
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
}

# Folder or module -> what else of the project it may import. Imports go one way: what is lower in
# this list knows only what is above it. The commands are not in it; they may import everything
# except each other.
ALLOWED: dict[str, set[str]] = {
    "tafe_tf.types": set(),
    "tafe_tf.input_names": set(),
    "tafe_tf.shown": set(),
    "tafe_tf.schema": {"input_names", "shown"},
    "tafe_tf.storage": {"data.errors", "shown"},
    "tafe_tf.schema_toml": {"schema", "shown", "storage"},
    "tafe_tf.metric_headings": set(),
    "tafe_tf.metrics": set(),
    "tafe_tf.log_normal": {"types"},
    "tafe_tf.losses": {"types", "log_normal", "metrics"},
    "tafe_tf.optimizers": {"types"},
    "tafe_tf.machine": set(),
    "tafe_tf.memory": set(),
    "tafe_tf.layers": {"types"},
    "tafe_tf.keras_metrics": {"types", "losses", "metrics"},
    "tafe_tf.probabilities": {"types", "log_normal", "schema"},
    "tafe_tf.models": {"types", "layers", "log_normal", "losses"},
    "tafe_tf.jax_training": {"types", "layers", "losses", "models"},
    "tafe_tf.native": {"types", "data.atomic", "machine", "models", "terminal"},
    "tafe_tf.data": {"schema", "schema_toml", "shown", "storage"},
    "tafe_tf.features": {"schema", "data", "metrics", "shown", "storage"},
    "tafe_tf.engines": {"schema", "data", "features", "storage"},
    "tafe_tf.terminal": {"schema", "shown", "data", "metric_headings", "storage"},
    "tafe_tf.distributed": {"terminal"},
    "tafe_tf.first_look": {
        *("schema", "schema_toml", "data", "features", "memory", "storage", "terminal"),
    },
    "tafe_tf.drafting": {"schema", "schema_toml", "data", "first_look"},
    "tafe_tf.training": {
        *("schema", "schema_toml", "data", "features", "distributed", "layers", "losses"),
        *("log_normal", "machine", "memory", "metrics", "models", "native", "optimizers"),
        *("probabilities", "shown", "storage", "terminal"),
    },
    "tafe_tf.insight.importance": {
        *("schema", "data", "features", "insight.slices", "log_normal", "machine", "metrics"),
        *("models", "probabilities", "terminal", "training"),
    },
    "tafe_tf.insight.page": {"data", "storage"},
    "tafe_tf.insight.slices": {"schema", "data", "features", "metrics", "training"},
    "tafe_tf.insight.drift": {
        *("schema", "schema_toml", "data", "features", "probabilities", "storage", "terminal"),
        *("training", "insight.page", "insight.served"),
    },
    "tafe_tf.insight.served": {"schema", "schema_toml", "export.versions"},
    "tafe_tf.insight.figures": {
        *("types", "data", "layers", "metrics", "models", "insight.page", "insight.slices"),
    },
    "tafe_tf.insight.report": {
        *("schema", "data", "metric_headings", "metrics", "training", "insight.figures"),
        *("insight.page", "insight.served", "insight.slices"),
    },
    "tafe_tf.insight.tracking": {
        *("schema", "schema_toml", "data", "insight.report", "terminal", "training"),
    },
    "tafe_tf.trees": {
        *("schema", "schema_toml", "data", "features", "distributed", "machine", "metrics"),
        *("storage", "terminal", "training"),
    },
    "tafe_tf.insight_flags": set(),
    "tafe_tf.source_flags": {"data", "terminal"},
    "tafe_tf.tracking_flags": set(),
    "tafe_tf.flags": {
        "source_flags",
        "data",
        "distributed",
        "models",
        "terminal",
        "training",
        "trees",
    },
    "tafe_tf.comparison": {
        *("schema", "schema_toml", "data", "features", "metrics", "models", "storage"),
        *("terminal", "training", "trees", "insight.page", "insight.tracking"),
    },
    "tafe_tf.runs_flags": {"comparison", "flags"},
    "tafe_tf.serving.wire": set(),
    "tafe_tf.serving.request_log": {"data", "serving.wire"},
    "tafe_tf.serving.client": {
        *("schema", "shown", "data", "serving.request_log", "serving.wire", "terminal"),
    },
    "tafe_tf.serving.examples": {"data", "export", "serving.wire", "terminal"},
    "tafe_tf.serving.server": {
        *("export", "native.library", "serving.request_log", "serving.wire", "storage"),
        "terminal",
    },
    "tafe_tf.serving.batch": {
        *("schema", "schema_toml", "data", "engines", "export", "machine", "native.library"),
        *("storage", "terminal"),
    },
    "tafe_tf.serving.conformance": {
        *("schema", "schema_toml", "export", "serving.client", "serving.wire", "terminal"),
    },
}

# `Run` imports these inside its functions, so that a notebook needs nothing but a run.
OF_THE_PYTHON_API = {
    ("tafe_tf.training.run", "tafe_tf.export.publish"),
    ("tafe_tf.training.run", "tafe_tf.insight.importance.job"),
    ("tafe_tf.training.run", "tafe_tf.insight.importance.measure"),
    ("tafe_tf.training.run", "tafe_tf.insight.report.job"),
}
OF_THE_VERSION = {("tafe_tf.insight.tracking.settings", "tafe_tf")}


def imports(module: str) -> Iterator[str]:
    """Absolute names of all modules that a module imports, anywhere in its code."""
    for node in ast.walk(ast.parse(SOURCES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in SOURCES else str(node.module) for name in names)


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_go_one_way(package: str) -> None:
    modules = [module for module in SOURCES if within(module, {package})]
    assert modules, f"{package} is gone: mend ALLOWED"
    allowed = {f"tafe_tf.{name}" for name in ALLOWED[package]} | {package}
    found = {
        (module, name)
        for module in modules
        for name in imports(module)
        if within(name, {"tafe_tf"})
    }
    found -= OF_THE_PYTHON_API | OF_THE_VERSION
    assert {pair for pair in found if not within(pair[1], allowed)} == set()


@pytest.mark.parametrize(
    ("package", "named"),
    [
        ("tafe_tf.layers", set()),
        ("tafe_tf.models", set()),
        ("tafe_tf.losses", {"tafe_tf.losses.label_check"}),  # where it is the backend
        ("tafe_tf.metrics", set()),
        ("tafe_tf.keras_metrics", set()),
    ],
)
def test_only_named_modules_need_tensorflow(package: str, named: set[str]) -> None:
    modules = {module for module in SOURCES if within(module, {package})}
    need = {
        module
        for module in modules
        if any(within(name, {"tensorflow"}) for name in imports(module))
    }
    assert need == named


def test_the_core_knows_neither_export_nor_serving() -> None:
    outer = {"tafe_tf.export", "tafe_tf.serving"}
    core = [module for module in SOURCES if not within(module, outer)]
    found = {(module, name) for module in core for name in imports(module) if within(name, outer)}
    assert found == {
        ("tafe_tf.training.run", "tafe_tf.export.publish"),
        ("tafe_tf.insight.served", "tafe_tf.export.versions"),  # it looks at exports
    }


def test_serving_knows_no_layer_and_no_model() -> None:
    serving = [module for module in SOURCES if within(module, {"tafe_tf.serving"})]
    forbidden = {"tafe_tf.layers", "tafe_tf.models"}
    found = [(module, name) for module in serving for name in imports(module)]
    assert [pair for pair in found if within(pair[1], forbidden)] == []


def test_nothing_imports_an_entry_point() -> None:
    """A command is a leaf: what others need of it belongs in a module."""
    core = {"train", "evaluate", "prepare", "report"}
    export = {"saved_model", "check", "score", "rollback"}
    serving = {"batch_score", "client.__main__", "conformance.__main__", "server.__main__"}
    assert {f"tafe_tf.{name}" for name in core} <= ENTRY_POINTS
    assert {f"tafe_tf.export.{name}" for name in export} <= ENTRY_POINTS
    assert {f"tafe_tf.serving.{name}" for name in serving} <= ENTRY_POINTS
    found = [(module, name) for module in SOURCES for name in imports(module)]
    assert [pair for pair in found if pair[1] in ENTRY_POINTS] == []


def test_the_script_knows_every_command() -> None:
    modules = set(COMMANDS.values())
    names = {name.removesuffix(".__main__") for name in ENTRY_POINTS}
    assert modules == names - {"tafe_tf"}  # which is the script itself
    configuration = setup_cfg()
    (script,) = configuration["options.entry_points"]["console_scripts"].split("\n")[1:]
    assert script == "tafe = tafe_tf.__main__:main"


@pytest.mark.skipif("TAFE_INSTALLED" not in os.environ, reason="`make test` sets it")
def test_the_installed_package_is_tested() -> None:
    assert tafe_tf.__file__ is not None
    installed = pathlib.Path(tafe_tf.__file__).parent
    assert "site-packages" in installed.parts
    found = {
        ".".join(["tafe_tf", *path.relative_to(installed).with_suffix("").parts])
        for path in installed.rglob("*.py")
    }
    names = {name.removesuffix(".__init__") for name in found}
    assert names == set(SOURCES)  # none is missing, and none is stale
    assert (installed / "py.typed").exists()
    kit = {path.name for path in (ROOT / "serving" / "tf_serving").iterdir()}
    assert {path.name for path in (installed / "serving" / "tf_serving").iterdir()} == kit


def setup_cfg() -> configparser.ConfigParser:
    configuration = configparser.ConfigParser()
    configuration.read(ROOT / "setup.cfg")
    return configuration


def requirements() -> Iterator[Requirement]:
    """What setup.cfg asks for, its extras included."""
    configuration = setup_cfg()
    listed = [configuration["options"]["install_requires"]]
    listed += configuration["options.extras_require"].values()
    for text in listed:
        for line in text.splitlines():
            if line and not line.startswith("#"):
                yield Requirement(line)


def test_every_requirement_ends_before_a_major_that_nobody_tried() -> None:
    open_ended = [
        str(requirement)
        for requirement in requirements()
        if not any(each.operator == "<" for each in requirement.specifier)
    ]
    assert open_ended == []


def test_every_requirement_is_pinned_with_hashes() -> None:
    """For this Python and system; `make constraints` writes the files for all of them."""
    files = ("constraints.txt", "engines.txt")
    text = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in files)
    pinned = {}
    for entry in re.split(r"\n(?=\w)", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)):
        line, *hashes = entry.split("--hash=sha256:")
        requirement = Requirement(line.replace("\\", "").strip())
        digests = [each.split()[0] for each in hashes]
        assert digests and all(re.fullmatch("[0-9a-f]{64}", each) for each in digests), line
        if requirement.marker is None or requirement.marker.evaluate():
            (only,) = requirement.specifier
            assert only.operator == "==", line
            pinned[canonicalize_name(requirement.name)] = only.version
    for requirement in requirements():
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement}: {version} is pinned"


def test_a_distribution_has_one_top_level_name() -> None:
    names = setup_cfg()["options"]["packages"].split()
    assert {name.split(".")[0] for name in names} == {"tafe_tf"}
    packages = {name for name, path in SOURCES.items() if path.name == "__init__.py"}
    assert set(names) == packages | {"tafe_tf.native.kernel"}  # C++ alone


def test_one_file_is_one_module() -> None:
    """In a checkout `export` and `serving` are second names; nothing is loaded once under each."""
    code = """
import collections, sys
import export.session_model, serving.client, serving.wire.tensors
import tafe_tf.export.session_model, tafe_tf.serving.client
assert serving.client.Client is tafe_tf.serving.client.Client
assert export.session_model is tafe_tf.export.session_model
ours = ("tafe_tf", "export", "serving")
modules = {id(module): module for name, module in sys.modules.items() if name.split(".")[0] in ours}
files = collections.Counter(module.__spec__.origin for module in modules.values())
assert len(files) > 10 and set(files.values()) == {1}, files
assert all(module.__name__ == module.__spec__.name for module in modules.values())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["export.rollback", "serving.client"])
def test_a_checkout_keeps_the_short_command_names(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", command, "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert command.split(".")[1] in done.stdout and "Traceback" not in done.stderr


# Paths in these files are relative to the folder they lie in; commands run at the top.
RELATIVE = {".md", ".yaml", ".yml"}
TEXTS = {".py", ".toml", ".cfg", ".txt", ".flags", ".config", ".sh", "", *RELATIVE}
FOLDERS_WITH_TEXTS = (
    *("tafe_tf", "export", "serving", "flagfiles", "tests", "benchmarks", "examples", "docs"),
    ".ci",
)


def texts() -> Iterator[pathlib.Path]:
    """All text files of the repository."""
    paths = [path for path in ROOT.iterdir() if path.name != ".git"]  # in a worktree a file
    for folder in FOLDERS_WITH_TEXTS:
        paths += (ROOT / folder).rglob("*")
    yield from (path for path in paths if path.is_file() and path.suffix in TEXTS)


def test_no_path_leaves_the_repository() -> None:
    """No file knows what lies beside a checkout, nor the folders of one machine."""
    wrong = []
    for path in texts():
        text = path.read_text(encoding="utf-8")
        start = path.parent if path.suffix in RELATIVE else ROOT
        for upwards in re.findall(r"(?:\.\./)+", text):
            if not (start / upwards).resolve().is_relative_to(ROOT):
                wrong.append(f"{path.relative_to(ROOT)}: {upwards}")
        for machine in re.findall(r"(?<![\w.-])/(?:home|root|Users|work)/", text):
            wrong.append(f"{path.relative_to(ROOT)}: {machine}")
    assert wrong == []

"""What is installed, and who may import whom."""

from __future__ import annotations

import ast
import importlib
import os
import pathlib
import re
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("tafe_tf", "export", "serving")
    for path in sorted((ROOT / package).rglob("*.py"))
}
ENTRY_POINTS = {name for name, path in SOURCES.items() if '__name__ == "__main__"' in path.read_text(encoding="utf-8")}

# Module or package -> what of the project it may import, itself aside; the packages and modules of design rank.
ALLOWED = {
    "tafe_tf.schema": set(),
    "tafe_tf.features": {"tafe_tf.schema"},
    "tafe_tf.metrics": set(),
    "tafe_tf.losses": set(),
    "tafe_tf.optimizers": set(),
    "tafe_tf.data": {"tafe_tf.schema"},
    "tafe_tf.layers": set(),
    "tafe_tf.models": {"tafe_tf.layers", "tafe_tf.losses"},
    "tafe_tf.keras_metrics": {"tafe_tf.losses"},
}


def within(module: str, packages: set[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


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
    found = {(module, name) for module in modules for name in imports(module) if within(name, {"tafe_tf", "export"})}
    assert {pair for pair in found if not within(pair[1], ALLOWED[package] | {package})} == set()


@pytest.mark.parametrize(
    "package", ["tafe_tf.layers", "tafe_tf.models", "tafe_tf.losses", "tafe_tf.metrics", "tafe_tf.keras_metrics"]
)
def test_only_named_modules_need_tensorflow(package: str) -> None:
    modules = {module for module in SOURCES if within(module, {package})}
    need = {module for module in modules if any(within(name, {"tensorflow"}) for name in imports(module))}
    assert need == set()


def test_the_core_knows_neither_export_nor_serving() -> None:
    core = [module for module in SOURCES if within(module, {"tafe_tf"})]
    assert [(m, name) for m in core for name in imports(m) if within(name, {"export", "serving"})] == []


def test_serving_knows_no_layer_and_no_model() -> None:
    serving = [module for module in SOURCES if within(module, {"serving"})]
    assert [(m, n) for m in serving for n in imports(m) if within(n, {"tafe_tf.layers", "tafe_tf.models"})] == []


def test_nothing_imports_an_entry_point() -> None:
    core = {name for name in ENTRY_POINTS if within(name, {"tafe_tf"})}
    assert core >= {"tafe_tf.train", "tafe_tf.evaluate", "tafe_tf.prepare", "tafe_tf.report"}
    assert [(module, name) for module in SOURCES for name in imports(module) if name in core] == []


@pytest.mark.skipif("TAFE_INSTALLED" not in os.environ, reason="`make test` sets it")
@pytest.mark.parametrize("package", ["tafe_tf", "export", "serving"])
def test_the_installed_package_is_tested(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__file__ is not None
    installed = pathlib.Path(module.__file__).parent
    assert "site-packages" in installed.parts
    names = {str(path.relative_to(ROOT / package)) for path in (ROOT / package).rglob("*.py")}
    assert {str(path.relative_to(installed)) for path in installed.rglob("*.py")} == names  # none missing, none stale
    assert package != "tafe_tf" or (installed / "py.typed").exists()
    kit = {path.name for path in (ROOT / package / "tf_serving").glob("*")}
    assert {path.name for path in (installed / "tf_serving").glob("*")} == kit
    assert bool(kit) == (package == "serving")


def test_no_file_names_a_machine() -> None:
    """The data folder is named relative to the checkout only, `..` first."""
    kinds = {".py", ".md", ".toml", ".cfg", ".txt", ".flags", ".yaml", ".yml", ".config", ".sh", ""}
    folders = [
        ROOT / name for name in ("tafe_tf", "export", "serving", "flagfiles", "tests", "benchmarks", "examples", ".ci")
    ]
    files = [path for folder in folders for path in folder.rglob("*")] + list(ROOT.iterdir())
    texts = [path for path in files if path.is_file() and path.suffix in kinds]
    pattern = re.compile(r"(?<!\.\./)(?<![\w-])" + "shared" + "/")
    assert len(texts) > 20
    wrong = [str(path.relative_to(ROOT)) for path in texts if pattern.search(path.read_text(encoding="utf-8"))]
    assert wrong == []

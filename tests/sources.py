"""The package's modules: the names that they are imported under, and their files."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDERS = {
    "tafe_tf": ROOT / "tafe_tf",
    "tafe_tf.export": ROOT / "export",
    "tafe_tf.serving": ROOT / "serving",
}


def modules_below(package: str, folder: pathlib.Path) -> Iterator[tuple[str, pathlib.Path]]:
    """Name and file of every module.

    The links to `export` and `serving` in the checkout's `tafe_tf` are not followed.
    """
    for path in sorted(folder.rglob("*.py")):
        name = ".".join([package, *path.relative_to(folder).with_suffix("").parts])
        yield name.removesuffix(".__init__"), path


SOURCES: dict[str, pathlib.Path] = {}
for package, folder in FOLDERS.items():
    SOURCES.update(modules_below(package, folder))


def within(module: str, packages: set[str]) -> bool:
    """Whether a module is one of some packages, or lies in one of them."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)

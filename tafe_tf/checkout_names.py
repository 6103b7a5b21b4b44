"""Second names in a checkout: `export` is `tafe_tf.export`, and `serving` is `tafe_tf.serving`.

A module is loaded once, under its canonical name, by whichever name it is imported. An installed
package has the canonical names only.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType


class SecondName(importlib.abc.MetaPathFinder):
    """Finds each module below one package name as the module of the same name below another.

    Args:
        alias: A top-level package name, such as "export".
        canonical: The package that it stands for, such as "tafe_tf.export".
    """

    def __init__(self, alias: str, canonical: str) -> None:
        self._alias = alias
        self._canonical = canonical

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """The spec of a module below the alias, or None for any other module."""
        if not name.startswith(f"{self._alias}."):
            return None
        below = name.removeprefix(self._alias)
        real = importlib.util.find_spec(self._canonical + below)
        if real is None:
            return None
        is_package = real.submodule_search_locations is not None
        return ModuleSpec(
            name,
            _CanonicalLoader(real),
            origin=real.origin,
            is_package=is_package,
        )


class _CanonicalLoader(importlib.abc.InspectLoader):
    """Hands out the canonical module instead of loading its file once more."""

    def __init__(self, real: ModuleSpec) -> None:
        self._real = real

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = importlib.import_module(self._real.name)

    def get_source(self, fullname: str) -> str | None:
        return self._loader().get_source(self._real.name)

    def get_code(self, fullname: str) -> CodeType | None:  # for `python -m`
        return self._loader().get_code(self._real.name)

    def _loader(self) -> importlib.abc.InspectLoader:
        loader = self._real.loader
        assert isinstance(loader, importlib.abc.InspectLoader)
        return loader


def register(alias: str) -> None:
    """Makes a top-level name another name of a package of ours.

    It must be called while that name is being imported.

    Args:
        alias: The name, such as "export" for `tafe_tf.export`.
    """
    canonical = f"tafe_tf.{alias}"
    sys.meta_path.insert(0, SecondName(alias, canonical))
    sys.modules[alias] = importlib.import_module(canonical)

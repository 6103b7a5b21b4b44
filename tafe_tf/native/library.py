"""The built kernel: where it lies, how it is built, and how it is loaded.

There is a library for each of Keras's backends that it can serve, and each is built and loaded
without the others' packages.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import pathlib
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from tafe_tf import machine
from tafe_tf.native import sealed_file

Mode = Literal["auto", "on", "off"]
MODES: tuple[Mode, ...] = ("auto", "on", "off")

_SOURCES = pathlib.Path(__file__).parent / "kernel"
_FLAGS = (
    *("-std=c++17", "-O3", "-fPIC", "-ffp-contract=fast", "-fno-math-errno"),
    *("-fno-trapping-math", "-Wno-psabi", "-Wno-ignored-attributes"),
)
# The targets that one library holds: their flags, and how many rows a vector of theirs has.
_TARGETS: dict[str, dict[str, tuple[str, ...]]] = {
    "x86_64": {
        "x86_64_v4": ("-march=x86-64-v4", "-mprefer-vector-width=512", "-DLANES=16"),
        "x86_64_v3": ("-march=x86-64-v3", "-DLANES=8"),
        "x86_64_v2": ("-march=x86-64-v2", "-DLANES=4"),
    },
    "aarch64": {"aarch64": ("-DLANES=4",)},
}
_COMPILERS = ("g++", "clang++")
# By Keras's backend: what the library's name begins with, and the source of its operations.
BACKENDS = {
    "tensorflow": ("tafe", "tensorflow_ops.cc"),
    "jax": ("tafejax", "jax_calls.cc"),
}

_loaded: set[pathlib.Path] = set()  # whose operations TensorFlow has


class BuildError(Exception):
    """The kernel cannot be built here; the message says why."""


class LoadError(BuildError):
    """A library of the kernel cannot be loaded; the message says why."""


class _Sizes(ctypes.Structure):
    """`tafe_sizes` of kernel/sizes.h."""

    _fields_ = (
        ("fields", ctypes.c_int32),
        ("inducing", ctypes.c_int32),
        ("heads", ctypes.c_int32),
        ("dim", ctypes.c_int32),
        ("tasks", ctypes.c_int32),
        ("layers", ctypes.c_int32),
        ("epsilon", ctypes.c_float),
    )


class Library:
    """A built kernel, loaded into this process.

    Args:
        path: The shared library.

    Attributes:
        path: The shared library.
        operations: Its TensorFlow operations: tafe_score, tafe_forward and tafe_backward. None on
            JAX, which has the functions TafeScore, TafeForward and TafeBackward.

    Raises:
        LoadError: If it cannot be loaded, for example because its folder may not be executed from.
        RuntimeError: If TensorFlow has loaded the kernel from another file into this process. To
            register an operation twice would make it unusable.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.operations = _tensorflow_operations(path)
        try:
            self._functions = ctypes.CDLL(str(path))
        except OSError as error:
            raise LoadError(f"{path}: the kernel cannot be loaded: {error}") from None
        self._functions.tafe_target.restype = ctypes.c_char_p
        self._functions.tafe_count_saved.restype = ctypes.c_int64

    @property
    def target(self) -> str:
        """The instruction set that it uses here, such as "x86_64_v4"."""
        name: bytes = self._functions.tafe_target()
        return name.decode()

    def targets(self) -> list[str]:
        """The instruction sets that this machine could use, the best one first."""
        before = self.target
        found = [name for name in targets_of_this_machine() if self._takes(name)]
        self._takes(before)
        return found

    def use_target(self, name: str) -> None:
        """Uses another instruction set than the best one, for tests.

        Raises:
            ValueError: If this machine lacks it.
        """
        if not self._takes(name):
            raise ValueError(f"this machine cannot run the kernel for {name}")

    def function(self, name: str) -> Any:
        """A function of the library, as ctypes has it."""
        return getattr(self._functions, name)

    def count_saved(self, sizes: Mapping[str, Any], layer: int, rows: int) -> int:
        """Number of floats that are saved of a layer for the gradients.

        Args:
            sizes: The model's, see `tafe_tf.native.stack.sizes_of`.
            layer: The layer's number, from 0.
            rows: B.
        """
        given = _Sizes(*(sizes[name] for name, _ in _Sizes._fields_))
        count: int = self._functions.tafe_count_saved(
            ctypes.byref(given), layer, ctypes.c_int64(rows)
        )
        return count

    def _takes(self, name: str) -> bool:
        return self._functions.tafe_use_target(name.encode()) == 0


def _tensorflow_operations(path: pathlib.Path) -> Any:
    if machine.backend() != "tensorflow":
        return None
    import tensorflow as tf

    others = [str(other) for other in _loaded if other != path]
    if others:
        raise RuntimeError(f"{path}: this process has the kernel's operations from {others[0]}")
    try:
        operations = tf.load_op_library(str(path))
    except (tf.errors.OpError, RuntimeError) as error:
        raise LoadError(f"{path}: the kernel cannot be loaded: {error}") from None
    _loaded.add(path)
    return operations


def compiler() -> str:
    """The C++ compiler: the environment's CXX, or else g++ or clang++.

    Raises:
        BuildError: If there is none.
    """
    names = [os.environ["CXX"]] if os.environ.get("CXX") else list(_COMPILERS)
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    raise BuildError(f"there is no C++ compiler: {' or '.join(names)}")


def targets_of_this_machine() -> dict[str, tuple[str, ...]]:
    """The instruction sets to compile for, the best one first, and the compiler's flags of each."""
    return _TARGETS.get(platform.machine(), {})


def path() -> pathlib.Path:
    """Where the library of this version is, or would be.

    It lies beside the package, or in the user's cache where the package may not be written to. Its
    name has a hash of the sources, so that no other version's library is ever loaded.
    """
    prefix, _ = _backend()
    name = f"{prefix}-{_hash_of_sources()}-{platform.machine()}.so"
    beside = pathlib.Path(__file__).parent / "built" / name
    in_cache = _in_cache(name)
    if beside.exists() or in_cache is None:
        return beside
    if os.access(beside.parents[1], os.W_OK) and not in_cache.exists():
        return beside
    return in_cache


def _in_cache(name: str) -> pathlib.Path | None:
    """The library's path in the user's cache; None for a user without a home."""
    given = os.environ.get("XDG_CACHE_HOME")
    try:
        cache = pathlib.Path(given) if given else pathlib.Path.home() / ".cache"
    except RuntimeError:
        return None
    return cache / "tafe_tf" / name


def _backend() -> tuple[str, str]:
    """The entry of `BACKENDS`."""
    name = machine.backend()
    if name not in BACKENDS:
        raise BuildError(f"the kernel has no operations for Keras's {name} backend")
    return BACKENDS[name]


def _flags_of_backend() -> tuple[list[str], list[str]]:
    """The compiler's and the linker's flags of Keras's backend."""
    if machine.backend() == "jax":
        import jax

        return ["-isystem", jax.ffi.include_dir()], []
    import tensorflow as tf

    return tf.sysconfig.get_compile_flags()[:1], tf.sysconfig.get_link_flags()


@functools.cache
def _hash_of_sources() -> str:
    digest = hashlib.sha256(repr((_FLAGS, _TARGETS)).encode())
    _, ours = _backend()
    of_others = {operations for _, operations in BACKENDS.values()} - {ours}
    for source in sorted(_SOURCES.iterdir()):
        if source.suffix in (".h", ".cc") and source.name not in of_others:
            digest.update(source.name.encode())
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def built(extra_flags: Sequence[str] = ()) -> Iterator[Library]:
    """Compiles the kernel for every target of this machine's architecture, in a temporary folder.

    Args:
        extra_flags: Further flags of the compiler. The default is none.

    Raises:
        BuildError: If there is no compiler, or it fails, or what it made cannot be loaded.
    """
    targets = targets_of_this_machine()
    if not targets:
        raise BuildError(f"the kernel has no target for {platform.machine()}")
    command = [compiler(), *_FLAGS, *extra_flags]
    jobs: list[tuple[str, str, Sequence[str]]] = []
    for target, flags in targets.items():
        jobs.append(("target.cc", target, [*flags, f"-DTARGET={target}"]))
    jobs.append(("kernel.cc", "kernel", []))
    _, operations = _backend()
    flags_of_backend, links = _flags_of_backend()
    jobs.append((operations, "operations", flags_of_backend))
    with tempfile.TemporaryDirectory(prefix="tafe-native-") as name:
        folder = pathlib.Path(name)

        def compile_one(job: tuple[str, str, Sequence[str]]) -> str:
            source, made, flags = job
            made = str(folder / f"{made}.o")
            _run([*command, *flags, "-c", str(_SOURCES / source), "-o", made])
            return made

        with ThreadPoolExecutor(max_workers=os.cpu_count()) as threads:
            objects = list(threads.map(compile_one, jobs))
        library = folder / "tafe.so"
        _run([*command, "-shared", *objects, *links, "-pthread", "-o", str(library)])
        yield Library(library)


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or [done.stderr]
        raise BuildError(f"{' '.join(command)}: {lines[0]}")


def install(library: Library) -> pathlib.Path:
    """Puts a library that was built where `load` finds it, and removes those of other versions.

    Returns:
        Its path.
    """
    place = path()
    place.parent.mkdir(parents=True, exist_ok=True)
    sealed_file.write(library.path, place)
    prefix, _ = _backend()
    for other in place.parent.glob(f"{prefix}-*.so"):
        if other != place:
            other.unlink(missing_ok=True)  # another process may be doing the same
    return place


@functools.cache
def load() -> Library | None:
    """The kernel, or None if there was none to load when this process asked first."""
    place = path()
    if not sealed_file.is_whole(place):
        return None
    try:
        return Library(place)
    except LoadError:
        return None


def reason_against_machine() -> str:
    """Why no model can use the kernel in this process; "" if one can."""
    if machine.has_accelerator():
        return "it is for CPUs, and there is an accelerator"
    if load() is not None:
        return ""
    place = path()
    if place.exists():
        return f"{place} is damaged or cannot be loaded: `tafe native` builds it anew"
    return "it was not built: `tafe native` does that"


def way_without(mode: Mode, reason: str, what: str, where: str = "") -> str:
    """The line that says why the kernel does not compute.

    Args:
        mode: As it was asked for.
        reason: Why it cannot be used.
        what: What computes instead, such as "stock layers".
        where: What an error begins with, such as "models/shop/1: "; nothing by default.

    Raises:
        ValueError: If the mode is "on".
    """
    if mode == "on":
        raise ValueError(f"{where}--native=on: the kernel cannot be used: {reason}")
    return f"{what}; the native kernel is not used: {reason}"

"""The built kernel: where it lies, how it is built, and how TensorFlow loads it."""

from __future__ import annotations

import functools
import hashlib
import os
import pathlib
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import tensorflow as tf

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


class BuildError(Exception):
    """The kernel cannot be built here; the message says why."""


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


def path() -> pathlib.Path:
    """Where the library of this version is, or would be.

    It lies beside the package, or in the user's cache where the package may not be written to. Its
    name has a hash of the sources, so that no other version's library is ever loaded.
    """
    name = f"tafe-{_hash_of_sources()}-{platform.machine()}.so"
    beside = pathlib.Path(__file__).parent / "built" / name
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    in_cache = cache / "tafe_tf" / name
    if beside.exists() or (os.access(beside.parents[1], os.W_OK) and not in_cache.exists()):
        return beside
    return in_cache


@functools.cache
def _hash_of_sources() -> str:
    digest = hashlib.sha256(repr((_FLAGS, _TARGETS)).encode())
    for source in sorted(_SOURCES.iterdir()):
        if source.suffix in (".h", ".cc"):
            digest.update(source.name.encode())
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def build(extra_flags: Sequence[str] = ()) -> pathlib.Path:
    """Compiles the kernel for every target of this machine's architecture.

    Args:
        extra_flags: Further flags of the compiler. The default is none.

    Returns:
        The library, in a new temporary folder; `install` puts it in its place.

    Raises:
        BuildError: If there is no compiler, or it fails.
    """
    targets = _TARGETS.get(platform.machine())
    if targets is None:
        raise BuildError(f"the kernel has no target for {platform.machine()}")
    name = compiler()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tafe-native-"))
    flags = (*_FLAGS, *extra_flags)
    jobs = []
    for target, of_target in targets.items():
        jobs.append(("target.cc", target, (*of_target, f"-DTARGET={target}")))
    jobs.append(("kernel.cc", "kernel", ()))
    jobs.append(("tensorflow_ops.cc", "tensorflow_ops", tf.sysconfig.get_compile_flags()[:1]))

    def compile_one(job: tuple[str, str, Sequence[str]]) -> str:
        source, made, of_job = job
        result = str(folder / f"{made}.o")
        _run([name, *flags, *of_job, "-c", str(_SOURCES / source), "-o", result])
        return result

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as threads:
        objects = list(threads.map(compile_one, jobs))
    library = folder / "tafe.so"
    _run(
        [
            name,
            *flags,
            "-shared",
            *objects,
            *tf.sysconfig.get_link_flags(),
            "-pthread",
            "-o",
            str(library),
        ]
    )
    return library


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or [done.stderr]
        raise BuildError(f"{' '.join(command)}: {lines[0]}")


def install(library: pathlib.Path) -> pathlib.Path:
    """Puts a library that was built where `load` finds it, and removes those of other versions.

    Returns:
        Its path.
    """
    place = path()
    place.parent.mkdir(parents=True, exist_ok=True)
    hidden = place.with_name(f".{place.name}.{os.getpid()}")
    shutil.copyfile(library, hidden)
    hidden.replace(place)
    for other in place.parent.glob("tafe-*.so"):
        if other != place:
            other.unlink()
    return place


def load(library: pathlib.Path | None = None) -> ModuleType | None:
    """The kernel's operations, or None if it was not built.

    Args:
        library: The library; by default the one at `path()`.
    """
    library = library or path()
    return _load(library) if library.exists() else None


@functools.cache
def _load(library: pathlib.Path) -> ModuleType:
    return tf.load_op_library(str(library))

"""Which operations of a device take the time, by JAX's own profiler."""

from __future__ import annotations

import collections
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import jax


def top_operations(call: Callable[[], object], count: int = 25) -> list[dict[str, Any]]:
    """Profiles a call.

    Args:
        call: What to profile; it must wait for the device.
        count: How many operations to return; 25 by default.

    Returns:
        The operations that took longest in all, the longest first: name, milliseconds, share of the
        time of all operations, and how often each ran.
    """
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            call()
        [path] = pathlib.Path(folder).rglob("*.xplane.pb")
        profile = jax.profiler.ProfileData.from_serialized_xspace(path.read_bytes())
    nanoseconds: collections.Counter[str] = collections.Counter()
    times: collections.Counter[str] = collections.Counter()
    for event in _events(profile):
        nanoseconds[event.name] += round(event.duration_ns)
        times[event.name] += 1
    total = nanoseconds.total()
    return [
        {"name": name, "ms": spent / 1e6, "share": spent / total, "times": times[name]}
        for name, spent in nanoseconds.most_common(count)
    ]


def _events(profile: Any) -> Iterator[Any]:
    """The operations of a GPU's streams; without a GPU, those of XLA's threads."""
    planes = list(profile.planes)
    of_gpus = [plane for plane in planes if plane.name.startswith("/device:GPU")]
    for plane in of_gpus or planes:
        for line in plane.lines:
            is_of_device = line.name.startswith("Stream") if of_gpus else "XLA" in line.name
            if is_of_device:
                yield from line.events

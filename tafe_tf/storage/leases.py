"""One writer at a time below a prefix of a store: a claim that its holder renews while it lives.

A lock of a file system ends with its process; a store has none. Here `.lock` below the prefix says
who holds it, and the holder rewrites it every ten seconds. Whoever finds it unchanged for a minute
takes it over by a conditional request, so of several only one does. No clocks are compared. On the
machine of a holder that has died nobody waits.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import pathlib
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

from tafe_tf.storage import claims
from tafe_tf.storage.addresses import join
from tafe_tf.storage.conditional.client import Claim
from tafe_tf.storage.errors import StoreError

FILE = ".lock"
RENEW_SECONDS = 10.0
LEASE_SECONDS = 60.0  # without a sign of life, after which the holder counts as dead
_LOOK_SECONDS = 2.0

_LOG = logging.getLogger("tafe_tf.storage")
_held: list[Lease] = []  # by this process


class LeaseTakenError(StoreError):
    """Another process holds the lease.

    Attributes:
        holder: Which one, for a message.
    """

    def __init__(self, uri: str, holder: str) -> None:
        super().__init__(f"{uri}: {holder} writes in this directory")
        self.holder = holder


@dataclasses.dataclass
class Lease:
    """A lease that this process holds.

    Attributes:
        directory: The prefix that it is about.
        tag: The store's mark of what `.lock` holds.
        renewed: When the store took it last, by `time.monotonic`.
        lost: Who has taken it over; "" while nobody has.
    """

    directory: str
    tag: str
    renewed: float
    lost: str = ""
    token: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    @property
    def uri(self) -> str:
        """The object that says who holds it."""
        return join(self.directory, FILE)

    def content(self) -> bytes:
        """What that object shall hold, another text at each call."""
        described = {**_this_process(), "token": self.token, "renewed": uuid.uuid4().hex}
        return json.dumps(described, indent=2).encode()

    def renew(self) -> None:
        """Tells the store that this process lives.

        Raises:
            StoreError: If another process has taken the lease over, or the store does not answer.
        """
        with self.lock:
            began = time.monotonic()
            tag = None if self.lost else claims.replace(self.uri, self.content(), self.tag)
            if tag is None:
                self.lost = self.lost or _holder(claims.read(self.uri))
                raise StoreError(
                    f"{self.directory}: this process had to stop for more than {LEASE_SECONDS:g} "
                    f"s, and {self.lost} has taken over; the same command goes on once that ends"
                )
            self.tag = tag
            self.renewed = began

    def check(self) -> None:
        """Raises StoreError unless nobody else can have taken the lease over."""
        is_fresh = time.monotonic() - self.renewed < LEASE_SECONDS / 2
        if self.lost or not is_fresh:
            self.renew()


@contextlib.contextmanager
def held(directory: str) -> Iterator[Lease]:
    """Keeps other processes from writing below a prefix while the `with` block runs.

    Args:
        directory: The prefix.

    Raises:
        LeaseTakenError: If a living process holds it.
        StoreError: If the store cannot be written to, or has no conditional requests.
    """
    claims.check_can_claim(directory)
    lease = _take(directory)
    ended = threading.Event()
    renewing = threading.Thread(target=_keep_renewing, args=(lease, ended), daemon=True)
    renewing.start()
    _held.append(lease)
    try:
        yield lease
    finally:
        _held.remove(lease)
        ended.set()
        renewing.join()
        _release(lease)


def check(uri: str) -> None:
    """Finds that this process still holds the leases that it took of what lies above an object.

    Raises:
        StoreError: If another process has taken one over.
    """
    for lease in list(_held):
        if uri.startswith(lease.directory.rstrip("/") + "/"):
            lease.check()


def _take(directory: str) -> Lease:
    """The lease, once it is this process's."""
    seen = None
    since = time.monotonic()
    while True:
        began = time.monotonic()
        lease = Lease(directory, tag="", renewed=began)
        tag = claims.create(lease.uri, lease.content())
        if tag is None:
            there = claims.read(lease.uri)
            if there is None:
                continue
            if seen is None:
                _say_waiting(directory, there)
            elif there.tag != seen:
                raise LeaseTakenError(directory, _holder(there))
            seen = there.tag
            is_dead = _has_died(there) or began - since > LEASE_SECONDS
            if is_dead:
                tag = claims.replace(lease.uri, lease.content(), there.tag)
        if tag is not None:
            lease.tag = tag
            return lease
        time.sleep(min(_LOOK_SECONDS, LEASE_SECONDS / 5))


def _say_waiting(directory: str, there: Claim) -> None:
    """Raises LeaseTakenError for a holder on this machine that lives, and else says who it was."""
    described = _described(there)
    if _is_here(described):
        if not _has_died(there):
            raise LeaseTakenError(directory, _holder(there))
        return
    _LOG.warning(
        "%s: %s was writing there; waiting up to %g s for a sign of life",
        *(directory, _holder(there), LEASE_SECONDS),
    )


def _keep_renewing(lease: Lease, ended: threading.Event) -> None:
    while not ended.wait(RENEW_SECONDS):
        with contextlib.suppress(StoreError):  # who writes next will hear of it
            lease.renew()
        if lease.lost:
            return


def _release(lease: Lease) -> None:
    """Removes what says that the lease is held, if it is this process's still."""
    with contextlib.suppress(StoreError):
        lease.check()
        claims.delete(lease.uri)


def _this_process() -> dict[str, Any]:
    """What tells this process from every other one."""
    return {
        "host": socket.gethostname(),
        "machine": _machine(),
        "process": os.getpid(),
        "started": _start_of(os.getpid()),
        "command": " ".join(sys.argv)[:120],
    }


def _machine() -> str:
    """What is another text for every other machine, start of a machine, or container."""
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id")
    try:
        processes = os.readlink("/proc/self/ns/pid")
        return f"{boot.read_text().strip()} {processes}"
    except OSError:  # not Linux
        return ""


def _start_of(process: int) -> str:
    """When a process of this machine began; "" if there is none."""
    try:
        text = pathlib.Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()  # the name before may hold anything
    state, started = fields[0], fields[19]
    return "" if state in "ZX" else started


def _described(claim: Claim) -> dict[str, Any]:
    try:
        described = json.loads(claim.content)
    except ValueError:
        return {}
    return described if isinstance(described, dict) else {}


def _holder(claim: Claim | None) -> str:
    """Who holds a lease, for a message."""
    described = {} if claim is None else _described(claim)
    if "process" not in described:
        return "another process"
    return f"process {described['process']} on {described['host']} ({described['command']})"


def _is_here(described: dict[str, Any]) -> bool:
    """Whether a holder runs, or ran, where this process can look for it."""
    own = _this_process()
    same_place = [described.get(key) == own[key] for key in ("host", "machine")]
    return bool(own["machine"]) and all(same_place)


def _has_died(claim: Claim) -> bool:
    """Whether a holder is known to have ended."""
    described = _described(claim)
    if not _is_here(described):
        return False
    return _start_of(described["process"]) != described["started"]

"""A network of one's own, in which nothing but the loopback interface exists.

TensorFlow's workers listen on every interface (0.0.0.0 stands in its source), whatever address
TF_CONFIG gives them, and run what they are sent: there is no login, and file operations are among
what can be sent. In a network namespace of their own they reach each other, and nobody else can
reach them.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import pathlib
import socket
import struct
import sys

# From the headers of Linux: sched.h, net/if.h and bits/ioctls.h.
_NEW_USER = 0x10000000
_NEW_NETWORK = 0x40000000
_GET_FLAGS = 0x8913
_SET_FLAGS = 0x8914
_IS_UP = 1
_INTERFACE = struct.Struct("16sh")  # a name and its flags


def enter() -> bool:
    """Moves this process, and what it starts from now on, into a network of its own.

    Returns:
        Whether that worked; if not, nothing has changed. It needs Linux, and either root's
        privileges or a kernel that grants users namespaces.
    """
    if not sys.platform.startswith("linux"):
        return False
    if not _works_in_a_child():  # a namespace that was entered halfway cannot be left
        return False
    _enter()
    return True


def _works_in_a_child() -> bool:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _enter()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return status == 0


def _enter() -> None:
    """Raises OSError if the kernel refuses."""
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        # In a user namespace, root could no longer read the files of other users.
        _unshare(_NEW_NETWORK)
    else:
        _unshare(_NEW_USER | _NEW_NETWORK)
        process = pathlib.Path("/proc/self")
        (process / "setgroups").write_text("deny")
        (process / "uid_map").write_text(f"{user} {user} 1")
        (process / "gid_map").write_text(f"{group} {group} 1")
    _turn_on("lo")


def _unshare(namespaces: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(namespaces):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _turn_on(name: str) -> None:
    """Turns a network interface on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = _INTERFACE.pack(name.encode(), 0)
        answer = fcntl.ioctl(any_socket, _GET_FLAGS, asked.ljust(40, b"\0"))
        _, interface_flags = _INTERFACE.unpack_from(answer)
        wanted = _INTERFACE.pack(name.encode(), interface_flags | _IS_UP)
        fcntl.ioctl(any_socket, _SET_FLAGS, wanted.ljust(40, b"\0"))

"""A network namespace of one's own, with nothing in it but loopback: the wall behind the guard, where Linux allows it
without root. Knows no engine.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
import sys

from localjudge.errors import UsageError

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_IFF_UP = 1
_IFREQ = "16sh22x"


def isolate() -> None:
    """Moves this process, and all that it starts from now on, where there is no network but loopback. No way back.

    Must come before the process has a second thread. Raises UsageError where the system does not allow it.
    """
    if is_isolated():
        return
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform.startswith("linux") else None
    if libc is None or not _unshared(libc):
        reason = os.strerror(ctypes.get_errno()) if libc else "Linux alone has network namespaces"
        raise UsageError(
            f"no network namespace of its own for this process: {reason}.",
            hint="Leave out --isolate, or run it in a container without a network (podman run --network=none).",
        )
    _raise_loopback()
    if not is_isolated():
        raise UsageError("the network namespace is not empty.", hint="Leave out --isolate.")


def is_isolated() -> bool:
    """Whether loopback is the only network interface that this process has."""
    return [name for _, name in socket.if_nameindex()] == ["lo"]


def _unshared(libc: ctypes.CDLL) -> bool:
    """With the rights of an administrator directly, else inside a user namespace in which everybody stays who he is."""
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(_CLONE_NEWNET) == 0:
        return True
    if ctypes.get_errno() != errno.EPERM or libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        return False
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)
    return True


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        asked = fcntl.ioctl(handle, _SIOCGIFFLAGS, struct.pack(_IFREQ, b"lo", 0))
        flags = struct.unpack(_IFREQ, asked)[1]
        fcntl.ioctl(handle, _SIOCSIFFLAGS, struct.pack(_IFREQ, b"lo", flags | _IFF_UP))

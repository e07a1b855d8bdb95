"""The guard on the ways out: what a judging process, and the Python processes it starts, may connect to.

Loopback, Unix sockets, and hosts allowed by name. It stands in Python's own socket calls, so it is a tripwire and no
wall: code that asks the kernel without Python passes it unseen (`isolation` and `egress_trace` see that, too).
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import ipaddress
import os
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

SWITCH = "LOCALJUDGE_EGRESS"
"""Set where the guard is on: the allowed hosts, comma-separated, for the processes that this one starts."""
LOG = "LOCALJUDGE_EGRESS_LOG"
"""The file to which this process and its children add a line for each refused attempt."""

_STARTUP = Path(__file__).parent / "guarded"
"""Holds a `sitecustomize`, which every Python that finds it on its path imports before anything else."""
_DNS = 53
_LONGEST_NAME = 253
_WITHIN_THE_KERNEL = {getattr(socket, name) for name in ("AF_UNIX", "AF_NETLINK") if hasattr(socket, name)}
_INTERNET = (socket.AF_INET, socket.AF_INET6)

_allowed: set[str] = set()
_addresses: set[str] = set()
"""What the allowed hosts resolved to when they were last looked up."""
_log: str | None = None
_on = False
_told: set[str] = set()


def guard(allowed_hosts: Iterable[str] = ()) -> None:
    """Turns the guard on, for the rest of this process and in every Python process it starts. Called again, it only
    allows more hosts.

    A refused attempt raises the OSError that a machine without a network gives, and is counted by its target. When the
    process ends it prints the targets on stderr.
    """
    global _log
    _allowed.update(host.lower() for host in allowed_hosts)
    if _log is None:
        inherited = os.environ.get(LOG, "")
        _log = inherited if os.path.isfile(inherited) else _new_log()
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path not in ("", str(_STARTUP))]
    os.environ[SWITCH] = ",".join(sorted(_allowed))
    os.environ[LOG] = _log
    os.environ["PYTHONPATH"] = os.pathsep.join([str(_STARTUP), *others])
    _install()


def join() -> None:
    """The guard of the process that started this one, by the environment; nothing where there is none."""
    global _log
    if SWITCH not in os.environ:
        return
    _allowed.update(filter(None, os.environ[SWITCH].split(",")))
    _log = os.environ.get(LOG)
    _install()


def drop_log() -> None:
    """Before this process turns into another program: refusals are then printed as they happen."""
    global _log
    if _log is not None:
        with contextlib.suppress(OSError):
            os.unlink(_log)
    _log = None
    os.environ.pop(LOG, None)


def refused() -> dict[str, int]:
    """Target -> refused attempts so far, of this process and of all that it started."""
    try:
        lines = Path(_log or "").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return dict(sorted(Counter(lines).items()))


def facts() -> dict[str, Any]:
    """As the manifest keeps it: whether the guard is on, how many hosts are allowed, what was refused."""
    return {"guard": _on, "allowed_hosts": len(_allowed), "refused": refused()}


def is_local(host: str, port: object = 0) -> bool:
    """Whether an address, or a name, is this machine's loopback. Port 53 is not: a resolver there asks others."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host.lower() == "localhost" and port != _DNS
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback and port != _DNS


def target(host: str, port: object = None) -> str:
    """How an address is written in counts. This machine's own name, which manifests leave out, is none of them."""
    own = os.uname().nodename
    if host == own or host.startswith(f"{own}."):
        host = "(this machine's name)"
    name = "".join(sign if sign.isprintable() else "?" for sign in host)[:_LONGEST_NAME]
    return f"{f'[{name}]' if ':' in name else name}:{port}" if port else name


def _new_log() -> str:
    handle, path = tempfile.mkstemp(prefix="localjudge-egress-", suffix=".log")
    os.close(handle)
    atexit.register(_report, path, os.getpid())
    return path


def _report(path: str, owner: int) -> None:
    if os.getpid() != owner or path != _log:
        return
    for name, count in refused().items():
        print(f"egress: refused {name} ({count} attempt{'s' * (count > 1)}); nothing was sent.", file=sys.stderr)
    drop_log()


def _install() -> None:
    global _on
    if not _on:
        sys.addaudithook(_hook)
        _on = True


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    check = _CHECKS.get(event)
    if check is not None:
        check(*arguments)


def _check_address(sock: Any, address: Any) -> None:
    if address is None or sock.family in _WITHIN_THE_KERNEL:
        return
    if sock.family not in _INTERNET:
        _refuse(f"family {int(sock.family)}")
    elif isinstance(address, tuple) and len(address) >= 2:
        host, port = _text(address[0]), address[1]
        if not is_local(host, port) and not _is_allowed(host):
            _refuse(target(host, port))


def _check_lookup(host: Any, port: Any = None, *_: Any) -> None:
    name = _text(host)
    if name and not _is_address(name) and not is_local(name) and name.lower() not in _allowed:
        _refuse(target(name, _text(port)), lookup=True)


def _check_reverse(host: Any) -> None:
    name = _text(host[0] if isinstance(host, tuple) else host)
    if name and not is_local(name) and not _is_allowed(name):
        _refuse(target(name), lookup=True)


_CHECKS: dict[str, Callable[..., None]] = {
    "socket.connect": _check_address,
    "socket.sendto": _check_address,
    "socket.sendmsg": _check_address,
    "socket.getaddrinfo": _check_lookup,
    "socket.gethostbyname": _check_lookup,
    "socket.gethostbyaddr": _check_reverse,
    "socket.getnameinfo": _check_reverse,
}


def _refuse(name: str, *, lookup: bool = False) -> None:
    _note(name)
    if lookup:
        raise socket.gaierror(socket.EAI_NONAME, f"localjudge looks up no names of other machines: {name}")
    raise OSError(errno.ENETUNREACH, f"localjudge connects to this machine alone, not to {name}")


def _note(name: str) -> None:
    """Counts a refused attempt; without a log that can be written, says so at once, each target once."""
    try:
        handle = os.open(_log or "", os.O_WRONLY | os.O_APPEND)
    except OSError:
        if name not in _told:
            _told.add(name)
            print(f"egress: refused {name}; nothing was sent.", file=sys.stderr)
        return
    try:
        os.write(handle, f"{name}\n".encode())
    finally:
        os.close(handle)


def _is_allowed(host: str) -> bool:
    """Allowed by name, or an address that an allowed name stands for now: servers move while a run goes on."""
    if not _allowed or host.lower() in _allowed or host in _addresses:
        return bool(_allowed)
    for name in _allowed:
        with contextlib.suppress(OSError):
            _addresses.update(str(found[4][0]) for found in socket.getaddrinfo(name, None))
    return host in _addresses


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _text(value: Any) -> str:
    if isinstance(value, bytes | bytearray):
        return value.decode("ascii", "backslashreplace")
    return "" if value is None else str(value)

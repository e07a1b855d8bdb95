"""A system-call trace, as strace writes it, read for the ways out of the machine that it shows. Knows no process."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from localjudge.egress import is_local, target

STRACE = (
    *("strace", "--seccomp-bpf", "-f", "-qq", "-s", "0", "-e", "signal=none", "-e", "trace=network,io_uring_setup"),
    *("-e", "inject=io_uring_setup:error=ENOSYS"),
)
"""No payload is written (`-s 0`), and only the calls that are asked for stop the process. It is told that the kernel
has no io_uring, as old ones have none, and makes calls instead: through a ring it could connect unseen."""

_CALL = re.compile(r"^(?:\[pid +)?(?:\d+\]? +)?(connect|sendto|sendmsg|sendmmsg|io_uring_setup)\(")
_REFUSED = "(INJECTED)"
_FAMILY = re.compile(r"sa_family=(AF_\w+)")
_INET = re.compile(r'sin_port=htons\((\d+)\), sin_addr=inet_addr\("([^"]+)"\)')
_INET6 = re.compile(r'sin6_port=htons\((\d+)\).*?inet_pton\(AF_INET6, "([^"]+)"')
_WITHIN_THE_KERNEL = {"AF_UNIX", "AF_NETLINK", "AF_UNSPEC"}


@dataclass(frozen=True, slots=True)
class Sightings:
    """What a trace shows. Calls are counted, also those that failed; a call counts once for each address in it."""

    loopback: int
    """Calls with an internet address of this machine."""
    unix: int
    """Calls with the address of a Unix or netlink socket."""
    outside: dict[str, int]
    """Target -> calls with any other address."""
    blind: int
    """io_uring rings that were not refused: what goes through them is not in the trace."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"loopback": self.loopback, "unix": self.unix, "outside": self.outside, "blind": self.blind}


def read_trace(lines: Iterable[str]) -> Sightings:
    """Every connect, sendto, sendmsg and sendmmsg with an address, sorted by where it leads."""
    loopback = unix = blind = 0
    outside: Counter[str] = Counter()
    for line in lines:
        call = _CALL.match(line)
        if call is None:
            continue
        if call[1] == "io_uring_setup":
            blind += _REFUSED not in line
            continue
        for family in _FAMILY.finditer(line):
            if family[1] in _WITHIN_THE_KERNEL:
                unix += 1
                continue
            pattern = {"AF_INET": _INET, "AF_INET6": _INET6}.get(family[1])
            found = pattern.search(line, family.end()) if pattern else None
            if found is None:
                outside[family[1]] += 1
            elif is_local(found[2], int(found[1])):
                loopback += 1
            else:
                outside[target(found[2], int(found[1]))] += 1
    return Sightings(loopback, unix, dict(sorted(outside.items())), blind)

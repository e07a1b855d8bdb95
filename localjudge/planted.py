"""A process: the command line, after two attempts to leave the machine, one in Python and one past it. With these
`doctor --egress --plant` shows that it would see real ones. A datagram socket that connects sends nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct

from localjudge.cli import main
from localjudge.offline import go_offline

GUARDED = ("192.0.2.1", 443)
UNGUARDED = ("192.0.2.2", 443)
"""Of the block that RFC 5737 sets aside for documentation: nobody's address."""


def plant() -> None:
    """Makes both attempts; whatever becomes of them, it goes on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle, contextlib.suppress(OSError):
        handle.connect(GUARDED)
    host, port = UNGUARDED
    address = struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", port, socket.inet_aton(host))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        ctypes.CDLL(None).connect(handle.fileno(), address, len(address))


if __name__ == "__main__":
    go_offline()
    plant()
    main()

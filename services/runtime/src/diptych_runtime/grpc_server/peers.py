"""Ends connections of peers that do not read: grpcio has no way to end a call whose reply is stuck.

Its ``abort`` waits behind what the peer does not take (measured with 1.85.1), so that the socket
itself is shut down, found among the descriptors of this process by the peer's address.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from urllib.parse import unquote

_PEER = re.compile(r"ipv[46]:\[?(?P<host>[0-9a-f:.]+)\]?:(?P<port>[0-9]+)")


def hang_up(peer: str) -> bool:
    """Shut down the connection with a peer, as ``ServicerContext.peer`` names it.

    Returns:
        Whether one was found; never for peers without an address, such as Unix sockets.
    """
    match = _PEER.fullmatch(unquote(peer))
    if match is None:
        return False
    address = match["host"], int(match["port"])
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(name))) as found:
            if _plain(found.getpeername()) == address:
                found.shutdown(socket.SHUT_RDWR)
                return True
    return False


def _plain(address: object) -> tuple[str, int] | None:
    """Return host and port; of IPv4 inside of IPv6 as gRPC names it."""
    if not isinstance(address, tuple):
        return None
    host, port = address[:2]
    return host.removeprefix("::ffff:"), port

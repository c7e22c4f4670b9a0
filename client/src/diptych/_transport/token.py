"""Bearer tokens: where a client gets its own, and where it must not send it."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

TOKEN_VARIABLE = "DIPTYCH_TOKEN_FILE"
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")  # RFC 6750, 2.1
_SCHEME = re.compile(r"(?:dns|ipv4|ipv6):(?://[^/]*/)?")
_PORT = re.compile(r":\d+$")
_LOCAL_SCHEMES = ("unix:", "unix-abstract:")

Token: TypeAlias = str | Callable[[], str]
"""A token, or what is asked for it before each call."""
Metadata: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class TokenFile:
    """A token that stands in a file, which is read for each call, so that it can be exchanged."""

    path: str | os.PathLike[str]

    def __call__(self) -> str:
        return Path(self.path).read_text().strip()


class Authorization:
    """What a client says of itself with each call."""

    def __init__(self, token: Token) -> None:
        self._token = token

    def metadata(self) -> Metadata:
        """For one call.

        Raises:
            OSError: the token's file cannot be read.
            ValueError: the token cannot be used.
        """
        token = self._token() if callable(self._token) else self._token
        if not _TOKEN.fullmatch(token):
            raise ValueError(
                "token: expected letters, digits and -._~+/= alone, got "
                + ("nothing" if not token else "something else")
            )
        return (("authorization", f"Bearer {token}"),)


def authorization(token: Token | None, *, address: str, encrypted: bool) -> Authorization | None:
    """The token that is given, else that of the environment; ``None`` if there is none.

    Raises:
        OSError: the token's file cannot be read.
        ValueError: the token cannot be used, or anyone on the way could read it.
    """
    path = os.environ.get(TOKEN_VARIABLE)
    source = TokenFile(path) if token is None and path else token
    if source is None:
        return None
    if not encrypted and not is_local(address):
        raise ValueError(
            f"token: expected an encrypted connection to {address}, got a plain one, on which "
            "anyone on the way can read the token: use tls=True, DIPTYCH_TLS=true or --tls"
        )
    found = Authorization(source)
    if isinstance(source, (str, TokenFile)):
        found.metadata()  # fails now instead of with the first call
    return found


def is_local(address: str) -> bool:
    """Whether what is sent to a gRPC target stays on this machine."""
    if address.startswith(_LOCAL_SCHEMES):
        return True
    hosts = _SCHEME.sub("", address, count=1).split(",")
    return all(_is_loopback(host) for host in hosts)


def _is_loopback(host_and_port: str) -> bool:
    # Several colons without brackets: an IPv6 address without a port.
    bare = host_and_port.count(":") > 1 and "]" not in host_and_port
    host = host_and_port if bare else _PORT.sub("", host_and_port)
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"

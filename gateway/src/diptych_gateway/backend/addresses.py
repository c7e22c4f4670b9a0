"""Where the replicas of a model are: addresses, a name of several, or a directory to ask."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

MOST_REPLICAS = 1000
"""Of one model: each has connections and a watch of its own."""
_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")
_AN_ADDRESS = "as host:port, such as localhost:50061"
_A_DIRECTORY = "as the URL of a directory, such as http://head:8000/replicas"


@dataclass(frozen=True)
class Fixed:
    """One replica at each of these, whatever the names among them resolve to."""

    addresses: tuple[str, ...]

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names or addresses of the machines, as far as they are known beforehand."""
        return tuple(address.rpartition(":")[0] for address in self.addresses)


@dataclass(frozen=True)
class Name:
    """One replica at each address that a name has at the time."""

    host: str
    port: int

    @property
    def address(self) -> str:
        """As it is written."""
        return f"{self.host}:{self.port}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """As that of ``Fixed``."""
        return (self.host,)


@dataclass(frozen=True)
class Directory:
    """One replica at each address that an HTTP server lists at the time, as JSON."""

    url: str

    @property
    def hosts(self) -> tuple[str, ...]:
        """As that of ``Fixed``: none."""
        return ()


Source: TypeAlias = Fixed | Name | Directory


def parse_source(text: str) -> Source:
    """Read ``host:port``, ``host:port|host:port``, or the URL of a directory.

    Raises:
        ValueError: it is none of them; the message ends a sentence that begins "write ...".
    """
    if "://" in text:
        return _parse_directory(text)
    addresses = []
    for part in text.split("|"):
        try:
            addresses.append(parse_address(part.strip()))
        except ValueError:
            several = f" between each two |, not {part.strip()!r}" if "|" in text else ""
            raise ValueError(_AN_ADDRESS + several) from None
    for again in repeated(addresses):
        raise ValueError(f"with {again!r} only once")
    if len(addresses) > MOST_REPLICAS:
        raise ValueError(f"with at most {MOST_REPLICAS} addresses, not {len(addresses)}")
    host, _, port = addresses[0].rpartition(":")
    if len(addresses) > 1 or _is_literal(host):
        return Fixed(tuple(addresses))
    return Name(host, int(port))


def parse_address(text: str) -> str:
    """Read ``host:port``; returns it in the form that all spellings of it have in common.

    Raises:
        ValueError: it is no such thing.
    """
    match = _ADDRESS.fullmatch(text)
    if not match or not 1 <= int(match["port"]) <= 65535:
        raise ValueError(f"expected host:port, got {text[:100]!r}")
    host = match["host"].lower()
    if host.startswith("["):
        host = f"[{ipaddress.IPv6Address(host[1:-1])}]"
    return f"{host}:{int(match['port'])}"


def join_address(host: str, port: int) -> str:
    """Make the ``host:port`` of an address without brackets."""
    return parse_address(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def repeated(addresses: Iterable[str]) -> list[str]:
    """List those that have come before, once for each time."""
    seen: set[str] = set()
    found = []
    for address in addresses:
        if address in seen:
            found.append(address)
        seen.add(address)
    return found


def _is_literal(host: str) -> bool:
    """Whether a host is an address already, and no name."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _parse_directory(text: str) -> Directory:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"{_A_DIRECTORY}, in printable ASCII")
    try:
        parts = urlsplit(text)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.scheme not in ("http", "https") or parts.fragment:
        raise ValueError(f"{_AN_ADDRESS}, or {_A_DIRECTORY}")
    if "@" in parts.netloc:
        raise ValueError(f"{_A_DIRECTORY}, without a user and a password")
    if parts.path in ("", "/"):
        raise ValueError(f"{_AN_ADDRESS}, or {_A_DIRECTORY}, which has a path")
    return Directory(text)

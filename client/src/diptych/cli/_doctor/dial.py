"""Connections of the doctor's own, so that it sees what gRPC does not tell."""

from __future__ import annotations

import base64
import os
import socket
import ssl
from urllib.parse import unquote, urlsplit

from ...proxies import Proxy
from .case import Case

# What a client of HTTP/2 says first, and an empty frame SETTINGS.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_WORDS = 3
"""What a check waits for one after the other: its time is for all of them."""
_SETTINGS, _TLS_ALERT, _FRAME_HEAD = 4, b"\x15\x03", 9


class ProxyRefusedError(OSError):
    """The proxy does not connect to the server, or is not there itself."""


def dialled(case: Case, host: str, port: int) -> socket.socket:
    """A connection to a server, by the proxy that gRPC would take.

    Raises:
        OSError: there is none.
    """
    proxy = case.proxy
    if proxy is None:
        connection = socket.create_connection((host, port), timeout=case.timeout)
        connection.settimeout(case.timeout / _WORDS)
        return connection
    place = urlsplit(os.environ[proxy.variable])
    there = (place.hostname or "", place.port or 80)
    try:
        connection = socket.create_connection(there, timeout=case.timeout)
    except OSError as error:
        why = str(error.strerror or error).lower()
        text = f"the proxy {proxy.url} of {proxy.variable} cannot be reached: {why}"
        raise ProxyRefusedError(text) from error
    connection.settimeout(case.timeout / _WORDS)
    try:
        _ask_proxy(connection, proxy, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    except OSError:
        connection.close()
        raise
    return connection


def _ask_proxy(connection: socket.socket, proxy: Proxy, there: str) -> None:
    place = urlsplit(os.environ[proxy.variable])
    lines = [f"CONNECT {there} HTTP/1.1", f"Host: {there}"]
    if place.username:
        pair = f"{unquote(place.username)}:{unquote(place.password or '')}"
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}")
    connection.sendall("\r\n".join((*lines, "", "")).encode())
    said = b""
    while b"\r\n\r\n" not in said and len(said) < 65_536:
        part = connection.recv(4096)
        if not part:
            break
        said += part
    status = said.partition(b"\r\n")[0].decode("latin-1")
    if status.split(" ")[1:2] != ["200"]:
        raise ProxyRefusedError(f"the proxy {proxy.url} answered {status or 'nothing'!r}")


def for_grpc() -> ssl.SSLContext:
    """What a handshake begins with as gRPC's does: nothing is trusted yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])
    return context


def trusting() -> ssl.SSLContext:
    """The same for a handshake whose certificate is looked at, and not believed."""
    context = for_grpc()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def spoken(connection: socket.socket) -> str:
    """What a server speaks: ``http/2``, ``http/1``, ``tls``, ``closed``, ``silent``, ``other``.

    Raises:
        ssl.SSLError: it refused the certificate that was shown, or that none was.
    """
    said = b""
    try:
        connection.sendall(_PREFACE)
        while len(said) < _FRAME_HEAD:
            part = connection.recv(256)
            if not part:
                break
            said += part
    except TimeoutError:
        return "silent" if not said else "other"
    except ssl.SSLError:
        raise
    except OSError:
        return "closed"
    if not said:
        return "closed"
    if said.startswith(_TLS_ALERT):
        return "tls"
    if said.startswith((b"HTTP/1", b"<")):  # a page alone, where the version was not understood
        return "http/1"
    return "http/2" if len(said) >= _FRAME_HEAD and said[3] == _SETTINGS else "other"

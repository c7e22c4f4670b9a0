"""An HTTP server that lists where the replicas of each model are.

It answers ``GET`` with ``{"replicas": {"sam-2": ["10.0.0.7:50061", "10.0.0.8:50061"]}}`` and the
content type ``application/json``. Anything else is refused as a whole: half a list would have the
gateway leave replicas that are well.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import h11

from .addresses import MOST_REPLICAS, parse_address

_MAX_BYTES = 1024 * 1024
_READ_BYTES = 64 * 1024
_SHOWN = 100


class DiscoveryError(Exception):
    """Why replicas were not found; the message is for everyone, ``detail`` for the log alone: it
    may name addresses."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


async def ask(url: str, ca: Path | None = None) -> bytes:
    """Fetch what a directory answers, at most 1 MiB. Has no limit of time: who asks sets one.

    ``ca`` has the authority of a server at ``https``; without one the system says whom to trust.

    Raises:
        DiscoveryError: it cannot be reached, or answers something else than JSON.
    """
    parts = urlsplit(url)
    tls = None
    if parts.scheme == "https":  # read each time, as certificates are renewed
        tls = await asyncio.to_thread(_trusting, ca)
    try:
        reader, writer = await asyncio.open_connection(
            parts.hostname, parts.port or (80 if tls is None else 443), ssl=tls
        )
    except OSError as error:  # names that are not known and certificates too
        raise DiscoveryError(f"the directory {_why(error)}", str(error)) from error
    connection = h11.Connection(h11.CLIENT)
    try:
        writer.write(_request(connection, parts))
        return await _read_answer(connection, reader)
    except (OSError, h11.RemoteProtocolError) as error:
        raise DiscoveryError("the directory does not speak HTTP", str(error)) from error
    finally:
        writer.transport.abort()


def _trusting(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        text = "the authority of the directory's certificate cannot be read"
        raise DiscoveryError(text, f"{ca}: {error}") from error


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "has a certificate that is not trusted"
    if isinstance(error, ssl.SSLError):
        return "does not speak TLS"
    return "cannot be reached"


def _request(connection: h11.Connection, parts: SplitResult) -> bytes:
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    headers = [
        ("Host", parts.netloc),
        ("Accept", "application/json"),
        ("Accept-Encoding", "identity"),
        ("User-Agent", "diptych-gateway"),
        ("Connection", "close"),
    ]
    request = connection.send(h11.Request(method="GET", target=target, headers=headers))
    return (request or b"") + (connection.send(h11.EndOfMessage()) or b"")


async def _read_answer(connection: h11.Connection, reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ_BYTES))
        elif isinstance(event, h11.Response):
            _check_head(event)
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > _MAX_BYTES:
                raise DiscoveryError(f"the directory answered more than {_MAX_BYTES} bytes")
        elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
            return bytes(body)


def _check_head(head: h11.Response) -> None:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
    if 300 <= head.status_code < 400:
        where = headers.get("location", "")[:_SHOWN]
        text = f"the directory answered {head.status_code}, elsewhere, which is not followed"
        raise DiscoveryError(text, where)
    if head.status_code != 200:
        raise DiscoveryError(f"the directory answered {head.status_code} instead of 200")
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        text = f"the directory answered {kind[:_SHOWN] or 'no content type'!r}"
        raise DiscoveryError(f"{text} instead of application/json")


def read_answer(body: bytes, model_id: str) -> tuple[str, ...]:
    """Read the addresses of a model's replicas, in the order in which they are listed.

    Raises:
        DiscoveryError: the answer has another form, or lists none.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DiscoveryError("the directory answered no JSON", str(error)[:_SHOWN]) from error
    models = document.get("replicas") if isinstance(document, dict) else None
    if not isinstance(models, dict):
        raise DiscoveryError('the directory answered no object with "replicas"')
    listed = models.get(model_id)
    if listed is None:
        known = ", ".join(sorted(map(str, models))[:20])
        raise DiscoveryError(f"the directory has no list for {model_id!r}", f"it has {known}")
    if not isinstance(listed, list):
        raise DiscoveryError(f"the directory has no list for {model_id!r}, but something else")
    if len(listed) > MOST_REPLICAS:
        raise DiscoveryError(f"the directory lists more than {MOST_REPLICAS} replicas")
    if not listed:
        raise DiscoveryError("the directory lists no replicas")
    return tuple(_read_address(entry) for entry in listed)


def _read_address(entry: object) -> str:
    try:
        return parse_address(entry if isinstance(entry, str) else repr(entry))
    except ValueError as error:
        raise DiscoveryError("the directory lists what is no host:port", str(error)) from error

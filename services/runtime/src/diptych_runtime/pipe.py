"""Messages between the front and the engine process: a JSON header and bytes, over a socket.

Bodies are serialised messages of the contract. Nothing is pickled, so neither side can make the
other run code.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from typing import Any, TypeAlias

Header: TypeAlias = dict[str, Any]

_LENGTHS = struct.Struct("!II")
_READ_AHEAD_BYTES = 1024 * 1024


class PipeClosedError(Exception):
    """The other side is gone."""


def _pack(header: Header, body: bytes) -> bytes:
    """All of a message but its body."""
    text = json.dumps(header, separators=(",", ":")).encode()
    return _LENGTHS.pack(len(text), len(body)) + text


class EnginePipe:
    """The engine's end: blocking, written to by several threads."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._lock = threading.Lock()

    def send(self, header: Header, body: bytes = b"") -> None:
        """Send one message.

        Raises:
            PipeClosedError: the front is gone.
        """
        with self._lock:
            try:
                self._socket.sendall(_pack(header, body))
                self._socket.sendall(body)
            except OSError as error:
                raise PipeClosedError from error

    def receive(self) -> tuple[Header, bytes]:
        """Wait for the next message.

        Raises:
            PipeClosedError: the front is gone.
        """
        header_size, body_size = _LENGTHS.unpack(self._exactly(_LENGTHS.size))
        return json.loads(self._exactly(header_size)), self._exactly(body_size)

    def _exactly(self, size: int) -> bytes:
        try:
            # Usually all of it at once; a message of many megabytes is not copied again.
            data = self._socket.recv(size, socket.MSG_WAITALL) if size else b""
            while len(data) < size:
                more = self._socket.recv(size - len(data), socket.MSG_WAITALL)
                if not more:
                    raise PipeClosedError
                data += more
        except OSError as error:
            raise PipeClosedError from error
        return data


class FrontPipe:
    """The front's end, on its event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, sock: socket.socket) -> FrontPipe:
        """The pipe over one end of a socket pair."""
        sock.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=sock, limit=_READ_AHEAD_BYTES)
        return cls(reader, writer)

    def send(self, header: Header, body: bytes = b"") -> None:
        """Send one message, without waiting until the other side has read it.

        Messages to a process that is gone are lost; ``receive`` tells.
        """
        self._writer.write(_pack(header, body))
        if body:
            self._writer.write(body)

    async def receive(self) -> tuple[Header, bytes]:
        """Wait for the next message.

        Raises:
            PipeClosedError: the engine process is gone.
        """
        try:
            lengths = await self._reader.readexactly(_LENGTHS.size)
            header_size, body_size = _LENGTHS.unpack(lengths)
            header = json.loads(await self._reader.readexactly(header_size))
            return header, await self._reader.readexactly(body_size)
        except (asyncio.IncompleteReadError, OSError) as error:
            raise PipeClosedError from error

    def close(self) -> None:
        """Close our end; the engine process ends when it notices."""
        self._writer.close()

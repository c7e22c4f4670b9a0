"""Messages between the front and the engine process: a JSON header and bytes, over a socket.

Bodies are serialised messages of the contract. Nothing is pickled, so neither side can make the
other run code.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import socket
import struct
import threading
from typing import Any, TypeAlias

Header: TypeAlias = dict[str, Any]
Body: TypeAlias = bytes | memoryview

_LENGTHS = struct.Struct("!II")
_JOINED_BYTES = 16 * 1024  # a copy of less takes no longer than sending it by itself


class PipeClosedError(Exception):
    """The other side is gone."""


def _pack(header: Header, body: Body) -> bytes:
    """All of a message but its body."""
    text = json.dumps(header, separators=(",", ":")).encode()
    return _LENGTHS.pack(len(text), len(body)) + text


class EnginePipe:
    """The engine's end: blocking, written to by several threads."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._lock = threading.Lock()

    def send(self, header: Header, body: Body = b"") -> None:
        """Send one message.

        Raises:
            PipeClosedError: the front is gone.
        """
        with self._lock:
            try:
                head = _pack(header, body)
                if len(body) < _JOINED_BYTES:
                    head, body = b"".join((head, body)), b""
                self._socket.sendall(head)
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
    """The front's end, for an event loop. Make it inside the loop.

    Two threads do the blocking work: through the loop a picture would take several times as long,
    in pieces of what the socket holds, each copied once more.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._pipe = EnginePipe(sock)
        self._loop = asyncio.get_running_loop()
        self._to_send: queue.SimpleQueue[tuple[Header, Body] | None] = queue.SimpleQueue()
        self._came: asyncio.Queue[tuple[Header, bytes] | Exception] = asyncio.Queue()
        self._writer = threading.Thread(target=self._write, name="to engine", daemon=True)
        self._writer.start()
        threading.Thread(target=self._read, name="from engine", daemon=True).start()

    def send(self, header: Header, body: Body = b"") -> None:
        """Send one message, without waiting until the other side has read it.

        Messages to a process that is gone are lost; ``receive`` tells.
        """
        self._to_send.put((header, body))

    async def receive(self) -> tuple[Header, bytes]:
        """Wait for the next message.

        Raises:
            PipeClosedError: the engine process is gone.
        """
        came = await self._came.get()
        if isinstance(came, Exception):
            self._came.put_nowait(came)  # there is nothing after it
            raise came
        return came

    def close(self) -> None:
        """Close our end; the engine process ends when it notices."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _write(self) -> None:
        with contextlib.suppress(PipeClosedError):
            while message := self._to_send.get():
                self._pipe.send(*message)
                del message  # a picture is not kept until the next one

    def _read(self) -> None:
        came: tuple[Header, bytes] | Exception
        ended = False
        while not ended:
            try:
                came = self._pipe.receive()
            except Exception as error:
                came, ended = error, True
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
                self._loop.call_soon_threadsafe(self._came.put_nowait, came)
            del came
        self.close()
        self._to_send.put(None)
        self._writer.join()
        # Not earlier: its number could be another file's by the time a thread uses it.
        self._socket.close()

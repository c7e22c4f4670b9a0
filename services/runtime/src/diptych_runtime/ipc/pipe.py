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
from collections.abc import Callable
from typing import Any, TypeAlias

Header: TypeAlias = dict[str, Any]
Body: TypeAlias = bytes | memoryview
Incoming: TypeAlias = tuple[Header, bytes] | Exception
"""A message, or why there are no more."""

_LENGTHS = struct.Struct("!II")
_JSON = json.JSONEncoder(separators=(",", ":"))
_READ_BYTES = 64 * 1024  # at a time, by the loop
_JOINED_BYTES = 16 * 1024  # a copy of less takes no longer than sending it by itself


class PipeClosedError(Exception):
    """The other side is gone."""


def _pack(header: Header, body: Body) -> bytes:
    """Make all of a message but its body."""
    text = _JSON.encode(header).encode()
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
        header_size, body_size = _LENGTHS.unpack(_exactly(self._socket, _LENGTHS.size))
        header = json.loads(_exactly(self._socket, header_size))
        return header, _exactly(self._socket, body_size)


class FrontPipe:
    """The front's end, for an event loop. Make it inside the loop, and use it there.

    Small messages are read and written by the loop: waking a thread for one takes longer. For large
    ones threads do the blocking work: through the loop those would take several times as long, in
    pieces of what the socket holds, each copied once more.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._incoming: asyncio.Queue[Incoming] = asyncio.Queue()
        self._deliver: Callable[[Incoming], None] = self._incoming.put_nowait
        self._unread = bytearray()
        self._reader: threading.Thread | None = None
        self._closed = False
        self._to_send: queue.SimpleQueue[tuple[Body, ...] | None] = queue.SimpleQueue()
        self._order = threading.Lock()  # who holds it may use the socket
        self._queued = 0
        self._writer = threading.Thread(target=self._write, name="to engine", daemon=True)
        self._writer.start()
        self._loop.add_reader(sock, self._read)

    def send(self, header: Header, body: Body = b"") -> None:
        """Send one message, without waiting until the other side has read it.

        Messages to a process that is gone are lost; ``receive`` raises then.
        """
        if self._closed:
            return
        parts: tuple[Body, ...] = (_pack(header, body), body)
        with self._order:
            if not self._queued and len(body) < _JOINED_BYTES:
                joined = b"".join(parts)
                parts = (joined[self._send_now(joined) :],)
                if not parts[0]:
                    return
            self._queued += 1
        self._to_send.put(parts)

    def _send_now(self, data: bytes) -> int:
        """Send what the socket takes without waiting; returns how much, all if nobody reads."""
        try:
            return self._socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)

    async def receive(self) -> tuple[Header, bytes]:
        """Wait for the next message.

        Raises:
            PipeClosedError: the engine process is gone.
        """
        incoming = await self._incoming.get()
        if isinstance(incoming, Exception):
            self._incoming.put_nowait(incoming)  # there is nothing after it
            raise incoming
        return incoming

    def listen(self, on_message: Callable[[Incoming], None]) -> None:
        """Call ``on_message`` with each message as soon as it is there, instead of ``receive``:
        that would take two more iterations of the loop. What it raises ends the pipe."""
        self._deliver = on_message
        while not self._incoming.empty():
            on_message(self._incoming.get_nowait())

    def close(self) -> None:
        """Close our end; the engine process ends when it notices."""
        self._end(PipeClosedError())

    def _end(self, error: Exception) -> None:
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._socket)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._deliver(error)
        self._to_send.put(None)

    def _read(self) -> None:
        """Take in what the socket holds; called by the loop when there is something."""
        try:
            data = self._socket.recv(_READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._unread += data
        while (size := self._next_size()) and size <= len(self._unread):
            self._take(self._unread[:size])
            del self._unread[:size]
        missing = size - len(self._unread)
        if missing > _READ_BYTES and not self._closed:
            self._loop.remove_reader(self._socket)
            self._reader = threading.Thread(
                target=self._read_large, args=(missing,), name="from engine", daemon=True
            )
            self._reader.start()

    def _take(self, message: bytearray, rest: bytes = b"") -> None:
        try:
            self._deliver(_unpack(message, rest))
        except Exception as error:
            self._end(error)

    def _next_size(self) -> int:
        """Return the size of the message that begins what is unread; 0 while it is not known."""
        if len(self._unread) < _LENGTHS.size:
            return 0
        header_size, body_size = _LENGTHS.unpack_from(self._unread)
        size: int = _LENGTHS.size + header_size + body_size
        return size

    def _read_large(self, missing: int) -> None:
        try:
            rest = _exactly(self._socket, missing)
        except PipeClosedError:
            rest = b""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
            self._loop.call_soon_threadsafe(self._take_large, rest)

    def _take_large(self, rest: bytes) -> None:
        if self._closed:
            return
        if not rest:
            self.close()
            return
        self._take(self._unread, rest)
        self._unread = bytearray()
        if not self._closed:
            self._loop.add_reader(self._socket, self._read)

    def _write(self) -> None:
        while parts := self._to_send.get():
            with contextlib.suppress(OSError):  # nobody is there any more
                for part in parts:
                    self._socket.sendall(part)
            del parts  # a frame is not kept until the next one
            with self._order:
                self._queued -= 1
        # Not earlier: its number could be another file's by the time a thread uses it.
        if self._reader is not None:
            self._reader.join()
        with self._order:
            self._socket.close()


def _unpack(message: bytearray, rest: bytes = b"") -> tuple[Header, bytes]:
    """Split a whole message, of which ``rest`` is the end, into header and body."""
    header_size, _ = _LENGTHS.unpack_from(message)
    start = _LENGTHS.size + header_size
    if start > len(message):
        message, rest = message + rest, b""
    with memoryview(message) as view:
        return json.loads(view[_LENGTHS.size : start].tobytes()), b"".join((view[start:], rest))


def _exactly(sock: socket.socket, size: int) -> bytes:
    try:
        # Usually all of it at once; a message of many megabytes is not copied again.
        data = sock.recv(size, socket.MSG_WAITALL) if size else b""
        while len(data) < size:
            more = sock.recv(size - len(data), socket.MSG_WAITALL)
            if not more:
                raise PipeClosedError
            data += more
    except OSError as error:
        raise PipeClosedError from error
    return data

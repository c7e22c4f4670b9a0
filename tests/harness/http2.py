"""gRPC calls written by hand, for what grpcio's client does not do: send much without holding it
itself, read nothing, send half of something, reset.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GO_AWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_TABLE_SIZE, _INITIAL_WINDOW, _MAX_FRAME = 1, 4, 5
_CANCEL = 8
_FRAME_BYTES = 16384

NEVER = "no status"


@dataclass
class _Stream:
    window: int
    status: asyncio.Future[str] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Http2:
    """One connection to a gRPC server on loopback, which reads what comes unless told not to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._window = self._initial = 65535
        self._streams: dict[int, _Stream] = {}
        self._next = 1
        self.sent = 0
        """Bytes of messages that were sent."""
        self._more = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, port: int, *, window: int = 1 << 24) -> Http2:
        """Connect, with so many bytes of room for each answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        settings = struct.pack(">HIHI", _TABLE_SIZE, 0, _INITIAL_WINDOW, window)
        writer.write(_PREFACE + _frame(_SETTINGS, settings))
        return cls(reader, writer)

    @property
    def closed(self) -> bool:
        """Whether the server has ended the connection."""
        return self._reading.done()

    def begin(self, path: str) -> int:
        """Send the head of a call; returns the number of its stream."""
        number, self._next = self._next, self._next + 2
        self._streams[number] = _Stream(self._initial)
        fields = {
            ":method": "POST",
            ":scheme": "http",
            ":path": path,
            ":authority": "localhost",
            "content-type": "application/grpc",
            "te": "trailers",
        }
        head = b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())
        self._writer.write(_frame(_HEADERS, head, _END_HEADERS, number))
        return number

    def reset(self, number: int) -> None:
        """Cancel a call."""
        self._writer.write(_frame(_RESET, struct.pack(">I", _CANCEL), 0, number))
        del self._streams[number]

    async def drain(self) -> None:
        """Wait until what was sent has left."""
        with contextlib.suppress(OSError):
            await self._writer.drain()

    async def call(self, path: str, *message: bytes) -> str:
        """Send a message, given in parts; returns the number of its gRPC status, or ``NEVER``."""
        number = self.begin(path)
        stream = self._streams[number]
        parts = [struct.pack(">BI", 0, sum(map(len, message))), *message]
        sending = asyncio.create_task(self._send(number, parts))
        try:
            return await stream.status
        finally:
            sending.cancel()
            self._streams.pop(number, None)

    async def _send(self, number: int, parts: Sequence[bytes]) -> None:
        stream = self._streams[number]
        for part in parts:
            view = memoryview(part)
            while view:
                size = min(len(view), _FRAME_BYTES, self._window, stream.window)
                if size <= 0:
                    self._more.clear()
                    await self._more.wait()
                    continue
                self._window -= size
                stream.window -= size
                self.sent += size
                self._writer.write(_frame(_DATA, bytes(view[:size]), 0, number))
                await self._writer.drain()
                view = view[size:]
        self._writer.write(_frame(_DATA, b"", _END_STREAM, number))

    async def _read(self) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await self._reader.readexactly(9)
                payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
                self._take(head[3], head[4], int.from_bytes(head[5:], "big"), payload)
        for stream in self._streams.values():
            if not stream.status.done():
                stream.status.set_result(NEVER)

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        stream = self._streams.get(number)
        if kind == _SETTINGS and not flags & _ACK:
            for name, value in struct.iter_unpack(">HI", payload):
                if name == _INITIAL_WINDOW:
                    for each in self._streams.values():
                        each.window += value - self._initial
                    self._initial = value
            self._writer.write(_frame(_SETTINGS, b"", _ACK))
        elif kind == _PING and not flags & _ACK:
            self._writer.write(_frame(_PING, payload, _ACK))
        elif kind == _WINDOW:
            (more,) = struct.unpack(">I", payload)
            if number == 0:
                self._window += more
            elif stream:
                stream.window += more
        elif kind == _DATA and payload:
            self._writer.write(_frame(_WINDOW, struct.pack(">I", len(payload))))
        elif stream and not stream.status.done():
            if kind == _HEADERS and b"grpc-status" in payload:
                text = payload.partition(b"grpc-status")[2]
                stream.status.set_result(text[1 : 1 + (text[0] & 127)].decode())
            elif kind == _RESET:
                stream.status.set_result(NEVER)
        self._more.set()

    async def close(self) -> None:
        self._reading.cancel()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


def _frame(kind: int, payload: bytes, flags: int = 0, number: int = 0) -> bytes:
    return (
        struct.pack(">I", len(payload))[1:]
        + bytes((kind, flags))
        + struct.pack(">I", number)
        + payload
    )


def _text(value: str) -> bytes:
    return bytes((len(value),)) + value.encode()

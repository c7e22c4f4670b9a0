"""A proxy that knows HTTP/2 frames: it resets one stream of a connection, as proxies do."""

from __future__ import annotations

import asyncio
import struct
from contextlib import suppress

from harness.proxy import Proxy

_DATA, _RESET = 0, 3
_HEAD = 9
_PREFACE = 24


class StreamProxy(Proxy):
    """``code`` is what a stream is reset with in place of the answer that ``reset_at`` numbers,
    from 1; with ``every`` again after so many more."""

    def __init__(self, target: int) -> None:
        super().__init__(target)
        self.code = b""
        self.reset_at = 0
        self.every = 0
        self.answers = 0
        self.resets = 0

    def begin(self, reset_at: int, *, code: int = 2, every: int = 0) -> None:
        """Count from 0 again."""
        self.code = struct.pack(">I", code)
        self.reset_at, self.every = reset_at, every
        self.answers = self.resets = 0

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        await asyncio.gather(
            self._pass(reader, far_writer),
            self._answer(far_reader, writer, far_writer),
            return_exceptions=True,
        )

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            writer.write(await reader.readexactly(_PREFACE))
            while True:
                writer.write(b"".join(await _frame(reader)))
                await writer.drain()
        self._close(writer)

    async def _answer(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_writer: asyncio.StreamWriter,
    ) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            await self._frames(reader, writer, far_writer)
        self._close(writer)

    async def _frames(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_writer: asyncio.StreamWriter,
    ) -> None:
        while True:
            head, body = await _frame(reader)
            if head[3] == _DATA and body:
                self.answers += 1
                if self.answers == self.reset_at:
                    self.reset_at += self.every
                    self.resets += 1
                    head, body = b"\0\0\4" + bytes([_RESET, 0]) + head[5:], self.code
                    far_writer.write(head + body)
            writer.write(head + body)
            await writer.drain()


async def _frame(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(_HEAD)
    return head, await reader.readexactly(int.from_bytes(head[:3]))

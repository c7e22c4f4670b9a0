"""A TCP proxy between two parts of the product that does to connections what networks do."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Self

PASS, HOLE, SLOW, MANGLE = "pass", "hole", "slow", "mangle"
_SLOW_BYTES_S = 20_000
_NO_LINGER = struct.pack("ii", 1, 0)


class Proxy:
    """Forwards to ``127.0.0.1:target``; ``mode`` holds for connections that are open as well.

    ``hole`` takes everything and passes nothing on, ``slow`` passes 20 kB a second, ``mangle``
    destroys the frame that a block begins with.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.mode = PASS
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._swallowed: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.reset()

    def reset(self) -> None:
        """Tear all connections down with RST."""
        for writer in list(self._writers):
            sock: socket.socket = writer.get_extra_info("socket")
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            writer.transport.abort()

    def swallow(self) -> None:
        """Pass nothing more on, on the connections that are open now; later ones are as ``mode``
        says."""
        self._swallowed |= self._writers

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError, OSError):  # the loop ends, or the peer has gone
            await self._relay(reader, writer)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode == HOLE:
            self._writers.add(writer)
            while await reader.read(65536):
                pass
            self._close(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        await asyncio.gather(
            self._pump(reader, far_writer), self._pump(far_reader, writer), return_exceptions=True
        )
        self._close(writer)
        self._close(far_writer)

    def _close(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        self._swallowed.discard(writer)
        writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.mode == HOLE or writer in self._swallowed:
                continue
            if self.mode == SLOW:
                await asyncio.sleep(len(data) / _SLOW_BYTES_S)
            if self.mode == MANGLE:
                data = b"\xff" * 9 + data[9:]
            writer.write(data)
            await writer.drain()
        writer.write_eof()

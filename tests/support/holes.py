"""A TCP relay in front of a server that can become a black hole."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Relay:
    """Forwards every connection to ``port`` of this machine until told otherwise.

    A connection that is swallowed stays open, is read no more and answers nothing, as when the
    machine at its other end is gone.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._swallowed: set[asyncio.StreamWriter] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.swallows_new = False
        self.port = 0

    async def start(self) -> None:
        """Listen on a port of its own."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def swallow(self, *, new: bool = True) -> None:
        """Forward nothing any more on connections that stand, and with ``new`` on later ones."""
        self._swallowed |= self._writers
        self.swallows_new = new

    def forward(self) -> None:
        """Forward what connects from now on."""
        self.swallows_new = False

    async def close(self) -> None:
        """End everything."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        if self.swallows_new:
            self._swallowed.add(writer)
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers.add(back)
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._pump(source, sink))
            self._tasks.add(task)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                if sink in self._swallowed:
                    await asyncio.Event().wait()
                sink.write(data)
                await sink.drain()
        with suppress(OSError):
            sink.close()

"""An HTTP server on the loopback interface that answers what a test wants, byte by byte."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


def answer(
    body: bytes, status: str = "200 OK", content_type: str = "application/json", more: str = ""
) -> bytes:
    """An answer of HTTP."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n{more}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def listing(**models: Any) -> bytes:
    """The answer of a directory that lists these."""
    listed = {name.replace("_", "-"): addresses for name, addresses in models.items()}
    return answer(json.dumps({"replicas": listed}).encode())


class DirectoryServer:
    """Sends ``answer`` to whoever asks, and nothing more while it is ``None``."""

    def __init__(self) -> None:
        self.answer: bytes | None = listing()
        self.requests: list[str] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/replicas"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.read(8192)
            self.requests.append(request.decode("latin-1"))
            if self.answer is None:
                await reader.read()
            else:
                writer.write(self.answer)
                await writer.drain()
        except OSError:
            return
        finally:
            writer.close()


@asynccontextmanager
async def running_directory() -> AsyncIterator[DirectoryServer]:
    """A directory that runs."""
    directory = DirectoryServer()
    server = await asyncio.start_server(directory.serve, "127.0.0.1", 0)
    directory.port = server.sockets[0].getsockname()[1]
    try:
        yield directory
    finally:
        server.close()

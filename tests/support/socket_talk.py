"""A video session over a WebSocket, as a client other than the page has it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from diptych.limits import MAX_REQUEST_BYTES


class SocketTalk:
    """Sends messages and reads answers."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def say(self, event: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"event": event, **fields}))

    async def start(self, model: str = "one", **fields: Any) -> dict[str, Any]:
        """Open the session; returns the answer."""
        await self.say("start", model=model, **fields)
        return await self.read()

    async def frame(self, index: int, data: bytes) -> None:
        await self.socket.send(index.to_bytes(8) + data)

    async def read(self) -> dict[str, Any]:
        async with asyncio.timeout(60):
            answer: dict[str, Any] = json.loads(await self.socket.recv())
        return answer

    async def end(self) -> tuple[list[dict[str, Any]], int | None]:
        """Every answer until the connection is closed, and with which code it was."""
        answers = []
        try:
            while True:
                answers.append(await self.read())
        except ConnectionClosed:
            return answers, self.socket.close_code

    async def failure(self) -> tuple[str, int, int | None]:
        """Reason and status of the problem that the session ends with, and the code."""
        answers, code = await self.end()
        problem = answers[-1]["problem"]
        assert answers[-1]["event"] == "failed"
        assert code == 1001 or code == 4000 + problem["status"]
        return problem["reason"], problem["status"], code


@asynccontextmanager
async def socket_talk(port: int, **options: Any) -> AsyncIterator[SocketTalk]:
    """A connection to a gateway's HTTP port."""
    url = f"ws://127.0.0.1:{port}/api/video"
    limit = 2 * MAX_REQUEST_BYTES
    async with connect(url, proxy=None, max_size=limit, close_timeout=5, **options) as socket:
        yield SocketTalk(socket)

"""The front's handle on one video session in the engine process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from google.rpc import status_pb2

from ..engine.errors import ServiceError
from ..ipc.pipe import Header


@dataclass(frozen=True)
class SessionReply:
    """A serialised ``SegmentVideoResponse``; ``last`` if it ends the answer to a message."""

    body: bytes
    last: bool


class SessionChannel:
    """Messages go in, replies come out, in order. ``on_left`` is called once it is freed there.

    Nothing here is bounded: who uses it sends only so many messages ahead of their answers.
    """

    def __init__(
        self, number: int, send: Callable[[Header, bytes], None], on_left: Callable[[], None]
    ) -> None:
        self._number = number
        self._send = send
        self._on_left = on_left
        self._replies: asyncio.Queue[SessionReply | ServiceError | None] = asyncio.Queue()
        self._ended = False
        self.owed = 0
        """Messages that the engine process has not answered yet."""
        self.nbytes = 0
        """Memory that the session kept after its last answer."""

    def send(self, op: str, body: bytes = b"", **fields: object) -> None:
        """Send one message: ``open``, ``event`` or ``close``."""
        if not self._ended:
            self.owed += 1
            self._send({"op": f"session_{op}", "id": self._number, **fields}, body)

    def drop(self) -> None:
        """End it now: the step that runs is the last one."""
        if not self._ended:
            self.owed += 1  # its end is awaited, so that an engine that hangs is noticed
            self._send({"op": "session_drop", "id": self._number}, b"")

    async def next(self) -> SessionReply | None:
        """The next reply; ``None`` when the session was closed.

        Raises:
            ServiceError: it could not be opened, or was lost.
        """
        reply = await self._replies.get()
        if isinstance(reply, ServiceError):
            raise reply
        return reply

    def say(self, body: bytes) -> None:
        """Put a reply of the front's own behind those that wait."""
        self._replies.put_nowait(SessionReply(body, last=False))

    def take(self, header: Header, body: bytes) -> bool:
        """Take in what the engine process says; returns whether the session has ended."""
        if header["op"] == "session_end":
            self.end(ServiceError.from_status(status_pb2.Status.FromString(body)) if body else None)
            return True
        self.owed -= header["last"]
        self.nbytes = header["nbytes"]
        self._replies.put_nowait(SessionReply(body, header["last"]))
        return False

    def end(self, error: ServiceError | None) -> None:
        """There is no session there any more."""
        self._ended, self.owed = True, 0
        self._replies.put_nowait(error)
        self._on_left()

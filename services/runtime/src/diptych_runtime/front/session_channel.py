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
    """Sends messages into a session and gives its replies, in order.

    ``on_released`` is called once the engine process has freed the session. Nothing here is
    bounded: who uses it sends only so many messages ahead of their answers.
    """

    def __init__(
        self, number: int, send: Callable[[Header, bytes], None], on_released: Callable[[], None]
    ) -> None:
        self._number = number
        self._send = send
        self._on_released = on_released
        self._replies: asyncio.Queue[SessionReply | ServiceError | None] = asyncio.Queue()
        self._ended = False
        self.unanswered = 0
        """Messages that the engine process has not answered yet."""
        self.nbytes = 0
        """Memory that the session kept after its last answer."""
        self.model_s = 0.0
        """Time that the model worked for its answers."""

    def send(self, op: str, body: bytes = b"", **fields: object) -> None:
        """Send one message: ``open``, ``event``, ``refusal`` or ``close``."""
        if not self._ended:
            self.unanswered += 1
            self._send({"op": f"session_{op}", "id": self._number, **fields}, body)

    def drop(self) -> None:
        """End the session now: the step that runs is the last one."""
        if not self._ended:
            self.unanswered += 1  # its end is awaited, so that an engine that hangs is noticed
            self._send({"op": "session_drop", "id": self._number}, b"")

    async def next(self) -> SessionReply | None:
        """Wait for the next reply; ``None`` when the session was closed.

        Raises:
            ServiceError: it could not be opened, or was lost.
        """
        reply = await self._replies.get()
        if isinstance(reply, ServiceError):
            raise reply
        return reply

    def push(self, body: bytes) -> None:
        """Put a reply of the front's own behind those that wait."""
        self._replies.put_nowait(SessionReply(body, last=False))

    def receive(self, header: Header, body: bytes) -> bool:
        """Take in a message of the engine process; returns whether the session has ended."""
        if header["op"] == "session_end":
            self.end(ServiceError.from_status(status_pb2.Status.FromString(body)) if body else None)
            return True
        self.unanswered -= header["last"]
        self.nbytes = header["nbytes"]
        self.model_s += header["model_s"]
        self._replies.put_nowait(SessionReply(body, header["last"]))
        return False

    def end(self, error: ServiceError | None) -> None:
        """Note that the process does not have the session any more; ``error`` says why."""
        self._ended, self.unanswered = True, 0
        self._replies.put_nowait(error)
        self._on_released()

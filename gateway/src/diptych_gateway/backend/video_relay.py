"""One video session passed on to its model, message by message, as the bytes that came.

Neither side is read ahead of the other: the client's next message is taken when the one before was
written to the model, the model's next answer when the one before was written to the client. What
gRPC's flow control holds back on one side is so held back on the other, and the gateway keeps no
more than one message in each direction.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import grpc

from diptych.segment import v1 as pb
from diptych.wire.streams import StreamEnd
from diptych.wire.video import going_away_reply
from diptych_runtime.calls import account_name, log_fields
from diptych_runtime.engine import Reason, ServiceError
from diptych_runtime.engine.errors import draining

from ..request import charge_reply, parse_request
from ..statuses import BackendError, from_rpc_error, no_replica, unreachable
from .replica import Replica

_ENDED = (grpc.aio.AioRpcError, grpc.aio.InternalError, asyncio.InvalidStateError)
"""What a write raises when the model has ended the session."""
_ELSEWHERE = (
    Reason.SESSION_LIMIT,
    Reason.QUEUE_FULL,
    Reason.MODEL_LOADING,
    Reason.DRAINING,
    Reason.ENGINE_LOST,
)
"""Why a replica does not take a session that another may take."""
_MOST_TRIES = 8


async def read_start(requests: AsyncIterator[bytes], *, within_s: float) -> tuple[bytes, str]:
    """Read the first message of a session; returns it as it came, and the model that it names.

    Raises:
        ServiceError: there is none within ``within_s`` seconds, or it is no ``start``.
    """
    try:
        async with asyncio.timeout(within_s):
            raw = await anext(requests, b"")
    except TimeoutError as error:
        raise ServiceError(
            Reason.SESSION_EXPIRED, f"expected start within {within_s:g} s, got nothing"
        ) from error
    message = await parse_request(pb.SegmentVideoRequest, raw)
    event = message.WhichOneof("event")
    if event != "start":
        raise ServiceError(
            Reason.SESSION_ORDER, f"the first message must be start, got {event or 'none'}"
        )
    return raw, message.start.model_id


class VideoRelay:
    """Passes one session on. Make it for one call and iterate ``answers`` once.

    ``choose`` gives the replica for it, none of those that it is told were tried: one that has no
    room, or is gone, says so in its first answer, and until then the client's first message is all
    that it has been sent.
    """

    def __init__(
        self,
        model_id: str,
        choose: Callable[[Collection[Replica]], Replica | None],
        *,
        start: bytes,
        requests: AsyncIterator[bytes],
        timeout_s: float | None,
    ) -> None:
        self._model_id = model_id
        self._choose = choose
        self._replica: Replica
        self._start = start
        self._requests = requests
        self._until_s = None if timeout_s is None else time.monotonic() + timeout_s
        self._call: Any = None
        self._end: StreamEnd
        self._replies: AsyncIterator[bytes]
        self._writing: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[bytes | None] | None = None
        self._leaving: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._is_told = self._is_cancelled = False
        self._request_count = self._reply_count = 0

    async def answers(self) -> AsyncGenerator[bytes, None]:
        """Yield what the model answers, until it ends the session.

        Raises:
            BackendError: the model's own status.
            ServiceError: it cannot be reached, is late, was lost, or has too many calls already.
        """
        with ExitStack() as held:
            try:
                reply = await self._first(held)
                while reply is not None:
                    if account_name():
                        await charge_reply(pb.SegmentVideoResponse, reply)
                    yield reply
                    reply = await self._next()
                self._check_writing()
            finally:
                self.cancel()
                log_fields(messages=self._request_count, replies=self._reply_count)

    async def _first(self, held: ExitStack) -> bytes | None:
        """Begin with a replica that takes the session; returns its first answer."""
        tried: list[Replica] = []
        replica = self._choose(tried)
        while replica is not None:
            tried.append(replica)
            another = self._choose(tried) if len(tried) < _MOST_TRIES else None
            try:
                with ExitStack() as session:
                    reply = await self._begin(replica, session, alone=another is None)
                    held.push(session.pop_all())
                    return reply
            except (BackendError, ServiceError) as error:
                if another is None or self._is_cancelled or error.reason not in _ELSEWHERE:
                    raise
            replica = another
        raise no_replica(self._model_id)

    async def _begin(self, replica: Replica, session: ExitStack, *, alone: bool) -> bytes | None:
        """Open the session with a replica; ``alone``: what it is sent need not be sent again."""
        connection = session.enter_context(replica.session())
        left_s = None if self._until_s is None else self._until_s - time.monotonic()
        self._replica, self._call = replica, connection.open_video(timeout_s=left_s)
        self._end = StreamEnd(self._call)
        self._replies = aiter(self._call)
        self._request_count = 0
        if alone:
            self._writing = asyncio.create_task(self._write_all())
            return await self._next()
        with suppress(*_ENDED):
            await self._write(self._start)
        reply = await self._next()
        self._writing = asyncio.create_task(self._write_all())
        return reply

    def go_away(self, grace_s: float) -> None:
        """Have the client told that the gateway ends the session in so many seconds."""
        if not self._leaving.done():
            self._leaving.set_result(grace_s)

    def cancel(self) -> None:
        """End the model's part, if it has not ended; may be called at any time."""
        self._is_cancelled = True
        for task in (self._writing, self._reading):
            if task is not None:
                task.cancel()
        if self._call is not None:
            self._call.cancel()

    async def _next(self) -> bytes | None:
        """Wait for the next answer of the model, or for the word that the gateway goes away."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(_seen)
        reading = self._reading
        # Not before the first answer, which says that the session is open.
        tells = self._reply_count > 0 and not self._is_told
        awaited: set[asyncio.Future[Any]] = {reading, self._leaving} if tells else {reading}
        await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        if tells and self._leaving.done():
            self._is_told = True
            return going_away_reply(self._leaving.result()).SerializeToString()
        self._reading = None
        reply = reading.result()
        self._reply_count += reply is not None
        return reply

    async def _read(self) -> bytes | None:
        """Read the next answer; ``None`` after the last one of a session that ended well."""
        try:
            # Not ``read``: after a write that failed, that drops what has come already.
            reply = await anext(self._replies, None)
        except grpc.aio.AioRpcError:
            error = await self._end.error()
            if error is not None:
                raise self._failure(error) from error
            reply = None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody cancelled this call: reading the client failed, or the channel was closed.
            self._check_writing()
            raise self._lost() from None
        return reply

    async def _write_all(self) -> None:
        """Write every message of the client, then half-close as it did."""
        try:
            if not self._request_count:
                await self._write(self._start)
            async for raw in self._requests:
                await self._write(raw)
            await self._call.done_writing()
        except _ENDED:
            # The model has ended the session; its status is read with the answers.
            return
        except Exception:
            self._call.cancel()
            raise

    def _check_writing(self) -> None:
        """Raise what reading the client has failed with."""
        if self._writing is not None and self._writing.done() and not self._writing.cancelled():
            self._writing.result()

    async def _write(self, raw: bytes) -> None:
        with self._replica.holding(raw):
            await self._call.write(raw)
        self._request_count += 1

    def _failure(self, error: grpc.aio.AioRpcError) -> Exception:
        failure = from_rpc_error(error, self._model_id)
        if isinstance(failure, ServiceError) and failure.reason is Reason.MODEL_LOADING:
            return self._lost()
        return failure

    def _lost(self) -> ServiceError:
        """Make the error for a model that is not there (any more)."""
        if not self._reply_count:
            return unreachable(self._model_id)
        return ServiceError(
            Reason.SESSION_LOST,
            f"model {self._model_id!r} went away and the session with it: open a new one",
            metadata={"modelId": self._model_id},
        )


class OpenSessions:
    """The sessions that pass through the gateway, to be told when it stops."""

    def __init__(self) -> None:
        self._relays: set[VideoRelay] = set()
        self._stopping = False

    @contextmanager
    def opened(self, relay: VideoRelay) -> Iterator[VideoRelay]:
        """Count a session while it is held.

        Raises:
            ServiceError: the gateway stops, and opens no more.
        """
        if self._stopping:
            raise draining()
        self._relays.add(relay)
        try:
            yield relay
        finally:
            self._relays.discard(relay)

    def go_away(self, grace_s: float) -> None:
        """Open no more, and have every client told that its session ends in so many seconds."""
        self._stopping = True
        for relay in self._relays:
            relay.go_away(grace_s)


def _seen(task: asyncio.Task[bytes | None]) -> None:
    """Look at a task's error, which asyncio would else report when nobody reads any more."""
    if not task.cancelled():
        task.exception()

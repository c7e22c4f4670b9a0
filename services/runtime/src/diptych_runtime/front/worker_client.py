"""The front's handle on one engine process."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable

from google.rpc import status_pb2

from diptych.segment import v1 as pb

from ..engine.errors import ServiceError
from ..engine.protocol import LoadError
from ..ipc.lanes import Lane
from ..ipc.pipe import Came, FrontPipe, Header, PipeClosedError
from ..ipc.shared_memory import PicturePlaces
from ..logs import logger
from ..settings import RuntimeSettings
from .pending import EngineReply, Inside, engine_lost
from .video_session import SessionChannel
from .worker_spawn import spawn

_WATCHES_PER_TIMEOUT = 8
_EXIT_S = 2.0


class EngineClient:
    """One started engine process. ``start`` makes one; it is of no use after ``ended`` is done."""

    def __init__(
        self, process: asyncio.subprocess.Process, pipe: FrontPipe, places: PicturePlaces
    ) -> None:
        self._process = process
        self._pipe = pipe
        self._places = places
        self._ids = itertools.count(1)
        self._inside: dict[int, Inside] = {}
        self._sessions: dict[int, SessionChannel] = {}
        self._heard = True
        self._wanted = True
        self._tasks: list[asyncio.Task[None]] = []
        self.card: pb.ModelCard  # set by start
        self.held: set[str] = set()
        self.held_bytes = 0
        self.device = ""
        self.max_batch = 1
        self.device_peak_bytes = 0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def start(cls, engine: str, settings: RuntimeSettings) -> EngineClient:
        """Start a process with the settings of this one, and wait until its model is loaded.

        Raises:
            LoadError: the model cannot be loaded as it is set up.
            ServiceError: the process ended or took too long.
        """
        client = cls(*await spawn(engine))
        client._pipe.send({"op": "start", "settings": settings.model_dump(mode="json")})
        try:
            async with asyncio.timeout(settings.load_timeout_s):
                header, body = await client._pipe.receive()
            if header["op"] == "failed":
                raise LoadError(header["message"])
        except PipeClosedError as error:
            code = await client._exit_code()
            client._close()
            logger().error("engine did not start", pid=client.pid, exit_code=code)
            raise engine_lost() from error
        except TimeoutError as error:
            await client.kill()
            logger().error("engine did not start", pid=client.pid, late=True)
            raise engine_lost() from error
        except BaseException:
            await client.kill()
            raise
        client.card = pb.ModelCard.FromString(body)
        client.device = header["device"]
        client.max_batch = header["max_batch"]
        client._tasks = [asyncio.create_task(client._watch(settings.step_timeout_s))]
        client._pipe.listen(client._hear)
        return client

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    async def run(
        self,
        rest: bytes,
        picture: bytes | memoryview,
        *,
        request_id: str,
        digest: str | None,
        received: float,
        deadline: float,
        lane: Lane,
        on_left: Callable[[], None] = lambda: None,
    ) -> EngineReply:
        """Have one ``SegmentRequest`` answered: its picture, and the rest of it serialised.

        Without a ``digest`` the process finds out that of the picture; with an empty one the
        picture is not held.

        ``on_left`` is called once the request is out of the process again. That may be later than
        this returns: the model finishes its step after a caller was cancelled.

        Raises:
            ServiceError: what the engine process said, that it was lost, or that the deadline
                (a reading of the monotonic clock) passed.
        """
        if self.ended.done():
            on_left()
            raise engine_lost()
        number = next(self._ids)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[EngineReply] = loop.create_future()
        place = self._places.put(picture)

        def left() -> None:
            if place is not None:
                self._places.free(place)
            on_left()

        inside = self._inside[number] = Inside(answer, left)
        header: Header = {
            "op": "work",
            "id": number,
            "request_id": request_id,
            "digest": digest,
            "received": received,
            "deadline": deadline,
            "lane": lane,
            "place": place,
            "picture_bytes": len(picture),
        }
        self._pipe.send(header, rest if place is not None else b"".join((rest, picture)))
        alarm = loop.call_later(max(deadline - time.monotonic(), 0), inside.fail_late)
        try:
            return await answer
        finally:
            alarm.cancel()
            if number in self._inside:
                # Late, or its caller has gone. The process still has it, and its place.
                self._pipe.send({"op": "cancel", "id": number})

    def open_session(
        self, start: bytes, *, request_id: str, on_left: Callable[[], None]
    ) -> SessionChannel:
        """Open a video session with a serialised ``SegmentVideoRequest``.

        ``on_left`` is called once the process has freed it, which may be after its last reply.

        Raises:
            ServiceError: the process was lost.
        """
        if self.ended.done():
            on_left()
            raise engine_lost()
        number = next(self._ids)
        channel = self._sessions[number] = SessionChannel(number, self._pipe.send, on_left)
        channel.send("open", start, request_id=request_id, received=time.monotonic())
        return channel

    async def kill(self) -> None:
        """End the process now and wait until it is gone."""
        self._wanted = False
        self._kill()
        self._pipe.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._close()
        await self._process.wait()

    def _close(self) -> None:
        self._pipe.close()
        self._places.close()

    async def _exit_code(self) -> int:
        """Of a process that has closed its pipe: it ends by itself, or is made to."""
        try:
            # Not killed at once: that collects the process before asyncio does, which then makes
            # an exit code up.
            async with asyncio.timeout(_EXIT_S):
                return await self._process.wait()
        except TimeoutError:
            self._kill()
            return await self._process.wait()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def _hear(self, came: Came) -> None:
        """Take in what the process says, and that it is gone."""
        if isinstance(came, Exception):
            if not isinstance(came, PipeClosedError):
                logger().error("engine process said nonsense", pid=self.pid, exc_info=came)
            self._tasks.append(asyncio.create_task(self._tell_end(self._lose())))
            return
        header, body = came
        self._heard = True
        if header["op"] != "pulse":
            self._settle(header, body)

    async def _tell_end(self, busy: int) -> None:
        code = await self._exit_code()
        log = logger().warning if self._wanted else logger().info
        log("engine process ended", pid=self.pid, exit_code=code, busy=busy)

    def _lose(self) -> int:
        """Fail what is inside; returns how much that was."""
        # The supervisor is told first, so that what waits meets the next process and not this one.
        self.ended.set_result(None)
        lost = list(self._inside.values())
        self._inside.clear()
        for inside in lost:
            inside.left()
            inside.fail(engine_lost())
        sessions = list(self._sessions.values())
        self._sessions.clear()
        for session in sessions:
            session.end(engine_lost())
        return len(lost) + len(sessions)

    def _settle(self, header: Header, body: bytes) -> None:
        if header["op"].startswith("session"):
            if self._sessions[header["id"]].take(header, body):
                del self._sessions[header["id"]]
            return
        self.held.update(header["added"])
        self.held.difference_update(header["dropped"])
        self.held_bytes = header["held_bytes"]
        self.device_peak_bytes = header["device_peak_bytes"]
        inside = self._inside.pop(header["id"])
        inside.left()
        if header["op"] == "error":
            inside.fail(ServiceError.from_status(status_pb2.Status.FromString(body)))
            return
        inside.succeed(
            EngineReply(
                body,
                header["stages"],
                header["model_s"],
                header["encoder_ran"],
                header["cache_hit"],
                header["together"],
            )
        )

    async def _watch(self, step_timeout_s: float) -> None:
        """Kill a process that has work and makes no progress.

        Counts looks instead of reading a clock: a front that was itself stopped for a while has
        heard nothing either.
        """
        silent = 0
        while not self.ended.done():
            await asyncio.wait([self.ended], timeout=step_timeout_s / _WATCHES_PER_TIMEOUT)
            busy = self._inside or any(session.owed for session in self._sessions.values())
            silent = 0 if self._heard or not busy else silent + 1
            self._heard = False
            if silent > _WATCHES_PER_TIMEOUT:
                logger().error("engine makes no progress", pid=self.pid, timeout_s=step_timeout_s)
                self._kill()
                return

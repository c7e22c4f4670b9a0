"""The front's handle on one engine process, and what it remembers of the requests there."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from google.rpc import status_pb2

from diptych import Task
from diptych.segment import v1 as pb

from ..engine.errors import Reason, ServiceError, engine_lost
from ..ipc.lanes import Lane
from ..ipc.pipe import FrontPipe, Header, Incoming, PipeClosedError
from ..ipc.shared_memory import ImageSlots
from ..machine import MemoryKills
from ..quarantine import Quarantine, Suspect, ended_engine
from .session_channel import SessionChannel

_WATCHES_PER_TIMEOUT = 8
_EXIT_S = 2.0

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


@dataclass(frozen=True)
class EngineReply:
    """A serialised answer and what it took (seconds)."""

    body: bytes
    stages: dict[str, float]
    model_s: float
    encoder_ran: bool
    cache_hit: bool
    batch_size: int
    """How many requests were answered together, this one among them."""


@dataclass(eq=False)
class PendingRequest:
    """What the front remembers of a ``SegmentRequest`` until it is answered."""

    request_id: str
    task: Task
    message: bytes
    """The request without the file of its image, serialised."""
    encoded: bytes | memoryview
    """That file; empty if only its digest was sent."""
    received: float
    """A reading of the monotonic clock, which all processes of a machine share."""
    deadline: float
    """Another one."""
    digest: str | None = None
    """SHA-256 of the file in hexadecimal. ``None``: nothing here depends on it, and the engine
    process computes it. Empty: the image is not to be held."""
    lane: Lane = Lane.BULK
    work_units: float = 1.0
    """See ``admission.work_units``."""
    tenant: str = ""
    estimate_s: float = 0.0
    """Expected time in the model; 0: the process tries, whatever the deadline."""
    slot: int | None = None
    """Where the file is in shared memory while the engine process has the request."""
    suspected: bool = False
    """Whether the engine was lost while it worked on this, be that the reason or not."""
    answer: asyncio.Future[EngineReply] = field(init=False)
    """Made when the request is for an engine process; ``on_released`` may look at it."""
    on_released: Callable[[float], None] = field(init=False)
    """Called with seconds of the model when the process does not have it any more."""

    def fail(self, error: ServiceError) -> None:
        """Give an error to who waits, if anybody still does."""
        if not self.answer.done():
            self.answer.set_exception(error)

    def fail_late(self) -> None:
        """Give up at the deadline: a step of the model may take longer."""
        text = "the deadline passed while the model was working"
        self.fail(ServiceError(Reason.DEADLINE, text))

    def succeed(self, reply: EngineReply) -> None:
        """Give the reply to who waits, if anybody still does."""
        if not self.answer.done():
            self.answer.set_result(reply)


class EngineClient:
    """One started engine process; ``worker_spawn.start_engine`` makes one.

    It is of no use after ``ended`` is done.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        pipe: FrontPipe,
        slots: ImageSlots,
        quarantine: Quarantine,
    ) -> None:
        self._quarantine = quarantine
        self._hung = False
        self._memory_kills = MemoryKills()
        self._process = process
        self._pipe = pipe
        self._slots = slots
        self._ids = itertools.count(1)
        self._pending: dict[int, PendingRequest] = {}
        self._sessions: dict[int, SessionChannel] = {}
        self._progressed = True
        self._killed = False
        self._tasks: list[asyncio.Task[None]] = []
        self.card: pb.ModelCard  # set by ``serve``
        self.held: set[str] = set()
        self.held_bytes = 0
        self.device = ""
        self.max_batch = 1
        self.device_peak_bytes = 0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    def serve(self, loaded: Header, card: bytes, *, step_timeout_s: float) -> None:
        """Go over to requests once the model is loaded, with what the process says of it."""
        self.card = pb.ModelCard.FromString(card)
        self.device = loaded["device"]
        self.max_batch = loaded["max_batch"]
        self._tasks = [asyncio.create_task(self._watch(step_timeout_s))]
        self._pipe.listen(self._receive)

    async def run(
        self, request: PendingRequest, *, on_released: Callable[[float], None] = lambda _: None
    ) -> EngineReply:
        """Have one request answered; its ``encoded`` is empty afterwards.

        ``on_released`` is called once the request is out of the process again. That may be later
        than this returns: the model finishes its step after a caller was cancelled.

        Raises:
            ServiceError: what the engine process said, that it was lost, or that the deadline
                passed.
        """
        loop = asyncio.get_running_loop()
        request.answer = loop.create_future()
        if self.ended.done():
            on_released(0.0)
            raise engine_lost()
        number = self._send(request, on_released)
        alarm = loop.call_later(max(request.deadline - time.monotonic(), 0), request.fail_late)
        try:
            return await request.answer
        finally:
            alarm.cancel()
            if number in self._pending:
                # Late, or its caller has gone. The process still has it, and its slot.
                self._pipe.send({"op": "cancel", "id": number})

    def _send(self, request: PendingRequest, on_released: Callable[[float], None]) -> int:
        """Hand a request to the process; returns its number there."""
        number = next(self._ids)
        encoded, request.encoded = request.encoded, b""
        slot = request.slot = self._slots.put(encoded)

        def release(model_s: float) -> None:
            if slot is not None:
                self._slots.free(slot)
            on_released(model_s)

        request.on_released = release
        self._pending[number] = request
        header: Header = {
            "op": "work",
            "id": number,
            "request_id": request.request_id,
            "digest": request.digest,
            "received": request.received,
            "deadline": request.deadline,
            "estimate_s": request.estimate_s,
            "lane": request.lane,
            "slot": slot,
            "image_bytes": len(encoded),
        }
        self._pipe.send(header, b"".join((request.message, encoded if slot is None else b"")))
        return number

    def open_session(
        self, start: bytes, *, request_id: str, on_released: Callable[[], None]
    ) -> SessionChannel:
        """Open a video session with a serialised ``SegmentVideoRequest``.

        ``on_released`` is called once the process has freed it, which may be after its last reply.

        Raises:
            ServiceError: the process was lost.
        """
        if self.ended.done():
            on_released()
            raise engine_lost()
        number = next(self._ids)
        channel = self._sessions[number] = SessionChannel(number, self._pipe.send, on_released)
        channel.send("open", start, request_id=request_id, received=time.monotonic())
        return channel

    async def kill(self) -> None:
        """End the process now and wait until it is gone."""
        self._killed = True
        if not self.ended.done():  # else ``exit_code`` waits for it, and kills it if it stays
            self._kill()
        self._pipe.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._slots.close()
        await self._process.wait()

    async def exit_code(self) -> int:
        """Wait for the end of a process that has closed its pipe; kill it if it does not come."""
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

    def _receive(self, incoming: Incoming) -> None:
        """Take in what the process says, and that it is gone."""
        if isinstance(incoming, Exception):
            if not isinstance(incoming, PipeClosedError):
                _log.error("engine process said nonsense", pid=self.pid, exc_info=incoming)
            self._tasks.append(
                asyncio.create_task(self._settle_end(self._killed, *self._fail_all()))
            )
            return
        header, body = incoming
        self._progressed = True
        if header["op"].startswith("session"):
            if self._sessions[header["id"]].receive(header, body):
                del self._sessions[header["id"]]
        elif header["op"] != "pulse":
            self._settle(header, body)

    async def _settle_end(self, killed: bool, busy: int, suspects: list[Suspect]) -> None:
        """Log the end of the process, and answer what it worked on."""
        code = await self.exit_code()
        signalled = code == -signal.SIGKILL and not self._hung
        no_memory = signalled and not killed and self._memory_kills.happened
        write = _log.info if killed else _log.warning
        write("engine process ended", pid=self.pid, exit_code=code, busy=busy, no_memory=no_memory)
        # Killed by somebody, which is rarely the fault of what it worked on.
        outside = killed or (signalled and not no_memory)
        for suspect in suspects:
            held = await self._quarantine.judge(suspect, outside=outside)
            suspect.fail(ended_engine() if held else engine_lost())

    def _fail_all(self) -> tuple[int, list[Suspect]]:
        """Fail every request and session in the process but those that it worked on; returns how
        many those were in all, and those."""
        # The supervisor notices first, so that what waits meets the next process and not this one.
        self.ended.set_result(None)
        requests, sessions = self._pending, self._sessions
        self._pending, self._sessions = {}, {}
        suspects = []
        marked = self._slots.is_marked
        # While the model works, the next image is decoded: then it is the one in the model.
        in_model = any(marked(number) for number in (*requests, *sessions))
        for number, request in requests.items():
            if marked(number, decoding=not in_model):
                request.suspected = True
                # An image that is not to be held has no digest: nobody will ask for it again.
                hashes = request.digest is None and request.slot is not None
                file = self._slots.read(request.slot) if hashes else b""  # type: ignore[arg-type]
                suspects.append(Suspect(request.fail, request.digest or "", file))
            request.on_released(0.0)
            if not request.suspected:
                request.fail(engine_lost())
        for number, session in sessions.items():
            if marked(number, decoding=not in_model):
                suspects.append(Suspect(session.end))
            else:
                session.end(engine_lost())
        return len(requests) + len(sessions), suspects

    def _settle(self, header: Header, body: bytes) -> None:
        """Answer one request as the process says."""
        self.held.update(header["added"])
        self.held.difference_update(header["dropped"])
        self.held_bytes = header["held_bytes"]
        self.device_peak_bytes = header["device_peak_bytes"]
        request = self._pending.pop(header["id"])
        request.on_released(header["model_s"])
        if header["op"] == "error":
            request.fail(ServiceError.from_status(status_pb2.Status.FromString(body)))
            return
        request.succeed(
            EngineReply(
                body,
                header["stages"],
                header["model_s"],
                header["encoder_ran"],
                header["cache_hit"],
                header["batch_size"],
            )
        )

    async def _watch(self, step_timeout_s: float) -> None:
        """Kill a process that has work and makes no progress.

        Counts its own ticks instead of reading a clock: a front that was itself stopped for a
        while has received nothing either.
        """
        silent = 0
        while not self.ended.done():
            await asyncio.wait([self.ended], timeout=step_timeout_s / _WATCHES_PER_TIMEOUT)
            busy = self._pending or any(session.unanswered for session in self._sessions.values())
            silent = 0 if self._progressed or not busy else silent + 1
            self._progressed = False
            self._memory_kills.look()
            if silent > _WATCHES_PER_TIMEOUT:
                _log.error("engine makes no progress", pid=self.pid, timeout_s=step_timeout_s)
                self._hung = True
                self._kill()
                return

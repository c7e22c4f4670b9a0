"""The front's handle on one engine process."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import sys
import time
from dataclasses import dataclass

from google.rpc import status_pb2

from diptych.segment import v1 as pb

from .engine import LoadError
from .errors import Reason, ServiceError
from .logs import logger
from .pipe import FrontPipe, Header, PipeClosedError


@dataclass(frozen=True)
class EngineReply:
    """A serialised answer and what it took (seconds)."""

    body: bytes
    stages: dict[str, float]
    model_s: float
    encoder_ran: bool
    cache_hit: bool


def engine_lost() -> ServiceError:
    """The error of requests that were in an engine process when it ended."""
    return ServiceError(
        Reason.ENGINE_LOST, "the engine was lost while it worked; try again", retry_after_s=2.0
    )


class EngineClient:
    """One started engine process. ``start`` makes one; it is of no use after ``ended`` is done."""

    def __init__(self, process: asyncio.subprocess.Process, pipe: FrontPipe) -> None:
        self._process = process
        self._pipe = pipe
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[EngineReply]] = {}
        self._heard = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []
        self.card = pb.ModelCard()
        self.held: set[str] = set()
        self.held_bytes = 0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def start(
        cls, engine: str, *, load_timeout_s: float, step_timeout_s: float
    ) -> EngineClient:
        """Start a process and wait until its model is loaded.

        Raises:
            LoadError: the model cannot be loaded as it is set up.
            ServiceError: the process ended or took too long.
        """
        ours, theirs = socket.socketpair()
        try:
            argv = (sys.executable, "-m", "diptych_runtime.engine_process")
            process = await asyncio.create_subprocess_exec(
                *argv, "--fd", str(theirs.fileno()), "--engine", engine, pass_fds=[theirs.fileno()]
            )
        finally:
            theirs.close()
        client = cls(process, await FrontPipe.over(ours))
        try:
            async with asyncio.timeout(load_timeout_s):
                header, body = await client._pipe.receive()
        except (PipeClosedError, TimeoutError) as error:
            await client.kill()
            raise engine_lost() from error
        except BaseException:
            await client.kill()
            raise
        if header["op"] == "failed":
            await client.kill()
            raise LoadError(header["message"])
        client.card.ParseFromString(body)
        client._tasks = [
            asyncio.create_task(client._read()),
            asyncio.create_task(client._watch(step_timeout_s)),
        ]
        return client

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    @property
    def busy(self) -> int:
        """Requests inside."""
        return len(self._waiting)

    async def run(
        self,
        body: bytes,
        *,
        request_id: str,
        digest: str,
        received: float,
        deadline: float,
        interactive: bool,
    ) -> EngineReply:
        """Have one serialised ``SegmentRequest`` answered.

        Raises:
            ServiceError: what the engine process said, or that it was lost.
        """
        if self.ended.done():
            raise engine_lost()
        number = next(self._ids)
        future: asyncio.Future[EngineReply] = asyncio.get_running_loop().create_future()
        if not self._waiting:
            self._heard = time.monotonic()
        self._waiting[number] = future
        header: Header = {
            "op": "work",
            "id": number,
            "request_id": request_id,
            "digest": digest,
            "received": received,
            "deadline": deadline,
            "interactive": interactive,
        }
        try:
            with contextlib.suppress(PipeClosedError):  # then the reader fails the future
                await self._pipe.send(header, body)
            return await future
        except asyncio.CancelledError:
            if not self.ended.done():
                self._pipe.post({"op": "cancel", "id": number})
            raise
        finally:
            self._waiting.pop(number, None)

    async def kill(self) -> None:
        """End the process now and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._pipe.close()
        await self._process.wait()
        if not self._tasks and not self.ended.done():
            self.ended.set_result(None)
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _read(self) -> None:
        try:
            while True:
                header, body = await self._pipe.receive()
                self._heard = time.monotonic()
                if header["op"] != "pulse":
                    self._settle(header, body)
        except PipeClosedError:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            code = await self._process.wait()
            logger().warning("engine process ended", pid=self.pid, exit_code=code, busy=self.busy)
            if not self.ended.done():
                self.ended.set_result(None)
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(engine_lost())

    def _settle(self, header: Header, body: bytes) -> None:
        self.held.update(header["added"])
        self.held.difference_update(header["dropped"])
        self.held_bytes = header["held_bytes"]
        future = self._waiting.get(header["id"])
        if future is None or future.done():
            return
        if header["op"] == "error":
            status = status_pb2.Status.FromString(body)
            future.set_exception(ServiceError.from_status(status))
            return
        future.set_result(
            EngineReply(
                body,
                header["stages"],
                header["model_s"],
                header["encoder_ran"],
                header["cache_hit"],
            )
        )

    async def _watch(self, step_timeout_s: float) -> None:
        """Kill a process that has work and makes no progress."""
        while not self.ended.done():
            await asyncio.sleep(min(step_timeout_s / 4, 1.0))
            silent = time.monotonic() - self._heard
            if self._waiting and silent > step_timeout_s:
                logger().error("engine makes no progress", pid=self.pid, seconds=round(silent))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, 9)
                return

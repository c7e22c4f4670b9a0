"""The process that owns a device: decodes pictures, runs the model, writes replies.

Started by the front as ``python -m diptych_runtime.engine_process``; ends when the front is gone.
Threads: this one reads requests; one decodes, one ahead of the model; one runs the model; one
writes replies.
"""

from __future__ import annotations

import argparse
import importlib
import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from diptych.segment import v1 as pb

from . import logs
from .cards import CardError, build_card
from .engine import Answer, DeviceLostError, Engine, LoadError
from .errors import Reason, ServiceError
from .held import HeldPictures
from .logs import logger
from .pipe import EnginePipe, Header, PipeClosedError
from .replies import ReplyWriter
from .scheduler import Scheduler
from .settings import RuntimeSettings, read_settings
from .work import CancelledWorkError, Work, Workshop

EXIT_DEVICE_LOST = 70
_PULSE_EVERY_S = 1.0


class EngineProcess:
    """Everything that runs behind one pipe."""

    def __init__(self, pipe: EnginePipe, engine: Engine, settings: RuntimeSettings) -> None:
        self._pipe = pipe
        self._settings = settings
        loaded = engine.load()
        self._card = build_card(loaded, settings)
        held = HeldPictures(settings.cache_bytes)
        self._workshop = Workshop(engine, loaded, held, settings)
        self._replies = ReplyWriter(self._card.id, loaded)
        self._scheduler = Scheduler(self._workshop, done=self._done, pulse=self._pulse)
        self._to_decode: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._to_reply: queue.SimpleQueue[tuple[Work, Answer | Exception]] = queue.SimpleQueue()
        self._alive: dict[int, Work] = {}
        self._pulsed = 0.0

    def run(self) -> None:
        """Serve until the front is gone."""
        for name, loop in (
            ("decode", self._decode),
            ("model", self._scheduler.run),
            ("reply", self._reply),
        ):
            threading.Thread(target=_or_end(loop), name=name, daemon=True).start()
        self._pipe.send({"op": "loaded"}, self._card.SerializeToString())
        while True:
            header, body = self._pipe.receive()
            if header["op"] == "work":
                self._accept(header, body)
            elif header["op"] == "cancel" and (work := self._alive.get(header["id"])):
                work.cancelled.set()

    def _accept(self, header: Header, body: bytes) -> None:
        work = Work(
            id=header["id"],
            request_id=header["request_id"],
            digest=header["digest"],
            received=header["received"],
            deadline=header["deadline"],
            request=pb.SegmentRequest.FromString(body),
        )
        self._alive[work.id] = work
        if header["interactive"] and self._workshop.held.get(work.digest):
            if self._prepare(work):
                self._scheduler.add_interactive(work)
        else:
            self._to_decode.put(work)

    def _decode(self) -> None:
        while True:
            work = self._to_decode.get()
            if self._prepare(work):
                self._scheduler.add(work)

    def _prepare(self, work: Work) -> bool:
        try:
            self._workshop.prepare(work)
        except Exception as error:
            self._done(work, error)
            return False
        return True

    def _done(self, work: Work, result: Answer | Exception) -> None:
        self._to_reply.put((work, result))

    def _reply(self) -> None:
        while True:
            work, result = self._to_reply.get()
            self._alive.pop(work.id, None)
            header: Header = {"op": "done", "id": work.id, "encoder_ran": work.encoder_ran}
            header["cache_hit"] = work.cache_hit
            header["model_s"] = work.model_s
            body = b""
            if isinstance(result, Answer):
                try:
                    body, header["stages"] = self._replies.write(work, result)
                except Exception as error:
                    result = error
            if isinstance(result, Exception):
                header["op"] = "error"
                body = self._status(work, result)
            header.update(self._workshop.held.changes())
            self._pipe.send(header, body)

    def _status(self, work: Work, error: Exception) -> bytes:
        if isinstance(error, CancelledWorkError):
            error = ServiceError(Reason.DEADLINE, "cancelled")
        if not isinstance(error, ServiceError):
            logger().error("request failed", request_id=work.request_id, exc_info=error)
            error = ServiceError(Reason.MODEL_FAILED, f"internal error {work.request_id}")
        status: bytes = error.to_status(work.request_id).SerializeToString()
        return status

    def _pulse(self) -> None:
        """Tell the front that the model makes progress."""
        now = time.monotonic()
        if now - self._pulsed > _PULSE_EVERY_S:
            self._pulsed = now
            self._pipe.send({"op": "pulse"})


def _or_end(loop: Callable[[], None]) -> Callable[[], None]:
    """A thread whose end ends the process: a process that has lost a part of itself is broken."""

    def guarded() -> None:
        try:
            loop()
        except PipeClosedError:
            os._exit(0)
        except DeviceLostError as error:
            logger().error("device lost", error=str(error))
        except BaseException as error:
            logger().error("engine thread ended", exc_info=error)
        os._exit(EXIT_DEVICE_LOST)

    return guarded


def create_engine(name: str) -> Engine:
    """The engine that ``module:function`` makes."""
    module, _, function = name.partition(":")
    made: Any = getattr(importlib.import_module(module), function)()
    engine: Engine = made
    return engine


def main() -> None:
    """Load the model and serve the front that started this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--engine", required=True)
    args = parser.parse_args()
    # A Ctrl-C at the terminal reaches the whole process group; the front decides when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = read_settings()
    logs.configure(settings.log_level, process="engine")
    pipe = EnginePipe(socket.socket(fileno=args.fd))
    try:
        process = EngineProcess(pipe, create_engine(args.engine), settings)
    except (LoadError, CardError) as error:
        pipe.send({"op": "failed", "message": str(error)})
        return
    try:
        process.run()
    except PipeClosedError:
        os._exit(0)


if __name__ == "__main__":
    main()

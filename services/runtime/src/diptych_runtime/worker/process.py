"""The process that owns a device: decodes images, runs the model, writes replies.

Started by the front as ``python -m diptych_runtime.worker.process``; ends when the front is gone.
Threads: this one reads requests; one loads and runs the model; one for each lane prepares requests,
one decoded image ahead of the model; one writes replies. While nobody else waits, the model's
thread prepares a request and writes a small reply itself: waking another takes longer. Models that
follow objects have two more, one to decode frames and one to write replies of video sessions.
"""

from __future__ import annotations

import argparse
import os
import queue
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog

from diptych import Task
from diptych.segment import v1 as pb

from .. import logs
from ..allocator import keep_what_is_there
from ..engine.errors import Reason, ServiceError
from ..engine.protocol import Answer, DeviceLostError, Fact, LoadError
from ..ipc.lanes import Lane
from ..ipc.pipe import EnginePipe, Header, PipeClosedError
from ..ipc.shared_memory import ImageReader
from ..machine import cache_budget, device_name
from ..settings import RuntimeSettings
from .batching import batcher_of
from .decoder import Decoder
from .features_folder import features_folder
from .loading import load_engine
from .replies import ReplyWriter
from .scheduler import Scheduler
from .sessions import SessionHost
from .work import CancelledWorkError, EngineContext, ImageCache, Work

EXIT_BROKEN = 70
_PULSE_EVERY_S = 0.2
_FEW_SEGMENTS = 4
_QUICK_ENCODINGS = frozenset(
    {
        pb.MaskEncoding.MASK_ENCODING_UNSPECIFIED,
        pb.MaskEncoding.MASK_ENCODING_COCO_RLE,
        pb.MaskEncoding.MASK_ENCODING_NONE,
    }
)
"""Those that masks come in already."""

Queue = queue.SimpleQueue

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


@dataclass(frozen=True)
class _Loaded:
    """What there is once the model is loaded."""

    context: EngineContext
    replies: ReplyWriter


class EngineProcess:
    """Everything that runs behind one pipe."""

    def __init__(
        self, pipe: EnginePipe, images: ImageReader, engine: str, settings: RuntimeSettings
    ) -> None:
        self._pipe = pipe
        self._images = images
        self._engine = engine
        self._settings = settings
        self._scheduler = Scheduler(on_done=self._finish, on_step=self._pulse)
        self._to_prepare: dict[Lane, Queue[Work]] = {lane: Queue() for lane in Lane}
        self._to_reply: Queue[tuple[Work, Answer | Exception]] = Queue()
        self._reply_lock = threading.Lock()
        self._works: dict[int, Work] = {}
        self._last_pulse = 0.0
        self._sessions: SessionHost | None = None
        self._loaded: _Loaded | None = None

    def run(self) -> None:
        """Load the model and serve until the front is gone."""
        _thread("model", self._model)
        while True:
            # From the start, so that the end of the front is noticed while the model loads.
            header, body = self._pipe.receive()
            if header["op"] == "work":
                self._accept(header, body)
            elif header["op"] == "cancel" and (work := self._works.get(header["id"])):
                work.cancelled.set()
            elif header["op"].startswith("session_"):
                assert self._sessions is not None  # the front waits for the card
                self._sessions.receive(header, body)

    def _model(self) -> None:
        """Load the model and run it: everything that touches the engine happens in this thread."""
        decoder = Decoder()  # starts while the model loads
        try:
            engine, model, card = load_engine(self._engine, self._settings)
            kept = features_folder(self._settings, engine, model)
        except LoadError as error:
            self._pipe.send({"op": "failed", "message": str(error)})
            return
        _log_facts(model.facts)
        budget = cache_budget(self._settings.cache_bytes, model.free_device_bytes())
        _log.info("room for images and features", cache_bytes=budget)
        cache = ImageCache(budget)
        context = EngineContext(engine, model, cache, self._settings, decoder, kept)
        loaded = self._loaded = _Loaded(context, ReplyWriter(card.id, model))
        for lane in Lane:
            _thread(f"prepare {lane}", partial(self._prepare_all, lane, loaded))
        _thread("reply", lambda: _forever(lambda: self._reply(*self._to_reply.get(), loaded)))
        if Task.VIDEO_SEGMENTATION in model.tasks:
            self._host_sessions(context, card.id)
        batcher = batcher_of(context)
        loaded_header: Header = {
            "op": "loaded",
            "device": device_name(model.device),
            "max_batch": batcher.max_batch if batcher else 1,
        }
        keep_what_is_there()
        self._pipe.send(loaded_header, card.SerializeToString())
        self._scheduler.run(context, batcher)

    def _host_sessions(self, context: EngineContext, model_id: str) -> None:
        # Threads of their own: the decoder of images waits while enough of them are ready, and
        # frames must not wait behind it.
        host = self._sessions = SessionHost(
            self._pipe, self._scheduler, context, model_id, self._images.mark
        )
        _thread("frames", lambda: _forever(host.prepare_next))
        _thread("video replies", lambda: _forever(host.reply_next))

    def _accept(self, header: Header, body: bytes) -> None:
        slot, size = header["slot"], header["image_bytes"]
        end = len(body) - (size if slot is None else 0)
        encoded = body[end:] if slot is None else self._images.view(slot, size)
        work = Work(
            id=header["id"],
            request_id=header["request_id"],
            digest=header["digest"] or "",
            hash_image=header["digest"] is None,
            received=header["received"],
            deadline=header["deadline"],
            estimate_s=header["estimate_s"],
            request=pb.SegmentRequest.FromString(body[:end]),
            encoded=encoded,
            mark=partial(self._images.mark, header["id"]),
        )
        copied = work.copied
        self._works[work.id] = work
        lane = Lane(header["lane"])
        # Prompts on held images have nothing to decode, and are put together once prepared. For a
        # large image the model's thread must not wait: those would, too.
        if lane is not Lane.HELD and self._is_quick(work) and self._scheduler.offer(lane, work):
            self._last_pulse = time.monotonic()  # the front waits from now on
        else:
            self._to_prepare[lane].put(work)
        # Only now: the copy takes as long as the hash that another thread makes meanwhile.
        copied.set_result(encoded if isinstance(encoded, bytes) else self._images.read(slot, size))

    def _is_quick(self, work: Work) -> bool:
        return self._loaded is not None and self._loaded.context.decodes_here(work)

    def _prepare_all(self, lane: Lane, loaded: _Loaded) -> None:
        while True:
            # Nothing is kept in a name: it would keep an image until the next one comes.
            self._prepare(self._to_prepare[lane].get(), lane, loaded)

    def _prepare(self, work: Work, lane: Lane, loaded: _Loaded) -> None:
        context = loaded.context
        held = context.cache.get(work.digest) is not None
        if lane is Lane.HELD and not (held and context.decodes_here(work)):
            # Dropped since the front looked, or the encoder of this task has not seen it.
            self._to_prepare[Lane.NEW].put(work)
            return
        self._images.mark(work.id, True, decoding=True)
        try:
            context.prepare(work)
        except Exception as error:
            self._images.mark(work.id, False, decoding=True)
            self._to_reply.put((work, error))
        else:
            self._images.mark(work.id, False, decoding=True)
            self._scheduler.add(lane, work)

    def _finish(self, work: Work, result: Answer | Exception) -> None:
        """Reply, or have another thread reply; called by the model's thread."""
        if self._loaded is None or self._scheduler.has_waiting or not _is_small(work, result):
            self._to_reply.put((work, result))
        else:
            self._reply(work, result, self._loaded)

    def _reply(self, work: Work, result: Answer | Exception, loaded: _Loaded) -> None:
        header: Header = {
            "op": "done",
            "id": work.id,
            "encoder_ran": work.encoder_ran,
            "cache_hit": work.cache_hit,
            "model_s": work.model_s,
            "batch_size": work.batch_size,
        }
        body = b""
        if not isinstance(result, Exception):
            try:
                body, header["stages"] = loaded.replies.write(work, result)
            except Exception as error:
                result = error
        if isinstance(result, Exception):
            header["op"] = "error"
            body = _status(work, result)
        else:
            _log.debug("request answered", request_id=work.request_id)
        header["device_peak_bytes"] = loaded.replies.loaded.peak_device_bytes()
        del self._works[work.id]
        with self._reply_lock:  # else the front could get changes of the cache in another order
            header.update(loaded.context.cache.changes())
            self._pipe.send(header, body)

    def _pulse(self) -> None:
        """Report to the front that the model makes progress."""
        now = time.monotonic()
        if now - self._last_pulse > _PULSE_EVERY_S:
            self._last_pulse = now
            self._pipe.send({"op": "pulse"})


def _log_facts(facts: tuple[Fact, ...]) -> None:
    """Say what the loaded networks are, and warn of what was only assumed of them."""
    sure = {fact.name: fact.value for fact in facts if fact.origin != "assumed"}
    if sure:
        _log.info("network", **sure)
    for file in sorted({fact.file for fact in facts if fact.origin == "assumed"}):
        assumed = {f.name: f.value for f in facts if (f.origin, f.file) == ("assumed", file)}
        _log.warning("weights do not say this, and it is assumed", say_it_in=file, **assumed)


def _is_small(work: Work, result: Answer | Exception) -> bool:
    """Whether writing the reply takes no longer than waking a thread for it."""
    if not isinstance(result, Answer):  # an error, or what an engine should not have given
        return isinstance(result, Exception)
    quick = work.request.output.mask_encoding in _QUICK_ENCODINGS
    return len(result.segments) <= (_FEW_SEGMENTS if quick else 0)


def _status(work: Work, error: Exception) -> bytes:
    """Make a serialised ``Status``; what is not a ``ServiceError`` is logged and hidden."""
    if isinstance(error, CancelledWorkError):
        error = ServiceError(Reason.DEADLINE, "cancelled; nobody reads this")
    if not isinstance(error, ServiceError):
        _log.error("request failed", request_id=work.request_id, exc_info=error)
        error = ServiceError(Reason.MODEL_FAILED, f"internal error {work.request_id}")
    status: bytes = error.to_status(work.request_id).SerializeToString()
    return status


def _forever(do: Callable[[], None]) -> None:
    while True:
        do()


def _thread(name: str, loop: Callable[[], None]) -> None:
    """Start a thread whose end ends the process: one that has lost a part of itself is broken."""

    def guarded() -> None:
        try:
            loop()
        except PipeClosedError:
            os._exit(0)
        except DeviceLostError as error:
            _log.error("device lost", error=str(error))
        except BaseException as error:
            _log.error("engine thread ended", thread=name, exc_info=error)
        logs.flush()
        os._exit(EXIT_BROKEN)

    threading.Thread(target=guarded, name=name, daemon=True).start()


def main() -> None:
    """Load the model and serve the front that started this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--engine", required=True)
    args = parser.parse_args()
    pipe = EnginePipe(socket.socket(fileno=args.fd))
    images = ImageReader(args.images)
    try:
        header, _ = pipe.receive()
        settings = RuntimeSettings(**header["settings"])
        logs.configure(settings.log_level, log_format=settings.log_format, process="engine")
        EngineProcess(pipe, images, args.engine, settings).run()
    except PipeClosedError:
        os._exit(0)


if __name__ == "__main__":
    main()

"""Runs a model in this process: what a service does with one request, without a service.

For notebooks, scripts and batch jobs that have a device to themselves. Checks, decoding, model,
answers and errors are those of a service. What a service has processes for is missing: a picture
that crashes its decoder or the model ends this process, nothing stops a step that hangs, prompts of
several callers are not put together, and there is no video.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Literal, Self

from diptych import (
    AutomaticOptions,
    DiptychError,
    ImageLike,
    ModelCard,
    OutputOptions,
    Prompt,
    SegmentResult,
    Task,
)
from diptych.segment import v1 as pb
from diptych.wire.cards import read_card
from diptych.wire.replies import read_result
from diptych.wire.requests import BoxLike, PointLike, make_options
from diptych.wire.serialized import segment_bytes
from diptych.wire.statuses import error_from_status

from .calls import new_request_id
from .engine.errors import Reason, ServiceError
from .engine.protocol import Answer, DeviceLostError, Engine
from .machine import cache_budget
from .settings import RuntimeSettings, read_settings
from .wire.checks import read_checked_request
from .worker.features_folder import features_folder
from .worker.loading import load_engine
from .worker.replies import ReplyWriter
from .worker.scheduler import SingleRun
from .worker.work import EngineContext, ImageCache, Work


class Runner:
    """One model, loaded in this process; ``with`` or ``close`` lets it go.

    Any thread may call it. The model works in a thread of its own, on one request at a time;
    pictures are decoded and answers written in the threads that ask, so that two of them keep it
    busy.

    Args:
        engine: An engine that is not loaded yet, or its factory as ``module:function``: each model
            has one, ``engine:create`` in its package, which reads the settings of the environment.
        settings: Limits of pictures and prompts, and the memory for pictures and their features;
            those of the environment if not given.

    Raises:
        LoadError: the model cannot be loaded as it is set up; one sentence says what to change.
        SettingsError: a variable of the environment has a value that cannot be used.
    """

    def __init__(self, engine: Engine | str, settings: RuntimeSettings | None = None) -> None:
        settings = settings or read_settings()
        self._closed = self._lost = False
        self._model = ThreadPoolExecutor(1, thread_name_prefix="model")
        try:
            loading = self._model.submit(load_engine, engine, settings)
            made, loaded, self._card = loading.result()
            kept = features_folder(settings, made, loaded)
        except BaseException:
            self._model.shutdown()
            raise
        budget = cache_budget(settings.cache_bytes, loaded.free_device_bytes())
        self._context = EngineContext(made, loaded, ImageCache(budget), settings, kept=kept)
        self._replies = ReplyWriter(self._card.id, loaded)

    def model_card(self) -> ModelCard:
        """Return the card of the model, as ``diptych.Client`` does."""
        return read_card(self._card)

    def segment(
        self,
        image: ImageLike,
        *,
        task: Task | str | None = None,
        prompts: Iterable[Prompt] | None = None,
        points: Iterable[PointLike] | None = None,
        boxes: Iterable[BoxLike] | None = None,
        output: OutputOptions | None = None,
        automatic: AutomaticOptions | None = None,
        jpeg_quality: int | Literal["auto"] | None = "auto",
        timeout: float | None = None,
    ) -> SegmentResult:
        """What the model finds in one image; arguments and errors are those of
        ``diptych.Client.segment``.

        A picture that was asked about lately is neither decoded nor encoded again. ``timeout`` is
        in seconds, looked at between the steps of the model; ``None`` waits for ever.

        Raises:
            DiptychError: in one of its kinds. After an ``UnavailableError`` the device is lost, and
                only a new process can go on.
            OSError, TypeError, ValueError: the image or an argument cannot be read.
        """
        options = make_options(None, task, prompts, points, boxes, output, automatic)
        raw = segment_bytes(image, options, jpeg_quality)
        return read_result(pb.SegmentResponse.FromString(self.answer(raw, timeout)))

    def answer(self, request: bytes, timeout: float | None = None) -> bytes:
        """Answer a serialised ``SegmentRequest`` with a serialised ``SegmentResponse``.

        Raises:
            DiptychError: as ``segment``.
        """
        if self._closed:
            raise RuntimeError("the runner is closed")
        request_id = new_request_id()
        received = time.monotonic()
        deadline = math.inf if timeout is None else received + timeout
        try:
            return self._answer(request, request_id, received, deadline)
        except Exception as error:
            raise _failure(error, request_id) from error

    def close(self) -> None:
        """Let the model go, once it has answered what it was asked."""
        if not self._closed:
            self._closed = True
            self._model.shutdown()
            del self._context

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _answer(self, raw: bytes, request_id: str, received: float, deadline: float) -> bytes:
        message, encoded, _ = read_checked_request(raw, self._card)
        work = Work(
            id=0,
            request_id=request_id,
            digest=_digest(message, encoded),
            received=received,
            deadline=deadline,
            request=message,
            encoded=encoded,
        )
        work.copied.set_result(bytes(encoded))
        self._context.prepare(work)
        try:
            answer = self._model.submit(self._work, work).result()
        finally:
            work.cancelled.set()  # Ctrl-C ends the wait alone, and this the work
        body, _ = self._replies.write(work, answer)
        return body

    def _work(self, work: Work) -> Answer:
        """Have the model work on a prepared request; runs in the model's thread."""
        if self._lost:
            raise _lost()
        results: list[Answer | Exception] = []
        run = SingleRun(work, self._context.answer(work), lambda _, result: results.append(result))
        try:
            while run.step():
                pass
        except DeviceLostError as error:
            self._lost = True
            raise _lost() from error
        (result,) = results
        if isinstance(result, Exception):
            raise result
        return result


def _digest(message: pb.SegmentRequest, encoded: bytes | memoryview) -> str:
    return hashlib.sha256(encoded).hexdigest() if encoded else message.image.sha256.hex()


def _lost() -> ServiceError:
    return ServiceError(Reason.ENGINE_LOST, "the device is lost; only a new process can go on")


def _failure(error: Exception, request_id: str) -> DiptychError:
    """Make the error that a client would get; what a service only logs is its cause."""
    if not isinstance(error, ServiceError):
        error = ServiceError(Reason.MODEL_FAILED, f"internal error {request_id}")
    return error_from_status(error.to_status(request_id))

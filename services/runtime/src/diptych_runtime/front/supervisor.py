"""Keeps one engine process running: starts it, tries it, and starts another when it is lost."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable, Callable

import numpy as np
import structlog
from PIL import Image

from diptych import DiptychError, Mask, Task
from diptych.segment import v1 as pb
from diptych.wire.replies import read_result
from diptych.wire.requests import (
    image_by_bytes,
    make_options,
    read_task,
    segment_request,
    take_image,
)

from ..engine.errors import Reason, ServiceError
from ..quarantine import Quarantine
from ..settings import RuntimeSettings
from .worker_client import EngineClient, PendingRequest
from .worker_spawn import start_engine

_CANARY_S = 120.0
_CANARY_SIDE_PX = 64
_CANARY_IOU = 0.9
"""Devices do not round alike each time, so masks may differ at their edges."""
_MAX_PAUSE_S = 30.0

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class EngineGoneError(Exception):
    """The engine cannot be brought back; the message is one line."""


class Supervisor:
    """Owns the engine of a service.

    ``on_state`` gets ``True`` when an engine has answered a canary, ``False`` when it is lost.
    """

    def __init__(
        self,
        engine: str,
        settings: RuntimeSettings,
        *,
        on_state: Callable[[bool], Awaitable[None]],
    ) -> None:
        self._name = engine
        self._settings = settings
        self._on_state = on_state
        self._ready = asyncio.Event()
        self.engine: EngineClient | None = None
        """The engine that answers now; ``None`` while there is none."""
        self.card: pb.ModelCard | None = None
        self.restarts = 0
        self._first_seen: Mask | None = None
        self._trouble = ""
        self.quarantine = Quarantine(settings.quarantine_s)
        """Images that engines of this service have ended over."""

    async def wait_ready(self, timeout_s: float) -> EngineClient:
        """Wait until there is an engine; returns it.

        Raises:
            ServiceError: there was none for ``timeout_s`` seconds.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while self.engine is None:
                    await self._ready.wait()
        except TimeoutError as error:
            raise self.not_ready() from error
        return self.engine

    def not_ready(self) -> ServiceError:
        """Make the error for a request that meets no engine."""
        if self._trouble:
            text = f"{self._trouble}; it is started again"
            return ServiceError(Reason.ENGINE_LOST, text, retry_after_s=2.0)
        if self.card is None:
            text = "the model is being loaded; try again"
            return ServiceError(Reason.MODEL_LOADING, text, retry_after_s=2.0)
        text = "the engine was lost and is being started again; try again"
        return ServiceError(Reason.ENGINE_LOST, text, retry_after_s=2.0)

    async def run(self) -> None:
        """Keep an engine running until cancelled.

        Raises:
            LoadError: the model cannot be loaded as it is set up.
            EngineGoneError: it was lost more often in a row than the settings allow.
        """
        failures = 0
        while True:
            client = await self._start()
            if client is not None:
                failures = 0
                await self._serve(client)
            else:
                failures += 1
                tries = self._settings.restart_tries
                if failures >= tries:
                    raise EngineGoneError(
                        f"the engine could not be started in {tries} tries; see the log above"
                    )
                await asyncio.sleep(min(2.0 ** (failures - 1), _MAX_PAUSE_S))
            self.restarts += 1

    async def _start(self) -> EngineClient | None:
        """Start an engine and have it answer a canary; ``None`` if either fails."""
        started = time.monotonic()
        try:
            client = await start_engine(self._name, self._settings, self.quarantine)
        except ServiceError:
            self._trouble = "the engine did not start"
            return None  # it was logged, with the exit code
        try:
            await self._try_canary(client)
        except ServiceError as error:
            _log.error("canary failed", reason=error.reason.value, message=error.message)
            self._trouble = "the model is loaded and failed its canary, the service's own request"
            await client.kill()
            return None
        except BaseException:
            await client.kill()
            raise
        _log.info("serving", load_s=round(time.monotonic() - started, 2), pid=client.pid)
        return client

    async def _serve(self, client: EngineClient) -> None:
        """Let requests in until the engine is lost."""
        self.card = client.card
        self.engine = client
        self._trouble = ""
        self._ready.set()
        # Called before the requests that were lost with it wake up those that wait behind them.
        client.ended.add_done_callback(lambda _: self._forget())
        try:
            await self._on_state(True)
            await asyncio.shield(client.ended)
            await self._on_state(False)
        finally:
            self._forget()
            await client.kill()

    def _forget(self) -> None:
        self.engine = None
        self._ready.clear()

    async def _try_canary(self, client: EngineClient) -> None:
        """Send a small request before anybody else does, and check its answer.

        It has to be plausible, and to be what the first engine of this service said. A device that
        computes something else since then may answer, but not rightly.
        """
        message = canary(client.card)
        task = read_task(message.task)
        assert task is not None
        encoded = take_image(message)
        now = time.monotonic()
        reply = await client.run(
            PendingRequest(
                request_id="canary",
                task=task,
                message=message.SerializeToString(),
                encoded=encoded,
                digest="",  # nobody will ask about this image again: not held
                received=now,
                deadline=now + _CANARY_S,
            )
        )
        answer = pb.SegmentResponse.FromString(reply.body)
        if answer.model_id != client.card.id:
            raise _wrong_canary(f"of model {answer.model_id!r}")
        seen = canary_mask(answer, answers=len(message.prompts))
        if self._first_seen is None:
            self._first_seen = seen
        elif seen != self._first_seen and (iou := seen.iou(self._first_seen)) < _CANARY_IOU:
            raise _wrong_canary(f"not as by the first engine: their masks have an IoU of {iou:.2f}")


def canary_mask(answer: pb.SegmentResponse, *, answers: int) -> Mask:
    """Return all pixels that an answer to the canary marks.

    That numbers are finite is checked in the engine process, as of every answer.

    Args:
        answer: What an engine said.
        answers: How many prompts it was asked about; each has to be answered.

    Raises:
        ServiceError: no sound engine says this.
    """
    size = answer.image_size
    if (size.width_px, size.height_px) != (_CANARY_SIDE_PX, _CANARY_SIDE_PX):
        raise _wrong_canary(f"for an image of {size.width_px} by {size.height_px} pixels")
    if len(answer.segments) < answers:
        raise _wrong_canary("without an answer to its prompt")
    try:
        segments = read_result(answer).segments
    except DiptychError as error:
        raise _wrong_canary("with masks that are none") from error
    masks = [segment.mask for segment in segments if segment.mask is not None]
    return Mask.union(masks, (_CANARY_SIDE_PX, _CANARY_SIDE_PX))


def _wrong_canary(how: str) -> ServiceError:
    return ServiceError(Reason.MODEL_FAILED, f"the canary was answered {how}")


def canary(card: pb.ModelCard) -> pb.SegmentRequest:
    """Make the cheapest request that the model of this card answers."""
    shade = np.arange(_CANARY_SIDE_PX, dtype=np.uint8) * 3
    file = io.BytesIO()
    Image.fromarray(np.stack([np.add.outer(shade, shade)] * 3, axis=2)).save(file, "PNG")
    tasks = [task for value in card.tasks if (task := read_task(value))]
    middle = _CANARY_SIDE_PX / 2
    points = pb.PromptKind.PROMPT_KIND_POINT in card.prompt_kinds
    if points and Task.PROMPTED_SEGMENTATION in tasks:
        options = make_options(points=[(middle, middle)])
    else:
        options = make_options(task=tasks[0])
    return segment_request(options, image_by_bytes(file.getvalue()))

"""Keeps one engine process running: starts it, tries it, and starts another when it is lost."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable, Callable

import numpy as np
from PIL import Image

from diptych import Task
from diptych.segment import v1 as pb
from diptych.wire.requests import image_by_bytes, make_options, read_task, segment_request

from ..engine.errors import Reason, ServiceError
from ..ipc.lanes import Lane
from ..logs import logger
from ..settings import RuntimeSettings
from ..wire.split import split
from .worker_client import EngineClient

_CANARY_S = 120.0
_CANARY_SIDE_PX = 64
_MAX_PAUSE_S = 30.0


class EngineGoneError(Exception):
    """The engine cannot be brought back; the message is one line."""


class Supervisor:
    """Owns the engine of a service.

    ``on_state`` is told ``True`` when an engine has answered a canary, ``False`` when it is lost.
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
        self._client: EngineClient | None = None
        self.card: pb.ModelCard | None = None
        self.restarts = 0

    @property
    def engine(self) -> EngineClient | None:
        """The engine that answers now; ``None`` while there is none."""
        return self._client if self._ready.is_set() else None

    async def wait_ready(self, timeout_s: float) -> EngineClient:
        """The engine, once there is one.

        Raises:
            ServiceError: there was none for ``timeout_s`` seconds.
        """
        if not self._ready.is_set():
            try:
                async with asyncio.timeout(timeout_s):
                    await self._ready.wait()
            except TimeoutError as error:
                raise self.not_ready() from error
        assert self._client is not None
        return self._client

    def not_ready(self) -> ServiceError:
        """The error for a request that meets no engine."""
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
        """A new engine that has answered a canary, or ``None``."""
        started = time.monotonic()
        try:
            client = await EngineClient.start(self._name, self._settings)
        except ServiceError:
            return None  # it was logged, with the exit code
        try:
            await self._try_canary(client)
        except ServiceError as error:
            logger().error("canary failed", reason=error.reason.value, message=error.message)
            await client.kill()
            return None
        except BaseException:
            await client.kill()
            raise
        logger().info("serving", load_s=round(time.monotonic() - started, 2), pid=client.pid)
        return client

    async def _serve(self, client: EngineClient) -> None:
        """Let requests in until the engine is lost."""
        self.card = client.card
        self._client = client
        self._ready.set()
        # Called before the requests that were lost with it wake up those that wait behind them.
        client.ended.add_done_callback(lambda _: self._ready.clear())
        try:
            await self._on_state(True)
            await asyncio.shield(client.ended)
            await self._on_state(False)
        finally:
            self._ready.clear()
            await client.kill()

    async def _try_canary(self, client: EngineClient) -> None:
        """Ask a small question before anybody else does; any answer of the right model will do."""
        asked = split(canary(client.card).SerializeToString())
        now = time.monotonic()
        reply = await client.run(
            asked.rest,
            asked.picture,
            request_id="canary",
            digest="",  # nobody will ask about this picture again: not held
            received=now,
            deadline=now + _CANARY_S,
            lane=Lane.BULK,
        )
        answer = pb.SegmentResponse.FromString(reply.body)
        if answer.model_id != client.card.id or answer.image_size.width_px != _CANARY_SIDE_PX:
            raise ServiceError(Reason.MODEL_FAILED, "the canary was answered wrongly")


def canary(card: pb.ModelCard) -> pb.SegmentRequest:
    """The cheapest request that the model of this card answers."""
    shade = np.arange(_CANARY_SIDE_PX, dtype=np.uint8) * 3
    picture = io.BytesIO()
    Image.fromarray(np.stack([np.add.outer(shade, shade)] * 3, axis=2)).save(picture, "PNG")
    tasks = [task for value in card.tasks if (task := read_task(value))]
    middle = _CANARY_SIDE_PX / 2
    points = pb.PromptKind.PROMPT_KIND_POINT in card.prompt_kinds
    if points and Task.PROMPTED_SEGMENTATION in tasks:
        options = make_options(points=[(middle, middle)])
    else:
        options = make_options(task=tasks[0])
    return segment_request(options, image_by_bytes(picture.getvalue()))

"""The paths that X-AnyLabeling asks, behind a key and within bounds."""

from __future__ import annotations

import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from diptych import AsyncClient, DiptychError
from diptych.limits import MAX_REQUEST_BYTES

from .bodies import Room, a_text
from .clip_marks import mark, open_clip
from .clips import Clips
from .models import Models, describe
from .options import MiB, Options
from .predict import predict
from .refusals import RefusedError, refusal
from .tracks import chosen_range, events

_BODY_BYTES = MAX_REQUEST_BYTES * 4 // 3 + MiB
"""The largest picture in base64, with marks."""
_SMALL_BYTES = MiB
_AT_ONCE = 8  # largest pictures

_log = logging.getLogger("diptych.x_anylabeling")

Handler = Callable[[Request], Awaitable[Response]]


class Wire:
    """Everything that can be asked, one method for each path."""

    def __init__(self, options: Options) -> None:
        self._client = AsyncClient(options.address, timeout=options.timeout_s)
        self._models = Models(self._client)
        self._clips = Clips(options.clip_bytes)
        self._clip_body_bytes = options.clip_bytes * 4 // 3 + MiB
        self._room = Room(_AT_ONCE * _BODY_BYTES + self._clip_body_bytes)
        self._key = options.key

    def application(self) -> Starlette:
        """All paths; the client is closed at the end."""
        paths = [
            ("/health", "GET", self.health),
            ("/v1/models", "GET", self._guarded(self.models)),
            ("/v1/models/{model_id}/info", "GET", self._guarded(self.model)),
            ("/v1/predict", "POST", self._guarded(self.predict)),
            ("/v1/video/init", "POST", self._guarded(self.open_clip)),
            ("/v1/video/prompt", "POST", self._guarded(self.mark)),
            ("/v1/video/propagate/stream", "POST", self._guarded(self.follow)),
            ("/v1/video/cleanup/{clip_id}", "POST", self._guarded(self.close_clip)),
        ]
        return Starlette(
            routes=[Route(path, handler, methods=[method]) for path, method, handler in paths],
            lifespan=self._living,
        )

    @asynccontextmanager
    async def _living(self, app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await self._client.aclose()

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            try:
                self._check_key(request)
                return await handler(request)
            except (RefusedError, DiptychError) as error:
                return refusal(error)
            except ClientDisconnect:
                return Response(status_code=400)  # which nobody reads
            except Exception:
                _log.exception("%s failed", request.url.path)
                told = "internal error, see the log of diptych-x-anylabeling"
                return refusal(RefusedError(told, status=500, code="INFERENCE_ERROR"))

        return guarded

    def _check_key(self, request: Request) -> None:
        sent = request.headers.get("token", "").encode()
        if self._key and not hmac.compare_digest(sent, self._key.encode()):
            raise RefusedError(
                "the API key is not the one of this server", status=401, code="UNAUTHORIZED"
            )

    async def health(self, request: Request) -> Response:
        """Say that the process lives, and how many models were listed."""
        now = datetime.now(timezone.utc).isoformat()
        return JSONResponse(
            {"status": "healthy", "models_loaded": len(self._models), "timestamp": now}
        )

    async def models(self, request: Request) -> Response:
        """List the models."""
        return _answer(await self._models.entries())

    async def model(self, request: Request) -> Response:
        """Describe one model."""
        card = await self._models.card(request.path_params["model_id"])
        return _answer({"model_id": card.id, **describe(card)})

    async def predict(self, request: Request) -> Response:
        """Answer about a picture."""
        async with self._room.body(request, _BODY_BYTES) as body:
            return _answer(await predict(self._client, self._models, body))

    async def open_clip(self, request: Request) -> Response:
        """Hold the pictures of a clip."""
        async with self._room.body(request, self._clip_body_bytes) as body:
            return _answer(await open_clip(self._models, self._clips, body))

    async def mark(self, request: Request) -> Response:
        """Say what is to be followed."""
        async with self._room.body(request, _SMALL_BYTES) as body:
            return _answer(await mark(self._client, self._models, self._clips, body))

    async def follow(self, request: Request) -> Response:
        """Follow it; the answer is a stream of events."""
        async with self._room.body(request, _SMALL_BYTES) as body:
            clip = self._clips.get(a_text(body.get("session_id"), "session_id"))
            told = events(self._client, clip, *chosen_range(clip, body))
            return StreamingResponse(told, media_type="text/event-stream")

    async def close_clip(self, request: Request) -> Response:
        """Drop a clip."""
        self._clips.remove(request.path_params["clip_id"])
        return _answer({})


def _answer(data: dict[str, Any]) -> Response:
    return JSONResponse({"success": True, "data": data})

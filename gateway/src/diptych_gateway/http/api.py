"""What is answered at each path; the work is that of the gRPC methods."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Literal, TypedDict

import structlog
from google.protobuf.message import DecodeError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from diptych import Comparison, MaskEncoding, SegmentResult
from diptych.documents.cards import cards_document
from diptych.documents.results import comparison_document, model_document, result_document
from diptych.limits import MAX_REQUEST_BYTES
from diptych.segment import v1 as pb
from diptych.wire.cards import read_known_model
from diptych.wire.comparison import read_comparison
from diptych.wire.replies import read_result
from diptych_runtime.calls import HeldBytes, RequestBytes, log_fields
from diptych_runtime.engine.errors import Reason, ServiceError, draining, invalid
from diptych_runtime.release import RELEASE, REVISION

from .. import metrics
from ..backend.images import ImageCache, SentImage
from ..backend.registry import Registry
from ..compare.comparison import plan
from ..compare.fanout import FanOut
from ..compare.replies import compared
from ..metrics import Metrics
from ..request import Deadline, serialize
from ..settings import Settings
from ..statuses import failed
from .disconnect import unless_disconnected
from .events import ComparisonEvents
from .field_paths import outcome_with_form_paths
from .forms import COPIES, Form, announced_bytes
from .options import read_compare, read_segment
from .pictures.accept import wants_picture
from .pictures.body import is_picture, read_body
from .pictures.drawing import Drawings, check_drawable, mask_response
from .pictures.query import MASK, wanted_mask, with_query
from .problems import RefusedError

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Alive(TypedDict):
    """The process lives."""

    status: Literal["alive"]


class Ready(TypedDict):
    """At least one model answers."""

    status: Literal["ready"]
    models: list[str]
    """Those that do."""


class About(TypedDict):
    """Where gRPC is served on this host, and whether callers speak TLS."""

    grpc_port: int
    tls: bool


class Version(TypedDict):
    """Which release runs."""

    version: str
    revision: str
    """The commit that it was built from; empty where the build did not say."""
    contract: str
    """The package of the gRPC services, which gains fields and never loses one."""


class Api:
    """The handlers.

    ``draining`` says whether the server is about to stop, ``about`` how else it is reached.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        cache: ImageCache,
        figures: Metrics,
        draining: Callable[[], bool],
        about: Callable[[], About],
        bodies: RequestBytes,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._cache = cache
        self._metrics = figures
        self._draining = draining
        self._about = about
        self._bodies = bodies
        self._drawings = Drawings()

    async def models(self, request: Request) -> Response:
        """Every model with its card, in the gateway's order."""
        return _json_response([model_document(read_known_model(m)) for m in self._known()])

    async def model(self, request: Request) -> Response:
        """One model with its card."""
        model_id = request.path_params["model_id"]
        self._registry.model(model_id)
        (known,) = (known for known in self._known() if known.model_id == model_id)
        return _json_response(model_document(read_known_model(known)))

    async def cards(self, request: Request) -> Response:
        """The table that compares all models, row by row, with what they measured."""
        known = [read_known_model(model) for model in self._known()]
        reachable = [model.model_id for model in known if model.error is None]
        asked = await asyncio.gather(
            *(metrics.ask_stats(self._registry.model(model_id)) for model_id in reachable)
        )
        stats = {name: found for name, found in zip(reachable, asked, strict=True) if found}
        return _json_response(cards_document(known, stats))

    async def server(self, request: Request) -> Response:
        """Where gRPC is served on this host, and whether callers speak TLS."""
        return _json_response(self._about())

    async def version(self, request: Request) -> Response:
        """Which release runs, and the contract that it speaks."""
        contract = pb.SegmentRequest.DESCRIPTOR.file.package
        return _json_response(Version(version=RELEASE, revision=REVISION, contract=contract))

    async def segment(self, request: Request) -> Response:
        """What one model finds in a picture."""
        began_s = time.monotonic()
        picture, index = wants_picture(request), wanted_mask(request.query_params)
        form = await self._read_form(request, picture and index is None)
        options, message = await asyncio.to_thread(read_segment, form)
        deadline = Deadline.within(options.timeout_s, self._settings, since_s=began_s)
        image = SentImage(message.image, self._cache)
        found = self._segment(message, image, deadline)
        if index is not None:
            answer = _one_mask(found, index)
        elif picture:
            answer = self._drawn_result(found, image, deadline)
        else:
            answer = _in_json(found, options.mask_encoding)
        return await unless_disconnected(request.receive, answer)

    async def _segment(
        self, message: pb.SegmentRequest, image: SentImage, deadline: Deadline
    ) -> SegmentResult:
        log_fields(model=message.model_id[:100], request_bytes=message.ByteSize())
        model = self._registry.model(message.model_id)
        raw = await serialize(message)
        reply = await model.segment(raw, image, deadline)
        await image.hold_for(reply)
        return await asyncio.to_thread(_read_reply, reply, message.model_id)

    async def _drawn_result(
        self, found: Awaitable[SegmentResult], image: SentImage, deadline: Deadline
    ) -> Response:
        result = await found
        return await self._drawings.result(result, await image.file(), deadline)

    async def compare(self, request: Request) -> Response:
        """What several models find in a picture, and how far they agree."""
        picture = wants_picture(request)
        fan_out, encoding = await self._fan_out(request, picture)
        found = _compared(fan_out)
        answer = self._drawn_comparison(found, fan_out) if picture else _in_json(found, encoding)
        return await unless_disconnected(request.receive, answer)

    async def _drawn_comparison(self, found: Awaitable[Comparison], fan_out: FanOut) -> Response:
        comparison = await found
        image = SentImage(fan_out.plan.request.image, self._cache)
        return await self._drawings.comparison(comparison, await image.file(), fan_out.deadline)

    async def compare_stream(self, request: Request) -> Response:
        """The same, result by result."""
        return ComparisonEvents(*await self._fan_out(request))

    async def _fan_out(
        self, request: Request, picture: bool = False
    ) -> tuple[FanOut, MaskEncoding]:
        began_s = time.monotonic()
        if MASK in request.query_params:
            raise invalid(Reason.OPTION_INVALID, MASK, "expected where one model is asked")
        form = await self._read_form(request, picture)
        options, message = await asyncio.to_thread(read_compare, form)
        planned = plan(message, self._registry)
        log_fields(models=list(planned.model_ids), request_bytes=message.ByteSize())
        deadline = Deadline.within(options.timeout_s, self._settings, since_s=began_s)
        fan_out = FanOut(planned, self._registry, self._cache, deadline)
        return fan_out, options.mask_encoding

    async def _read_form(self, request: Request, to_draw: bool) -> Form:
        held: HeldBytes = request.state.held
        announced = announced_bytes(request, may_be_picture=is_picture(request))
        form = await self._bodies.read(
            held,
            lambda: read_body(request),
            COPIES * (MAX_REQUEST_BYTES if announced is None else announced),
            self._settings.default_deadline_s,
        )
        held.resize(COPIES * sum(map(len, form.values())))
        if to_draw:
            check_drawable(form.get("image", b""))
        return with_query(form, request.query_params)

    def close(self) -> None:
        """End what was started to answer."""
        self._drawings.close()

    async def docs(self, request: Request) -> Response:
        """The viewer of the description."""
        return RedirectResponse("docs/")

    async def healthz(self, request: Request) -> Response:
        """The process lives."""
        return _json_response(Alive(status="alive"))

    async def readyz(self, request: Request) -> Response:
        """At least one model answers."""
        if self._draining():
            raise draining()
        ready = [model.model_id for model in self._registry.models() if not model.status.code]
        if not ready:
            text = "no model can be reached: they are starting, stopping or down"
            raise ServiceError(Reason.MODEL_LOADING, text, retry_after_s=1.0)
        return _json_response(Ready(status="ready", models=ready))

    async def metrics(self, request: Request) -> Response:
        """Counters and gauges in the text format of Prometheus."""
        return Response(await self._metrics.text(), media_type=metrics.MEDIA_TYPE)

    async def nothing(self, request: Request) -> Response:
        """Whatever else is asked for below ``/api``."""
        raise RefusedError(404, f"nothing is at {request.url.path[:200]}; see /api/openapi.json")

    def _known(self) -> list[pb.KnownModel]:
        return self._registry.known_models()


async def _compared(fan_out: FanOut) -> Comparison:
    return await asyncio.to_thread(_read_comparison, await compared(fan_out))


def _read_comparison(message: pb.CompareResponse) -> Comparison:
    read = read_comparison(message)
    return replace(read, results=tuple(map(outcome_with_form_paths, read.results)))


def _read_reply(raw: bytes, model_id: str) -> SegmentResult:
    try:
        message = pb.SegmentResponse.FromString(raw)
    except DecodeError as error:
        _log.error("answer is no answer", model=model_id)
        raise failed(model_id) from error
    return read_result(message)


async def _in_json(
    found: Awaitable[SegmentResult] | Awaitable[Comparison], encoding: MaskEncoding
) -> Response:
    return await asyncio.to_thread(_document_response, await found, encoding)


def _document_response(found: SegmentResult | Comparison, encoding: MaskEncoding) -> Response:
    if isinstance(found, Comparison):
        return _json_response(comparison_document(found, encoding))
    return _json_response(result_document(found, encoding))


async def _one_mask(found: Awaitable[SegmentResult], index: int) -> Response:
    return await asyncio.to_thread(mask_response, await found, index)


def _json_response(document: Any) -> Response:
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    return Response(text, media_type="application/json")

"""A gateway between real servers: model services without a model, on ports of their own."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from diptych import Mask
from diptych.segment import v1 as pb
from diptych_gateway.server import Gateway
from diptych_gateway.settings import Endpoint, Settings
from diptych_runtime.engine import Reason, ServiceError
from diptych_runtime.grpc_server.interceptor import ErrorInterceptor
from diptych_runtime.grpc_server.server import SERVER_OPTIONS

SIZE = (60, 80)
Answer = Callable[[pb.SegmentRequest, Any], Awaitable[pb.SegmentResponse]]
Session = Callable[[AsyncIterator[Any], Any], AsyncIterator[pb.SegmentVideoResponse]]


class FakeModel(pb.SegmentServiceServicer):
    """A model service whose answers a test decides; everything around them is real."""

    def __init__(
        self,
        model_id: str,
        tasks: list[Any],
        holds_images: bool = True,
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        self.model_id = model_id
        self.credentials = credentials
        self.certificates_of_callers: list[bytes] = []
        self.tasks = tasks
        self.holds_images = holds_images
        self.images: dict[bytes, bytes] = {}
        self.requests: list[pb.SegmentRequest] = []
        self.time_left_s: list[float] = []
        self.card_calls = 0
        self.more_of_card = pb.ModelCard()
        self.running = 0
        self.boxes = [(10, 10, 30, 30)]
        self.answer: Answer = self.find
        self.session: Session | None = None
        self.sessions_begun = 0
        self.host = "127.0.0.1"
        self.port = 0
        self.options = SERVER_OPTIONS
        self.server: Any = None

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    async def start(self) -> None:
        """Serve on the port had before, or on a new one."""
        self.server = grpc.aio.server(interceptors=[ErrorInterceptor()], options=self.options)
        self.health = health.aio.HealthServicer()
        await self.health.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.server)
        pb.add_SegmentServiceServicer_to_server(self, self.server)
        self.port = (
            self.server.add_insecure_port(self.address)
            if self.credentials is None
            else self.server.add_secure_port(self.address, self.credentials)
        )
        await self.server.start()

    async def stop(self) -> None:
        if self.server:
            server, self.server = self.server, None
            await server.stop(0)

    async def Segment(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        self.time_left_s.append(context.time_remaining())
        self.certificates_of_callers += context.auth_context().get("x509_pem_cert", [])
        self.running += 1
        try:
            return await self.answer(request, context)
        finally:
            self.running -= 1

    def SegmentVideo(self, request_iterator: Any, context: Any) -> Any:
        assert self.session, "no test here opens a session with this model"
        self.sessions_begun += 1
        return self.session(request_iterator, context)

    async def GetModelCard(self, request: Any, context: Any) -> Any:
        self.card_calls += 1
        card = pb.ModelCard(id=self.model_id, tasks=self.tasks, parameter_count=self.card_calls)
        card.MergeFrom(self.more_of_card)
        return pb.GetModelCardResponse(model_card=card)

    async def GetModelStats(self, request: Any, context: Any) -> Any:
        stats = pb.GetModelStatsResponse(
            encoder_run_count=len(self.requests),
            queue_length=3,
            session_count=1,
            batch_sizes=[
                pb.BatchSize(size=size, answer_count=count)
                for size, count in ((1, 10), (3, 6), (100, 200))
            ],
            outcomes=[pb.OutcomeCount(outcome="OK", count=5)],
        )
        stats.stages.add(stage="predict", count=4).total.FromMilliseconds(1500)
        return stats

    async def find(self, request: pb.SegmentRequest, context: Any) -> pb.SegmentResponse:
        """Find a filled rectangle for each of ``boxes``."""
        if request.image.WhichOneof("source") == "encoded":
            digest = hashlib.sha256(request.image.encoded).digest()
            if self.holds_images:
                self.images[digest] = request.image.encoded
        else:
            digest = request.image.sha256
            if digest not in self.images:
                raise ServiceError(Reason.IMAGE_NOT_HELD, "image: this digest is not held")
        return pb.SegmentResponse(
            model_id=self.model_id,
            image_size=pb.ImageSize(height_px=SIZE[0], width_px=SIZE[1]),
            image_sha256=digest,
            segments=[rectangle(*box) for box in self.boxes],
        )


def rectangle(x0: int, y0: int, x1: int, y1: int) -> pb.Segment:
    mask = Mask.from_crop(np.ones((y1 - y0, x1 - x0), bool), x0, y0, SIZE)
    return pb.Segment(
        score=0.9,
        mask=pb.Mask(coco_rle=mask.to_coco()),
        box=pb.BoundingBox(x_min_px=x0, y_min_px=y0, x_max_px=x1, y_max_px=y1),
        area_px=mask.area,
    )


class Stage:
    """Starts what a test needs and stops all of it afterwards."""

    instance = pb.Task.TASK_INSTANCE_SEGMENTATION
    prompted = pb.Task.TASK_PROMPTED_SEGMENTATION
    picture = b"\x89PNG picture" * 10

    def __init__(self) -> None:
        self._models: list[FakeModel] = []
        self._channels: list[Any] = []
        self._http: list[httpx.AsyncClient] = []
        self._earlier: list[Any] = []
        self.gateway: Any = None
        """The last one that was started, as ``address`` is."""
        self.address = ""

    async def model(
        self,
        model_id: str,
        *,
        tasks: list[Any] | None = None,
        holds_images: bool = True,
        credentials: grpc.ServerCredentials | None = None,
    ) -> FakeModel:
        """A running model service that does instance segmentation unless told otherwise."""
        model = FakeModel(model_id, tasks or [self.instance], holds_images, credentials)
        self._models.append(model)
        await model.start()
        return model

    async def replicas(self, model_id: str, count: int) -> list[FakeModel]:
        """Several services of one model."""
        return [await self.model(model_id) for _ in range(count)]

    def dead_endpoint(self, model_id: str) -> Endpoint:
        """A model at an address where nothing listens."""
        return Endpoint(model_id, "127.0.0.1:1")

    async def serve(self, *models: FakeModel | Endpoint, seen: bool = True, **settings: Any) -> Any:
        """A gateway for these models, those with one id being replicas; waits until it has seen the
        cards of those that run."""
        where: dict[str, list[str]] = {}
        for model in models:
            where.setdefault(model.model_id, []).append(model.address)
        endpoints = tuple(
            Endpoint(model_id, "|".join(all_of)) for model_id, all_of in where.items()
        )
        fixed = {"port": 0, "http_port": 0, "drain_s": 0.0, **settings}
        self._earlier.append(self.gateway)
        self.gateway = Gateway(Settings(models=endpoints, **fixed))
        self.address = f"127.0.0.1:{await self.gateway.start()}"
        if seen:
            running = {m.address for m in models if isinstance(m, FakeModel) and m.server}
            await self.until(lambda: running <= self.up())
        return self.compare_stub()

    def up(self) -> set[str]:
        """Addresses of the replicas that the gateway holds for up."""
        services = self.gateway.registry.services
        return {each.address for service in services for each in service.replicas if each.is_up}

    def reachable(self) -> set[str]:
        return {k.model_id for k in self.gateway.registry.known_models() if not k.status.code}

    def channel(self, address: str, credentials: grpc.ChannelCredentials | None = None) -> Any:
        options = (
            ("grpc.max_receive_message_length", 64 * 1024 * 1024),
            ("grpc.max_send_message_length", 64 * 1024 * 1024),
        )
        channel = (
            grpc.aio.insecure_channel(address, options=options)
            if credentials is None
            else grpc.aio.secure_channel(address, credentials, options=options)
        )
        self._channels.append(channel)
        return channel

    def compare_stub(self) -> Any:
        return pb.GatewayServiceStub(self.channel(self.address))

    def segment_stub(self, address: str = "") -> Any:
        return pb.SegmentServiceStub(self.channel(address or self.address))

    def http(self, **options: Any) -> httpx.AsyncClient:
        """A client of the gateway's HTTP server."""
        scheme = "https" if "verify" in options else "http"
        base_url = f"{scheme}://127.0.0.1:{self.gateway.http_port}"
        options.setdefault("verify", False)  # or each client reads the authorities of the world
        client = httpx.AsyncClient(base_url=base_url, timeout=60, trust_env=False, **options)
        self._http.append(client)
        return client

    def form(self, **options: Any) -> dict[str, Any]:
        """A form with the picture as a file and JSON options, as ``post`` takes it."""
        return {
            "files": {"image": ("p.png", self.picture, "image/png")},
            "data": {"options": json.dumps(options)},
        }

    def request(self, **fields: Any) -> pb.SegmentRequest:
        """A request that every model here answers."""
        fields.setdefault("task", self.instance)
        fields.setdefault("image", pb.Image(encoded=self.picture))
        return pb.SegmentRequest(**fields)

    async def until(self, happened: Callable[[], bool]) -> None:
        """Wait for something that has to happen; the test's own time limit says when it has not."""
        while not happened():
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()
        for client in self._http:
            await client.aclose()
        for gateway in (self.gateway, *self._earlier):
            if gateway:
                await gateway.stop()
        for model in self._models:
            await model.stop()


class Hurried:
    """What uvicorn takes for asyncio, so that it ends within milliseconds."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    # Nobody watches health when a test ends; the drain of the process test keeps its notice.
    monkeypatch.setattr("diptych_runtime.grpc_server.server.NOTICE_S", 0.0)
    # uvicorn looks ten times a second whether it is to end.
    monkeypatch.setattr("uvicorn.server.asyncio", Hurried())
    stage = Stage()
    yield stage
    await stage.close()


@pytest.fixture
def open_model(stage: Any) -> Any:
    """Serves a model with these sessions behind a gateway; returns it and a stub of the latter."""

    async def make(session: Session, **settings: Any) -> tuple[Any, Any]:
        model = await stage.model("one")
        model.sessions = 0

        async def counted(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
            model.sessions += 1
            model.running += 1
            try:
                async for reply in session(requests, context):
                    yield reply
            finally:
                model.running -= 1

        # The server has taken the servicer's own method, so the behaviour is looked up by call.
        await model.stop()
        model.SegmentVideo = counted
        await model.start()
        await stage.serve(model, **settings)
        return model, stage.segment_stub()

    return make


@pytest.fixture
def reason_of() -> Callable[[status_pb2.Status], str]:
    """Reads ``ErrorInfo.reason`` of a status."""

    def read(status: status_pb2.Status) -> str:
        info = error_details_pb2.ErrorInfo()
        found = [detail for detail in status.details if detail.Unpack(info)]
        return str(info.reason) if found else ""

    return read

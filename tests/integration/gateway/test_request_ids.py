"""One request has one id: in headers, bodies, error details and the logs of all processes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import pytest_asyncio
from fake_engine import RAISE
from processes import ServiceProcess, service_process
from serving_helpers import error_info, picture, png, point_request
from socket_talk import socket_talk
from websockets.exceptions import InvalidStatus

from diptych import Client, ServerError
from diptych.segment import v1 as pb
from diptych_gateway.backend.channels import OWN_ID
from diptych_gateway.settings import Pair

GATEWAY = "import sys; from diptych_gateway.__main__ import main; sys.exit(main([]))"
OWN = re.compile(r"[0-9a-f]{16}")
TRACE = (
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("tracestate", "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"),
)


@dataclass
class Chain:
    """A gateway before a service of two processes, all as users start them."""

    gateway: ServiceProcess
    service: ServiceProcess
    grpc_address: str
    http_url: str

    async def logged(self, chosen: str) -> dict[str, list[dict[str, object]]]:
        """Lines about a request, by who wrote them, once all three have."""
        async with asyncio.timeout(30):
            while not all((found := self._lines(chosen)).values()):
                await asyncio.sleep(0.02)
        return found

    def _lines(self, chosen: str) -> dict[str, list[dict[str, object]]]:
        service = self.service.lines_with(request_id=chosen)
        return {
            "gateway": self.gateway.lines_with(request_id=chosen),
            "front": [line for line in service if line.get("service") == "fake"],
            "engine": [line for line in service if line.get("process") == "engine"],
        }


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def chain() -> AsyncIterator[Chain]:
    async with AsyncExitStack() as stack:
        logged = {"DIPTYCH_LOG_LEVEL": "debug"}
        service = await stack.enter_async_context(service_process(**logged))
        await service.event("serving")
        gateway = await stack.enter_async_context(
            service_process(
                program=GATEWAY,
                DIPTYCH_MODELS=f"fake=127.0.0.1:{await service.port()}",
                DIPTYCH_CASCADES="",
                DIPTYCH_HTTP_PORT="0",
                **logged,
            )
        )
        ports = await gateway.event("serving")
        await gateway.event("model found")
        address, url = f"127.0.0.1:{ports['port']}", f"http://127.0.0.1:{ports['http_port']}"
        yield Chain(gateway, service, address, url)


def form(pixels: np.ndarray) -> dict[str, Any]:
    return {
        "files": {"image": ("p.png", png(pixels), "image/png")},
        "data": {"options": '{"model": "fake", "prompts": [{"points": [[10, 10]]}]}'},
    }


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("chosen", ["", "from-the-caller.1"])
async def test_over_http(chain: Chain, chosen: str) -> None:
    headers = {"x-request-id": chosen} if chosen else {}
    async with httpx.AsyncClient(base_url=chain.http_url, timeout=60, trust_env=False) as client:
        good = await client.post("/api/segment", headers=headers, **form(picture()))
        assert good.status_code == 200
        seen = good.headers.get_list("x-request-id")
        assert seen == ([chosen] if chosen else [good.json()["request_id"]])
        assert good.json()["request_id"] == seen[0]
        lines = await chain.logged(seen[0])
        assert [line["event"] for line in lines["gateway"]] == ["request"]
        assert [line["event"] for line in lines["front"]] == ["request"]
        assert [line["event"] for line in lines["engine"]] == ["request answered"]

        headers = {"x-request-id": f"{chosen}-bad"} if chosen else {}
        bad = await client.post("/api/segment", headers=headers, **form(picture(RAISE)))
        assert bad.status_code == 500
        problem = bad.json()
        (named,) = bad.headers.get_list("x-request-id")
        assert named == f"{chosen}-bad" if chosen else OWN.fullmatch(named)
        assert problem["request_id"] == named
        assert problem["detail"] == f"internal error {named}"
        assert named != seen[0]
        lines = await chain.logged(named)
        assert "request failed" in [line["event"] for line in lines["engine"]]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("chosen", ["", "from-the-caller.2"])
async def test_over_grpc(chain: Chain, chosen: str) -> None:
    metadata = (("x-request-id", chosen),) if chosen else ()
    async with grpc.aio.insecure_channel(chain.grpc_address) as channel:
        stub = pb.SegmentServiceStub(channel)

        def ask(pixels: np.ndarray) -> Any:
            request = point_request(png(pixels))
            request.model_id = "fake"
            return stub.Segment(request, metadata=metadata, timeout=60)

        reply = await ask(picture())
        assert reply.request_id == chosen if chosen else OWN.fullmatch(reply.request_id)
        lines = await chain.logged(reply.request_id)
        assert [line["event"] for line in lines["engine"]] == ["request answered"]

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(picture(RAISE))
        found = trailing(caught.value.trailing_metadata(), "x-request-id")
        assert len(found) == 1
        assert error_info(caught.value).metadata["requestId"] == found[0] == (chosen or found[0])
        lines = await chain.logged(found[0])
        assert "request failed" in [line["event"] for line in lines["engine"]]


@pytest.mark.asyncio(loop_scope="module")
async def test_the_client_has_the_id_that_the_logs_have(chain: Chain) -> None:
    def ask(pixels: np.ndarray) -> str:
        with Client(chain.grpc_address) as client:
            return client.segment(png(pixels), model="fake", points=[(10, 10)]).request_id

    answered = await asyncio.to_thread(ask, picture())
    assert OWN.fullmatch(answered)
    assert await chain.logged(answered)
    with pytest.raises(ServerError) as caught:
        await asyncio.to_thread(ask, picture(RAISE))
    assert await chain.logged(caught.value.request_id)


def trailing(metadata: Any, key: str) -> list[str]:
    return [value for name, value in metadata or () if name == key]


class Spied:
    """Metadata of the calls that came to a model."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, str]]] = []

    def on(self, model: Any) -> None:
        """Note each call of a model before it is answered; the model is started again."""
        for name in ("Segment", "GetModelCard", "GetModelStats"):
            setattr(model, name, self._noting(name, getattr(model, name)))

    def _noting(self, name: str, answer: Callable[..., Any]) -> Callable[..., Any]:
        async def noting(request: Any, context: Any) -> Any:
            self.note(name, context)
            return await answer(request, context)

        return noting

    def note(self, name: str, context: Any) -> None:
        metadata = context.invocation_metadata()
        wanted = ("x-request-id", "traceparent", "tracestate")
        self.calls.append((name, {key: value for key, value in metadata if key in wanted}))

    def of(self, name: str) -> list[dict[str, str]]:
        return [metadata for called, metadata in self.calls if called == name]


async def spied_model(stage: Any, spied: Spied, model_id: str, **options: Any) -> Any:
    model = await stage.model(model_id, **options)
    await model.stop()
    spied.on(model)
    await model.start()
    return model


@pytest.mark.parametrize("method", ["Segment", "GetModelCard", "GetModelStats"])
async def test_every_unary_call_carries_id_and_trace(stage: Any, method: str) -> None:
    spied = Spied()
    model = await spied_model(stage, spied, "one")
    await stage.serve(model)
    spied.calls.clear()
    stub = stage.segment_stub()
    request = {
        "Segment": stage.request(model_id="one"),
        "GetModelCard": pb.GetModelCardRequest(model_id="one"),
        "GetModelStats": pb.GetModelStatsRequest(model_id="one"),
    }[method]
    metadata = (("x-request-id", "mine"), *TRACE)
    await getattr(stub, method)(request, metadata=metadata, timeout=20)
    assert spied.of(method) == [{"x-request-id": "mine", **dict(TRACE)}]


async def test_a_card_that_nobody_asked_for_has_the_id_of_the_gateway(stage: Any) -> None:
    spied = Spied()
    await stage.serve(await spied_model(stage, spied, "one"))
    assert spied.of("GetModelCard")[0] == {"x-request-id": OWN_ID}


async def test_what_is_no_id_is_replaced(stage: Any) -> None:
    spied = Spied()
    await stage.serve(await spied_model(stage, spied, "one"))
    stub = stage.segment_stub()
    for given in ([("x-request-id", "no id!")], [("x-request-id", "a"), ("x-request-id", "b")]):
        await stub.Segment(stage.request(model_id="one"), metadata=given, timeout=20)
        own = spied.of("Segment")[-1]["x-request-id"]
        assert OWN.fullmatch(own)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Segment(stage.request(model_id="none"), metadata=given, timeout=20)
        (other,) = trailing(caught.value.trailing_metadata(), "x-request-id")
        assert OWN.fullmatch(other)
        assert other != own
    http = await stage.http().post(
        "/api/segment", headers={"x-request-id": "a b"}, **stage.form(model="one")
    )
    assert OWN.fullmatch(http.headers["x-request-id"])
    assert spied.of("Segment")[-1]["x-request-id"] == http.headers["x-request-id"]


async def test_all_models_of_a_comparison_share_the_id(stage: Any) -> None:
    spied = Spied()
    models = [await spied_model(stage, spied, name) for name in ("one", "two")]
    stub = await stage.serve(*models)
    headers = {"x-request-id": "both", **dict(TRACE)}
    request = pb.CompareRequest(request=stage.request(), model_ids=["one", "two"])
    await stub.Compare(request, metadata=tuple(headers.items()), timeout=20)
    assert spied.of("Segment") == [headers, headers]
    reply = await stage.http().post("/api/compare", headers=headers, **stage.form())
    assert reply.status_code == 200
    assert spied.of("Segment")[2:] == [headers, headers]


async def test_both_models_of_a_cascade_share_the_id(stage: Any) -> None:
    spied = Spied()
    detector = await spied_model(stage, spied, "finder")
    segmenter = await spied_model(stage, spied, "drawer", tasks=[stage.prompted])
    detector.more_of_card.categories.add(id=7, name="thing")
    segmenter.more_of_card.prompt_kinds.append(pb.PromptKind.PROMPT_KIND_BOX)
    segmenter.more_of_card.limits.max_prompts = 8

    async def draw(request: Any, context: Any) -> Any:
        reply = await segmenter.find(request, context)
        del reply.segments[1:]
        reply.segments[0].prompt_index = 0
        return reply

    segmenter.answer = draw
    await stage.serve(detector, segmenter, cascades=(Pair("finder", "drawer"),))
    headers = {"x-request-id": "pair", **dict(TRACE)}
    reply = await stage.segment_stub().Segment(
        stage.request(model_id="finder-drawer"), metadata=tuple(headers.items()), timeout=20
    )
    assert reply.request_id == "pair"
    asked = spied.of("Segment")
    assert len(asked) >= 2
    assert all(metadata == headers for metadata in asked)


async def test_a_session_carries_id_and_trace(open_model: Any, stage: Any) -> None:
    spied = Spied()

    async def session(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        spied.note("SegmentVideo", context)
        async for request in requests:
            yield pb.SegmentVideoResponse(in_reply_to_seq=request.seq, ack=pb.VideoAck())

    _, stub = await open_model(session)
    headers = {"x-request-id": "film", **dict(TRACE)}
    start = pb.SegmentVideoRequest(seq=1, start=pb.VideoStart(model_id="one"))
    call = stub.SegmentVideo(iter([start]), metadata=tuple(headers.items()), timeout=20)
    assert [reply.in_reply_to_seq async for reply in call] == [1]
    async with socket_talk(stage.gateway.http_port, additional_headers=headers) as talk:
        await talk.start()
        assert talk.socket.response.headers["x-request-id"] == "film"
    assert spied.of("SegmentVideo") == [headers, headers]


async def test_a_refused_handshake_names_its_request(open_model: Any, stage: Any) -> None:
    async def session(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        raise AssertionError("nobody gets here")
        yield

    await open_model(session)
    headers = {"origin": "https://elsewhere.example", "x-request-id": "page"}
    with pytest.raises(InvalidStatus) as caught:
        async with socket_talk(stage.gateway.http_port, additional_headers=headers):
            pass
    assert caught.value.response.headers["x-request-id"] == "page"


async def test_an_error_of_the_gateway_itself_carries_the_id(stage: Any) -> None:
    await stage.serve(stage.dead_endpoint("one"), seen=False)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stage.segment_stub().Segment(
            stage.request(model_id="none"), metadata=(("x-request-id", "lost"),), timeout=20
        )
    assert error_info(caught.value).metadata["requestId"] == "lost"
    assert trailing(caught.value.trailing_metadata(), "x-request-id") == ["lost"]
    reply = await stage.http().post(
        "/api/segment", headers={"x-request-id": "lost2"}, **stage.form(model="none")
    )
    assert reply.json()["request_id"] == reply.headers["x-request-id"] == "lost2"

"""Behind nginx and HAProxy, under a prefix: refusals, page, events, WebSockets, gRPC, videos."""

from __future__ import annotations

import io
import json
import ssl
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from websockets.asyncio.client import connect

import diptych
from diptych import ChannelOptions, DiptychError, SessionLostError
from diptych.testing import FakeSegmentService

MiB = 1024 * 1024
TIMES = 20
ALL, READ_ONLY = "diptych_for-everything", "diptych_only-read"
FORM = {"Content-Type": "multipart/form-data; boundary=part"}
PART = b"--part\r\nContent-Disposition: form-data; name=%s\r\n\r\n"
UNKNOWN_PART = PART % b"picture" + bytes(8 * MiB)
BIG = bytes(16 * MiB)
MAY = {"Authorization": f"Bearer {ALL}"}
MAY_READ = {"Authorization": f"Bearer {READ_ONLY}"}
REFUSALS: dict[str, tuple[int, str, str, dict[str, str], bytes]] = {
    "no token": (401, "TOKEN_MISSING", "POST /api/segment", FORM, BIG),
    "no right": (403, "TOKEN_SCOPE", "POST /api/compare", {**FORM, **MAY_READ}, BIG),
    "no path": (404, "", "POST /api/nothing", {**FORM, **MAY}, BIG),
    "no file": (405, "", "POST /nothing.html", FORM, BIG),
    "method": (405, "", "PUT /api/segment", {**FORM, **MAY}, BIG),
    "too large": (413, "", "POST /api/segment", {**FORM, **MAY}, bytes(48 * MiB)),
    "no form": (415, "", "POST /api/compare/stream", MAY, BIG),
    "no room": (429, "QUEUE_FULL", "POST /api/segment", {**FORM, **MAY}, bytes(30 * MiB)),
    "a part": (400, "OPTION_INVALID", "POST /api/compare", {**FORM, **MAY}, UNKNOWN_PART),
}
BY_MODEL = {
    "QUEUE_FULL": 429,
    "DEVICE_MEMORY": 503,
    "ENGINE_LOST": 503,
    "DEADLINE": 504,
    "IMAGE_TOO_LARGE": 413,
    "TASK_UNSUPPORTED": 422,
    "MODEL_FAILED": 500,
}


def picture(side: int = 40) -> bytes:
    noise = np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def trust(behind: Any) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(behind.pki.path("ca.crt")))


def http(trust: ssl.SSLContext) -> httpx.AsyncClient:
    return httpx.AsyncClient(verify=trust, timeout=60, trust_env=False)


@pytest.mark.parametrize("kind", REFUSALS)
async def test_refusals_of_the_gateway_arrive(
    behind: Any, trust: ssl.SSLContext, kind: str
) -> None:
    status, reason, line, headers, body = REFUSALS[kind]
    method, path = line.split()
    async with http(trust) as client:
        got = []
        for _ in range(TIMES):
            answer = await client.request(method, behind.url(path), headers=headers, content=body)
            assert answer.headers["content-type"] == "application/problem+json", answer.text
            got.append((answer.status_code, answer.json()["status"], answer.json()["reason"]))
    assert got == [(status, status, reason)] * TIMES


@pytest.mark.parametrize("reason", BY_MODEL)
async def test_refusals_of_a_model_arrive(
    behind: Any, told: FakeSegmentService, trust: ssl.SSLContext, reason: str
) -> None:
    told.fail(reason, retry_after_s=2)
    form = {"files": {"image": picture()}, "data": {"options": '{"model": "one"}'}}
    async with http(trust) as client:
        for _ in range(TIMES):
            answer = await client.post(behind.url("/api/segment"), headers=MAY, **form)
            assert (answer.status_code, answer.json()["reason"]) == (BY_MODEL[reason], reason)
            assert answer.headers["retry-after"] == "2"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("AuthenticationError", "TOKEN_MISSING"),
        ("AuthenticationError", "TOKEN_SCOPE"),
        ("ModelNotFoundError", "MODEL_UNKNOWN"),
        ("MessageTooLargeError", ""),
        *(("", reason) for reason in BY_MODEL),
    ],
)
def test_refusals_arrive_over_grpc(
    behind: Any, told: FakeSegmentService, kind: str, reason: str
) -> None:
    token = {"TOKEN_MISSING": None, "TOKEN_SCOPE": READ_ONLY}.get(reason, ALL)
    model = "two" if reason == "MODEL_UNKNOWN" else "one"
    if not kind:
        # As long as messages and details may be: more than proxies take by themselves.
        told.fail(reason, "why" * 300, violations=[diptych.Violation("a" * 150, "b" * 250)] * 12)
    data = bytes(40 * MiB) if reason == "" else picture(800)
    if behind.name == "haproxy" and reason.startswith("TOKEN"):
        # 2.6 takes the end of a call whose body is still coming for a failure.
        data = picture()
    options = ChannelOptions(max_request_bytes=64 * MiB)
    with behind.client(token=token, options=options) as client:
        for _ in range(TIMES):
            with pytest.raises(DiptychError) as caught:
                client.segment(data, model=model)
            assert caught.value.reason == reason, caught.value
            assert not kind or type(caught.value).__name__ == kind
            assert kind or len(caught.value.violations) > 5


async def test_page_and_events_under_a_prefix(
    behind: Any, told: FakeSegmentService, trust: ssl.SSLContext
) -> None:
    async with http(trust) as client:
        page = await client.get(behind.url("/"))
        assert page.headers["content-type"].startswith("text/html")
        for path in ("/style.css", "/api/docs/", "/api/openapi.json", "/readyz"):
            assert (await client.get(behind.url(path))).status_code == 200, path
        bare = await client.get(behind.url(""))
        assert bare.headers["location"].endswith("/diptych/")
        form = {"files": {"image": picture()}}
        asked = client.stream("POST", behind.url("/api/compare/stream"), headers=MAY, **form)
        async with asked as answer:
            assert answer.status_code == 200
            names = [line async for line in answer.aiter_lines() if line.startswith("event: ")]
    assert names == ["event: outcome", "event: agreements"]


async def test_a_video_over_a_websocket_under_a_prefix(
    behind: Any, told: FakeSegmentService, trust: ssl.SSLContext
) -> None:
    async with connect(behind.url("/api/video", "wss"), ssl=trust, proxy=None) as opened:

        async def ask(message: str | bytes) -> str:
            await opened.send(message)
            return str(json.loads(await opened.recv())["event"])

        assert await ask(json.dumps({"event": "start", "model": "one", "token": ALL})) == "started"
        for index in range(3):
            assert await ask(index.to_bytes(8) + picture()) == "frame"
        await opened.send('{"event": "end"}')
        await opened.wait_closed()
        assert opened.close_code == 1000
    async with connect(behind.url("/api/video", "wss"), ssl=trust, proxy=None) as refused:
        await refused.send('{"event": "start", "model": "one"}')
        failed = json.loads(await refused.recv())
        assert failed["problem"]["reason"] == "TOKEN_MISSING"
        await refused.wait_closed()
        assert refused.close_code == 4401


def test_calls_of_grpc_pass(behind: Any, told: FakeSegmentService) -> None:
    with behind.client() as client:
        assert client.health() is diptych.ServingStatus.SERVING
        assert client.segment(picture(2000), model="one").segments
        assert len(client.compare(picture()).results) == 1
        assert len(list(client.stream_compare(picture()))) == 2
        with client.video(model="one") as session:
            for _ in range(3):
                session.send(np.zeros((40, 40, 3), np.uint8))
                next(session)


@pytest.mark.parametrize("how", ["it stops", "it waits too little"])
def test_a_session_that_a_proxy_ends_can_go_on(
    behind: Any, told: FakeSegmentService, how: str
) -> None:
    changes = {"620s": "1s"} if how == "it waits too little" else {}

    def follow(client: diptych.Client, process: Any) -> None:
        with client.video(model="one", auto_resume=False) as session:
            session.send(np.zeros((40, 40, 3), np.uint8))
            session.prompt(1, points=[(5, 5)])
            next(session)
            next(session)
            if not changes:
                process.terminate()
            next(session)

    with (
        behind.running(**changes) as (address, process),
        behind.client(address) as client,
        pytest.raises(SessionLostError) as caught,
    ):
        follow(client, process)
    assert caught.value.checkpoint is not None
    assert caught.value.checkpoint.frames


@pytest.mark.parametrize("kind", ["slow", "small", "gone"])
def test_what_a_proxy_answers_itself_has_the_right_exception(
    behind: Any, told: FakeSegmentService, kind: str
) -> None:
    if kind == "small" and behind.name == "haproxy":
        return  # it has no such limit
    there = f"127.0.0.1:{behind.ports['grpc']}"
    changes = {
        "slow": {"620s": "1s"},
        "small": {"client_max_body_size 0": "client_max_body_size 1m"},
        "gone": {there: "127.0.0.1:1"},
    }[kind]
    told.delay_s = 3.0 if kind == "slow" else 0.0
    with (
        behind.running(**changes) as (address, _),
        behind.client(address) as client,
        pytest.raises(DiptychError) as caught,
    ):
        client.segment(picture(800), model="one")
    wanted = {
        "slow": diptych.DeadlineExceededError,
        "small": diptych.MessageTooLargeError,
        "gone": diptych.UnavailableError,
    }[kind]
    assert type(caught.value) is wanted
    assert f"{address}: a proxy or web server answered" in str(caught.value)


def test_encryption_and_names_are_told(behind: Any) -> None:
    plain = diptych.Client(behind.address)
    with plain, pytest.raises(diptych.UnavailableError, match="TLS"):
        plain.health()
    tls = diptych.TlsOptions(ca=behind.pki.path("ca.crt"), server_name="other.example")
    other = diptych.Client(behind.address, tls=tls)
    with other, pytest.raises(diptych.UnavailableError, match="another name than other"):
        other.health()

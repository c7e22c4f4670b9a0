"""Video over a WebSocket: what is said, who may, every end, and that nothing is read ahead."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_page import grey_picture
from prometheus_client.parser import text_string_to_metric_families
from serving_helpers import eventually, running_service
from socket_talk import socket_talk
from websockets.exceptions import ConnectionClosed, InvalidStatus

from diptych import Mask
from diptych.limits import MAX_REQUEST_BYTES
from diptych.segment import v1 as pb
from diptych_gateway.http.video_socket import MAX_START_BYTES, VideoSockets
from diptych_gateway.security.tokens import Scope
from diptych_gateway.settings import Endpoint

MiB = 1024 * 1024
PICTURE = grey_picture()
SECRET, READER, EXPIRED = "diptych_video", "diptych_reader", "diptych_expired"


async def echo(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
    """Start, then acknowledge each message."""
    async for request in requests:
        answer = pb.SegmentVideoResponse(in_reply_to_seq=request.seq, ack=pb.VideoAck())
        if request.WhichOneof("event") == "start":
            answer.started.max_frames_in_flight = 2
        yield answer


@pytest.fixture
async def engine(stage: Any) -> AsyncIterator[int]:
    """The port of a gateway before a model service of two processes with the fake engine."""
    async with running_service("fake_video:create", held_frames=3) as service:
        await stage.serve(Endpoint("fake", f"127.0.0.1:{service.port}"), seen=False)
        await stage.until(lambda: stage.reachable() == {"fake"})
        yield stage.gateway.http_port


@pytest.fixture
async def secured(open_model: Any, stage: Any, tmp_path: Path) -> int:
    """The port of a gateway that wants tokens."""

    def entry(name: str, secret: str, rest: str = "") -> str:
        digest = hashlib.sha256(secret.encode()).hexdigest()
        return f'[tokens.{name}]\nsha256 = "{digest}"\n{rest}\n'

    file = tmp_path / "tokens.toml"
    file.write_text(
        entry("video", SECRET, 'scopes = ["video"]')
        + entry("reader", READER, 'scopes = ["read", "segment"]')
        + entry("expired", EXPIRED, "expires = 2020-01-01T00:00:00Z")
    )
    await open_model(echo, tokens_file=file)
    port: int = stage.gateway.http_port
    return port


async def test_a_session_from_start_to_end(engine: int) -> None:
    async with socket_talk(engine) as talk:
        started = await talk.start("fake")
        assert (started["event"], started["in_reply_to"]) == ("started", 1)
        assert started["limits"]["held_frames"] == 3
        assert started["limits"]["max_frames_in_flight"] >= 1
        assert started["provenance"]
        await talk.frame(5, PICTURE)
        first = await talk.read()
        assert (first["event"], first["in_reply_to"]) == ("frame", 2)
        assert (first["frame_index"], first["revision"], first["objects"]) == (5, 0, [])
        assert first["image_size"] == {"height": 60, "width": 80}
        await talk.say("prompt", object_id=1, frame_index=5, points=[[20, 20], [70, 50, False]])
        prompted = await talk.read()
        assert (prompted["in_reply_to"], prompted["frame_index"], prompted["revision"]) == (3, 5, 1)
        (found,) = prompted["objects"]
        assert found["object_id"] == 1
        mask = Mask.from_coco(found["segmentation"]["counts"], found["segmentation"]["size"])
        assert mask.to_array()[20, 20]
        assert not mask.to_array()[50, 70]
        await talk.frame(9, PICTURE)
        assert (await talk.read())["objects"] == [found]
        await talk.say("removal", object_id=1)
        assert await talk.read() == {"event": "done", "in_reply_to": 5}
        await talk.frame(10, PICTURE)
        await talk.say("end")
        answers, code = await talk.end()
        assert [(a["event"], a["frame_index"]) for a in answers] == [("frame", 10)]
        assert code == 1000


@pytest.mark.parametrize("kind", ["box", "mask"])
async def test_a_prompt_may_be_a_box_or_a_mask(engine: int, kind: str) -> None:
    mask = Mask.from_crop(np.ones((20, 20), bool), 10, 10, (60, 80))
    rle = {"size": list(mask.size), "counts": mask.to_coco().decode()}
    prompt: dict[str, Any] = {"box": [10, 10, 30, 40]} if kind == "box" else {"mask": rle}
    async with socket_talk(engine) as talk:
        await talk.start("fake")
        await talk.frame(0, PICTURE)
        await talk.read()
        await talk.say("prompt", object_id=7, frame_index=0, **prompt)
        assert [found["object_id"] for found in (await talk.read())["objects"]] == [7]


async def test_a_background_point_alone_corrects_an_object(engine: int) -> None:
    off = [[70, 50, False]]
    async with socket_talk(engine) as talk:
        await talk.start("fake")
        await talk.frame(0, PICTURE)
        await talk.read()
        await talk.say("prompt", object_id=7, frame_index=0, points=off)
        refused = await talk.read()
        assert (refused["event"], refused["problem"]["reason"]) == ("refused", "PROMPT_INVALID")
        assert "object 7 has no answer on frame 0" in refused["problem"]["detail"]
        await talk.say("prompt", object_id=7, frame_index=0, box=[10, 10, 30, 40])
        assert (await talk.read())["objects"][0]["area"] == 600
        await talk.say("prompt", object_id=7, frame_index=0, points=off)
        assert (await talk.read())["objects"][0]["area"] == 300


@pytest.mark.parametrize("encoding", ["coco-rle", "png", "polygons", "none"])
async def test_masks_come_in_the_encoding_of_the_start(engine: int, encoding: str) -> None:
    expected = Mask.from_crop(np.ones((30, 20), bool), 10, 10, (60, 80))
    async with socket_talk(engine) as talk:
        await talk.start("fake", output={"mask_encoding": encoding})
        await talk.frame(0, PICTURE)
        await talk.read()
        png = {"png": base64.b64encode(expected.to_png()).decode()}
        await talk.say("prompt", object_id=1, frame_index=0, mask=png)
        (found,) = (await talk.read())["objects"]
        drawn = found["segmentation"]
        if encoding == "coco-rle":
            assert Mask.from_coco(drawn["counts"], drawn["size"]) == expected
        elif encoding == "png":
            assert Mask.from_png(base64.b64decode(drawn["png"])) == expected
        elif encoding == "polygons":
            assert Mask.from_polygons(drawn, (60, 80)) == expected
        else:
            assert drawn is None
        assert found["area"] == 600


async def test_a_refused_message_leaves_no_trace_and_the_session_goes_on(engine: int) -> None:
    async with socket_talk(engine) as talk:
        await talk.start("fake")
        await talk.frame(3, PICTURE)
        await talk.read()

        async def refused(frame_index: int | None = None) -> tuple[int, str, int]:
            answer = await talk.read()
            assert answer["event"] == "refused"
            assert answer["frame_index"] == frame_index
            problem = answer["problem"]
            return answer["in_reply_to"], problem["reason"], problem["status"]

        await talk.frame(3, PICTURE)
        assert await refused(3) == (3, "SESSION_ORDER", 409)
        await talk.frame(4, b"no picture")
        assert await refused(4) == (4, "IMAGE_UNREADABLE", 400)
        await talk.say("prompt", object_id=1, frame_index=99, box=[1, 1, 9, 9])
        assert await refused(99) == (5, "FRAME_NOT_HELD", 409)
        await talk.say("prompt", object_id=1, frame_index=3, points=[["left", 2]])
        assert await refused() == (6, "PROMPT_INVALID", 400)
        await talk.say("removal", object_id=2**40)
        assert await refused() == (7, "OPTION_INVALID", 400)
        await talk.say("dance")
        assert await refused() == (8, "OPTION_INVALID", 400)
        await talk.say("start", model="fake")
        assert await refused() == (9, "SESSION_ORDER", 409)
        await talk.socket.send("[" * 100_000)
        assert await refused() == (10, "OPTION_INVALID", 400)
        await talk.socket.send('{"event": "prompt", "points": [' + "[1]," * 200_000 + "[1]]}")
        assert await refused() == (11, "OPTION_INVALID", 400)
        await talk.socket.send(b"short")
        assert await refused() == (12, "OPTION_INVALID", 400)
        await talk.frame(4, PICTURE)
        assert (await talk.read())["frame_index"] == 4


async def test_a_refusal_names_the_field(engine: int) -> None:
    async with socket_talk(engine) as talk:
        await talk.start("fake")
        await talk.say("prompt", object_id=1, frame_index=0, points=[[1, 2], [3]])
        problem = (await talk.read())["problem"]
        assert [violation["field"] for violation in problem["violations"]] == ["points[1]"]
        assert problem["request_id"]


@pytest.mark.parametrize(
    ("first", "reason", "status"),
    [
        ('{"event": "start", "model": "two"}', "MODEL_UNKNOWN", 404),
        ('{"event": "start"}', "OPTION_INVALID", 400),
        ('{"event": "start", "model": "one", "colour": 1}', "OPTION_INVALID", 400),
        ('{"event": "start", "model": "one", "timeout_s": 0.001}', "DEADLINE", 504),
        ('{"event": "end"}', "OPTION_INVALID", 400),
        ("hello", "OPTION_INVALID", 400),
        (bytes(8) + PICTURE, "SESSION_ORDER", 409),
        (" " * MAX_START_BYTES + '{"event": "start", "model": "one"}', "", 413),
    ],
)
async def test_a_session_starts_with_a_known_model(
    stage: Any, open_model: Any, first: str | bytes, reason: str, status: int
) -> None:
    model, _ = await open_model(echo)
    async with socket_talk(stage.gateway.http_port) as talk:
        await talk.socket.send(first)
        assert await talk.failure() == (reason, status, 4000 + status)
    assert model.sessions == 0


async def test_a_session_that_never_starts_ends(stage: Any, open_model: Any) -> None:
    await open_model(echo, default_deadline_s=0.3)
    async with socket_talk(stage.gateway.http_port) as talk:
        assert await talk.failure() == ("SESSION_EXPIRED", 410, 4410)


@pytest.mark.parametrize(
    ("token", "reason", "status"),
    [
        ("", "TOKEN_MISSING", 401),
        ("diptych_unknown", "TOKEN_INVALID", 401),
        (EXPIRED, "TOKEN_INVALID", 401),
        (READER, "TOKEN_SCOPE", 403),
    ],
)
async def test_without_the_right_token_nobody_starts(
    secured: int, stage: Any, token: str, reason: str, status: int
) -> None:
    async with socket_talk(secured) as talk:
        await talk.say("start", model="one", token=token)
        assert await talk.failure() == (reason, status, 4000 + status)
    assert stage.gateway.registry.model("one").in_flight == 0


async def test_a_token_comes_in_the_first_message_or_the_header(secured: int) -> None:
    assert VideoSockets.scope is Scope.VIDEO
    async with socket_talk(secured, origin="http://elsewhere.example") as talk:
        assert (await talk.start(token=SECRET))["event"] == "started"
    header = {"Authorization": f"Bearer {SECRET}"}
    async with socket_talk(secured, additional_headers=header) as talk:
        assert (await talk.start())["event"] == "started"
    async with socket_talk(secured, additional_headers=header) as talk:
        await talk.say("start", model="one", token=SECRET)
        assert await talk.failure() == ("TOKEN_INVALID", 401, 4401)


async def test_a_page_from_elsewhere_is_turned_away(stage: Any, open_model: Any) -> None:
    await open_model(echo)
    port = stage.gateway.http_port
    with pytest.raises(InvalidStatus) as caught:
        async with socket_talk(port, origin="http://elsewhere.example"):
            pass
    assert caught.value.response.status_code == 403
    assert b"ORIGIN_FOREIGN" in (caught.value.response.body or b"")
    async with socket_talk(port, origin=f"http://127.0.0.1:{port}") as talk:
        assert (await talk.start())["event"] == "started"


async def test_a_message_over_the_limit_is_refused(stage: Any, open_model: Any) -> None:
    model, _ = await open_model(echo)
    async with socket_talk(stage.gateway.http_port) as talk:
        await talk.start()
        await talk.frame(0, bytes(MAX_REQUEST_BYTES - 8))  # it is the message of gRPC that counts
        answer = await talk.read()
        assert (answer["event"], answer["problem"]["status"]) == ("refused", 413)
        await talk.frame(1, bytes(MAX_REQUEST_BYTES - MiB))
        assert await talk.read() == {"event": "done", "in_reply_to": 3}
        with suppress(ConnectionClosed):  # the answer may cross what is still sent
            await talk.frame(2, bytes(MAX_REQUEST_BYTES))
        assert (await talk.end())[1] == 1009
    await stage.until(lambda: model.running == 0)


async def test_a_model_that_goes_away_loses_the_session(stage: Any, open_model: Any) -> None:
    model, _ = await open_model(echo)
    async with socket_talk(stage.gateway.http_port) as talk:
        await talk.start()
        await model.stop()
        assert await talk.failure() == ("SESSION_LOST", 410, 4410)
    async with socket_talk(stage.gateway.http_port) as talk:
        await talk.say("start", model="one")
        assert await talk.failure() == ("MODEL_LOADING", 503, 4503)


async def test_the_models_own_end_passes_with_its_reason(stage: Any) -> None:
    async with running_service("fake_video:create", session_idle_s=0.3) as service:
        await stage.serve(Endpoint("fake", f"127.0.0.1:{service.port}"), seen=False)
        await stage.until(lambda: stage.reachable() == {"fake"})
        async with socket_talk(stage.gateway.http_port) as talk:
            await talk.start("fake")
            assert await talk.failure() == ("SESSION_EXPIRED", 410, 4410)


@pytest.mark.parametrize("how", ["close", "vanish"])
async def test_a_client_that_leaves_ends_the_models_part(
    stage: Any, open_model: Any, how: str
) -> None:
    model, _ = await open_model(echo)
    async with socket_talk(stage.gateway.http_port) as talk:
        await talk.start()
        await stage.until(lambda: model.running == 1)
        if how == "vanish":
            talk.socket.transport.abort()
    await stage.until(lambda: model.running == 0)
    await stage.until(lambda: stage.gateway.registry.model("one").in_flight == 0)


async def test_a_server_that_stops_answers_what_is_under_way_and_goes(
    stage: Any, open_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    got, release = asyncio.Event(), asyncio.Event()

    async def slow(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for answer in echo(requests, context):
            if answer.in_reply_to_seq == 2:
                got.set()
                await release.wait()
            yield answer

    await open_model(slow, drain_s=30.0)
    monkeypatch.setattr("diptych_gateway.http.video_socket._LAST_ANSWERS_S", 29.0)
    calls = stage.gateway.http._sockets.calls
    settle = calls.settle  # the session does not end by itself, for however long it is let
    monkeypatch.setattr(calls, "settle", lambda _: settle(0.2))
    port = stage.gateway.http_port
    async with socket_talk(port) as talk, socket_talk(port) as silent:
        await talk.start()
        await talk.frame(0, PICTURE)
        await got.wait()
        stopping = asyncio.create_task(stage.gateway.stop())
        assert await silent.failure() == ("DRAINING", 503, 1001)
        release.set()
        answers, code = await talk.end()
        assert [answer["event"] for answer in answers] == ["going_away", "done", "failed"]
        assert answers[0]["grace_s"] == pytest.approx(30.5)
        assert answers[-1]["problem"]["reason"] == "DRAINING"
        assert code == 1001
        await stopping
        stage.gateway = None


async def test_a_model_that_hangs_does_not_hold_up_the_stop(stage: Any, open_model: Any) -> None:
    async def hang(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for answer in echo(requests, context):
            yield answer
            await asyncio.Event().wait()

    await open_model(hang, drain_s=0.1)
    async with socket_talk(stage.gateway.http_port) as talk:
        await talk.start()
        stopping = asyncio.create_task(stage.gateway.stop())
        assert await talk.failure() == ("DRAINING", 503, 1001)
        await stopping
        stage.gateway = None


async def test_a_server_that_stops_lets_sessions_end_by_themselves(
    stage: Any, open_model: Any
) -> None:
    await open_model(echo, drain_s=30.0)
    async with socket_talk(stage.gateway.http_port) as talk:
        await talk.start()
        stopping = asyncio.create_task(stage.gateway.stop())
        assert (await talk.read())["event"] == "going_away"
        await talk.frame(0, PICTURE)
        assert (await talk.read())["in_reply_to"] == 2
        await talk.say("end")
        assert (await talk.end())[1] == 1000
        await stopping
        stage.gateway = None


async def test_a_model_that_does_not_read_holds_the_client_back(
    stage: Any, open_model: Any
) -> None:
    release = asyncio.Event()

    async def later(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        await release.wait()
        async for answer in echo(requests, context):
            yield answer

    await open_model(later)
    count, sent = 150, 0
    async with socket_talk(stage.gateway.http_port) as talk:
        await talk.say("start", model="one")

        async def flood() -> None:
            nonlocal sent
            for index in range(count):
                await talk.frame(index, bytes(MiB))
                sent += 1
            await talk.say("end")

        flooding = asyncio.create_task(flood())
        before = -1
        while before != sent or not sent:
            before = sent
            await asyncio.sleep(0.5)
        # The windows of TCP and HTTP/2, and the one message that the gateway holds.
        assert sent < count / 2
        release.set()
        answers, code = await talk.end()
        assert [answer["in_reply_to"] for answer in answers] == list(range(1, count + 2))
        assert code == 1000
        await flooding


async def test_open_sessions_are_counted(stage: Any, open_model: Any) -> None:
    await open_model(echo)

    async def figure(name: str, **labels: str) -> float | None:
        text = (await stage.http().get("/metrics")).text
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return sample.value
        return None

    name = "diptych_gateway_video_sockets"
    async with socket_talk(stage.gateway.http_port) as talk:
        await talk.start()
        assert await figure(name) == 1
        await talk.say("end")
        await talk.end()

    async def closed() -> bool:
        return await figure(name) == 0

    await eventually(closed)
    served = {"method": "GET /api/video", "code": "101", "transport": "http"}
    assert await figure("diptych_gateway_requests_total", **served) == 1


async def test_clients_that_leave_are_no_fault_of_ours(stage: Any, open_model: Any) -> None:
    async def late(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            answer = pb.SegmentVideoResponse(in_reply_to_seq=request.seq, ack=pb.VideoAck())
            if request.WhichOneof("event") == "start":
                answer.started.max_frames_in_flight = 2
                yield answer
                continue
            await asyncio.sleep(0.005 * (request.seq % 3))
            raise RuntimeError("broken")

    await open_model(late)
    for number in range(12):
        async with socket_talk(stage.gateway.http_port) as talk:
            await talk.start()
            await talk.say("prompt", object_id=1, frame_index=0, points=[[1, 1]])
            await asyncio.sleep(0.002 * (number % 4))
            talk.socket.transport.abort()

    async def codes() -> dict[str, float]:
        text = (await stage.http().get("/metrics")).text
        samples = (s for f in text_string_to_metric_families(text) for s in f.samples)
        wanted = {"method": "GET /api/video", "transport": "http"}
        return {
            s.labels["code"]: s.value
            for s in samples
            if s.name == "diptych_gateway_requests_total" and wanted.items() <= s.labels.items()
        }

    async def counted() -> bool:
        return sum((await codes()).values()) == 12

    await eventually(counted)
    assert set(await codes()) <= {"499"}

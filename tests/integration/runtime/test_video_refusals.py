"""Video messages that are refused in band: the session goes on as if they had not come."""

from __future__ import annotations

import io
import threading
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio
from fake_engine import NO_MEMORY, RAISE, WRONG
from fake_video import OTHER_FRAME, UNSURE
from impossible import IMPOSSIBLE
from PIL import Image
from serving_helpers import picture, png, running_service, stub_of
from video_calls import BACKGROUND, FOREGROUND, reason, talk

from diptych import Mask
from diptych.segment import v1 as pb
from diptych.wire.requests import read_checked

pytestmark = pytest.mark.asyncio(loop_scope="module")
Stub = pb.SegmentServiceStub


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stub() -> AsyncIterator[Stub]:
    async with (
        running_service("fake_video:create", held_frames=3, max_video_objects=2) as service,
        stub_of(service.port) as stub,
    ):
        yield stub


def jpeg(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


def prompt_with(**fields: object) -> pb.ObjectPrompt:
    return pb.ObjectPrompt(**fields)  # type: ignore[arg-type]


def point(x: float = 20, y: float = 20, label: int = FOREGROUND) -> pb.PointPrompt:
    return pb.PointPrompt(x_px=x, y_px=y, label=label)  # type: ignore[arg-type]


def mask() -> pb.MaskPrompt:
    pixels = np.zeros((48, 64), bool)
    pixels[4:9, 4:9] = True
    return pb.MaskPrompt(mask=pb.Mask(coco_rle=Mask.from_array(pixels).to_coco()))


def small_mask() -> pb.MaskPrompt:
    return pb.MaskPrompt(mask=pb.Mask(png=Mask.from_array(np.ones((4, 4), bool)).to_png()))


LOGITS = pb.MaskPrompt(
    low_res_logits=pb.LowResLogits(height=8, width=8, float16_le=np.zeros(64, "<f2").tobytes())
)
BOX = pb.BoundingBox(x_min_px=1, y_min_px=1, x_max_px=9, y_max_px=9)
OUTSIDE = pb.BoundingBox(x_min_px=64, y_min_px=1, x_max_px=99, y_max_px=9)
BAD: dict[str, tuple[dict[str, object], str]] = {
    "nothing": ({}, "OPTION_INVALID"),
    "second start": ({"start": pb.VideoStart()}, "SESSION_ORDER"),
    "broken jpeg": (
        {"frame": pb.VideoFrame(frame_index=5, encoded=jpeg(picture())[:300])},
        "IMAGE_UNREADABLE",
    ),
    "no bytes": ({"frame": pb.VideoFrame(frame_index=5)}, "IMAGE_UNREADABLE"),
    "other size": (
        {"frame": pb.VideoFrame(frame_index=5, encoded=png(picture(size=(64, 48))))},
        "IMAGE_SHAPE",
    ),
    "index stays": (
        {"frame": pb.VideoFrame(frame_index=3, encoded=png(picture()))},
        "SESSION_ORDER",
    ),
    "index falls": (
        {"frame": pb.VideoFrame(frame_index=0, encoded=png(picture()))},
        "SESSION_ORDER",
    ),
    "index below 0": (
        {"frame": pb.VideoFrame(frame_index=-1, encoded=png(picture()))},
        "SESSION_ORDER",
    ),
    "engine raises": (
        {"frame": pb.VideoFrame(frame_index=5, encoded=png(picture(RAISE)))},
        "MODEL_FAILED",
    ),
    "engine refuses": (
        {"frame": pb.VideoFrame(frame_index=5, encoded=png(picture(NO_MEMORY)))},
        "DEVICE_MEMORY",
    ),
    "unknown object": ({"removal": pb.VideoObjectRemoval(object_id=9)}, "OBJECT_UNKNOWN"),
    "reused id": ({"prompt": (2, 3, prompt_with(points=[point()]))}, "OBJECT_UNKNOWN"),
    "too many": ({"prompt": (4, 3, prompt_with(points=[point()]))}, "OBJECT_LIMIT"),
    "frame gone": ({"prompt": (1, 2, prompt_with(points=[point()]))}, "FRAME_NOT_HELD"),
    "id of ours": ({"prompt": (1 << 30, 3, prompt_with(points=[point()]))}, "PROMPT_INVALID"),
    "id below 0": ({"prompt": (-1, 3, prompt_with(points=[point()]))}, "PROMPT_INVALID"),
    "empty prompt": ({"prompt": (1, 3, prompt_with())}, "PROMPT_INVALID"),
    "nan": ({"prompt": (1, 3, prompt_with(points=[point(float("nan"))]))}, "PROMPT_INVALID"),
    "label": ({"prompt": (1, 3, prompt_with(points=[point(label=0)]))}, "PROMPT_INVALID"),
    "point outside": ({"prompt": (1, 3, prompt_with(points=[point(65)]))}, "PROMPT_INVALID"),
    "box outside": ({"prompt": (1, 3, prompt_with(box=OUTSIDE))}, "PROMPT_INVALID"),
    "many points": ({"prompt": (1, 3, prompt_with(points=[point()] * 65))}, "PROMPT_INVALID"),
    "mask size": ({"prompt": (1, 3, prompt_with(mask=small_mask()))}, "PROMPT_INVALID"),
    "logits": ({"prompt": (1, 3, prompt_with(mask=LOGITS))}, "PROMPT_INVALID"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_refused_message_leaves_no_trace(stub: Stub, name: str) -> None:
    event, why = BAD[name]
    if isinstance(asked := event.get("prompt"), tuple):
        object_id, index, prompt = asked
        event = {"prompt": pb.VideoPrompt(object_id=object_id, frame_index=index, prompt=prompt)}
    async with talk(stub) as t:
        await t.start()
        await t.frame(3)
        await t.point(1, 3)
        await t.point(2, 3)
        await t.remove(2)
        await t.point(3, 3)
        before = [await t.read() for _ in range(5)][-1]
        seq = await t.send(**event)
        await t.frame(6)
        refused, after = await t.done()
    assert reason(refused) == why
    assert refused.in_reply_to_seq == seq
    assert "secret" not in str(refused)
    sent = pb.SegmentVideoRequest(**event)  # type: ignore[arg-type]
    if frame := sent.frame.frame_index or sent.prompt.frame_index:
        assert refused.error.frame_index == frame
    else:
        assert refused.error.HasField("frame_index") == (sent.WhichOneof("event") == "frame")
    assert (after.frame.frame_index, after.frame.revision) == (6, 0)
    assert [s.object_id for s in after.frame.segments] == [1, 3]
    assert [s.object_id for s in before.frame.segments] == [1, 3]


async def test_a_prompt_before_any_frame(stub: Stub) -> None:
    async with talk(stub) as t:
        await t.start()
        await t.point(1, 0)
        assert reason(await t.read()) == "FRAME_NOT_HELD"
        await t.frame(0)
        assert not (await t.read()).frame.segments


async def test_background_points_alone_need_an_answer_on_their_frame(stub: Stub) -> None:
    off = prompt_with(points=[point(label=BACKGROUND)])
    async with talk(stub) as t:
        await t.start()
        for index in (1, 2):
            await t.frame(index)
            await t.read()
        for object_id in (7, 8):
            await t.prompt(object_id, 2, off)
            refused = await t.read()
            assert reason(refused) == "PROMPT_INVALID"
            told = f"background points alone; object {object_id} has no answer on frame 2"
            assert told in refused.error.status.message
        await t.point(7, 2)
        assert [s.object_id for s in (await t.read()).frame.segments] == [7]
        await t.prompt(7, 1, off)  # from before it was pointed at
        assert reason(await t.read()) == "PROMPT_INVALID"
        await t.prompt(7, 2, off)
        corrected = (await t.read()).frame
        assert (corrected.revision, corrected.segments[0].segment.area_px) == (2, 32)


async def test_large_messages_are_read_in_a_thread(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    def read(kind: type[pb.SegmentVideoRequest], raw: bytes) -> pb.SegmentVideoRequest:
        threads.append(threading.get_ident())
        return read_checked(kind, raw)

    monkeypatch.setattr("diptych_runtime.front.video_sessions.read_checked", read)
    frames = [pb.VideoFrame(frame_index=-1, encoded=bytes(size)) for size in (300_000, 1)]
    unknown = b"\xfa\x7c\xe0\xa7\x12" + bytes(300_000)  # field 1999, skipped by whoever reads it
    start = pb.SegmentVideoRequest(seq=1, start=pb.VideoStart(model_id="fake"))
    async with talk(stub) as t:
        await t.call.write(pb.SegmentVideoRequest.FromString(start.SerializeToString() + unknown))
        assert (await t.read()).HasField("started")
        for frame in frames:
            await t.send(frame=frame)
            assert reason(await t.read()) == "SESSION_ORDER"
    loop = threading.get_ident()
    assert [thread == loop for thread in threads] == [False, False, True]


NUMBERS = {what: number for number, what in enumerate(IMPOSSIBLE, start=1)}


@pytest.mark.parametrize(
    ("corner", "object_id"),
    [
        pytest.param(WRONG, NUMBERS["mask smaller"], id="mask of another size"),
        pytest.param(WRONG, NUMBERS["box inside out"], id="box inside out"),
        pytest.param(WRONG, NUMBERS["category"], id="category"),
        pytest.param(WRONG, NUMBERS["prompt"], id="prompt"),
        pytest.param(UNSURE, 1, id="presence"),
        pytest.param(OTHER_FRAME, 1, id="another frame"),
    ],
)
async def test_a_frame_whose_answer_cannot_be_so_fails_alone(
    stub: Stub, corner: tuple[int, int, int], object_id: int
) -> None:
    async with talk(stub) as t:
        await t.start()
        await t.frame(3)
        await t.point(object_id, 3)
        await t.frame(4, picture(corner))
        await t.frame(5)
        *_, failed, after = await t.done()
    assert (reason(failed), failed.error.frame_index) == ("MODEL_FAILED", 4)
    assert [found.object_id for found in after.frame.segments] == [object_id]

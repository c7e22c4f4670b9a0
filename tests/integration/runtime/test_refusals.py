"""Everything that a service refuses, over the wire: code, reason, field, and nothing else."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import grpc
import numpy as np
import pytest
import pytest_asyncio
from fake_engine import create
from PIL import Image
from serving_helpers import (
    error_info,
    error_of,
    picture,
    png,
    point_request,
    running_service,
    status_of,
    stub_of,
    violations,
)

from diptych import DiptychError, Mask, Prompt
from diptych.limits import MAX_REQUEST_BYTES
from diptych.segment import v1 as pb
from diptych.wire.requests import prompt_message
from diptych.wire.statuses import error_from_status
from diptych_runtime.runner import Runner
from diptych_runtime.settings import RuntimeSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")

LEAK = re.compile(r'0x[0-9a-f]{6,}|Traceback|File "|/usr/|/work|site-packages|/tmp|<class')
SIZE = HEIGHT, WIDTH = 48, 64
GOOD_PICTURE = png(picture(size=SIZE))
NAN, INF = float("nan"), float("inf")
FG, BG = pb.PointLabel.POINT_LABEL_FOREGROUND, pb.PointLabel.POINT_LABEL_BACKGROUND
Task = pb.Task

Change = Callable[[pb.SegmentRequest], object]
P0 = "prompts[0]"


@dataclass(frozen=True)
class Row:
    """A change of a good request, and the refusal that it meets."""

    name: str
    change: Change
    reason: str
    field: str
    code: str = "INVALID_ARGUMENT"


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)  # type: ignore[arg-type]
    return out.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises a size and has hardly any pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


FRAMES = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]


def image(name: str, encoded: bytes, reason: str = "IMAGE_UNREADABLE") -> Row:
    def change(request: pb.SegmentRequest) -> None:
        request.image.encoded = encoded

    return Row(f"image: {name}", change, reason, "image.encoded")


def digest(name: str, value: bytes, reason: str, code: str) -> Row:
    def change(request: pb.SegmentRequest) -> None:
        request.image.sha256 = value

    return Row(f"digest: {name}", change, reason, "image.sha256", code)


IMAGES = [
    Row("image: none", lambda r: r.ClearField("image"), "IMAGE_UNREADABLE", "image"),
    image("0 bytes", b""),
    image("1 byte", b"\xff"),
    image("text", b"this is not a picture"),
    image("truncated PNG", GOOD_PICTURE[: len(GOOD_PICTURE) // 2]),
    image("PNG cut in its header", GOOD_PICTURE[:20]),
    image("PNG with a broken byte", GOOD_PICTURE[:60] + b"\0\0\0\0" + GOOD_PICTURE[64:]),
    image("truncated JPEG", saved(Image.fromarray(picture(size=(200, 200))), "JPEG")[:3000]),
    image("truncated WebP", saved(Image.fromarray(picture(size=(99, 99))), "WEBP")[:500]),
    image("WebP without a header", b"RIFF\0\0\0\0WEBP"),
    image("GIF", saved(FRAMES[0], "GIF")),
    image("BMP", saved(FRAMES[0], "BMP")),
    image("TIFF", saved(FRAMES[0], "TIFF")),
    image("animated PNG", saved(FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:])),
    image("animated WebP", saved(FRAMES[0], "WEBP", save_all=True, append_images=FRAMES[1:])),
    image("1 x 20000", png(np.zeros((20_000, 1, 3), np.uint8)), "IMAGE_SHAPE"),
    image("20000 x 1", png(np.zeros((1, 20_000, 3), np.uint8)), "IMAGE_SHAPE"),
    image("15 x 15", png(np.zeros((15, 15, 3), np.uint8)), "IMAGE_SHAPE"),
    image("21 : 1", png(np.zeros((16, 337, 3), np.uint8)), "IMAGE_SHAPE"),
    image("60000 x 60000", png_header(60_000, 60_000), "IMAGE_TOO_LARGE"),
    image("2^31 x 2^31", png_header(2**31 - 1, 2**31 - 1), "IMAGE_TOO_LARGE"),
    digest("unknown", bytes(32), "IMAGE_NOT_HELD", "NOT_FOUND"),
    digest("0 bytes", b"", "IMAGE_UNREADABLE", "INVALID_ARGUMENT"),
    digest("31 bytes", bytes(31), "IMAGE_UNREADABLE", "INVALID_ARGUMENT"),
    digest("33 bytes", bytes(33), "IMAGE_UNREADABLE", "INVALID_ARGUMENT"),
    digest("in hexadecimal", b"a" * 64, "IMAGE_UNREADABLE", "INVALID_ARGUMENT"),
]


def prompt(name: str, field: str, change: Callable[[pb.ObjectPrompt], object]) -> Row:
    def changed(request: pb.SegmentRequest) -> None:
        request.prompts[0].Clear()
        change(request.prompts[0])

    return Row(f"prompt: {name}", changed, "PROMPT_INVALID", field)


def point(name: str, x: float, y: float) -> Row:
    return prompt(name, f"{P0}.points[0]", lambda p: p.points.add(x_px=x, y_px=y, label=FG))


def label(name: str, value: int) -> Row:
    return prompt(
        name,
        f"{P0}.points[0].label",
        lambda p: p.points.add(x_px=1, y_px=1, label=value),  # type: ignore[arg-type]
    )


def box(name: str, *edges: float) -> Row:
    names = ("x_min_px", "y_min_px", "x_max_px", "y_max_px")

    def change(prompt: pb.ObjectPrompt) -> None:
        prompt.box.CopyFrom(pb.BoundingBox(**dict(zip(names, edges, strict=True))))

    return prompt(f"box {name}", f"{P0}.box", change)


def many_prompts(count: int) -> Change:
    return lambda r: r.prompts.extend([r.prompts[0]] * (count - 1))


PROMPTS = [
    point("NaN across", NAN, 1),
    point("NaN down", 1, NAN),
    point("infinite", INF, 1),
    point("minus infinite", 1, -INF),
    point("left of the picture", -1, 1),
    point("above the picture", 1, -1),
    point("right of the picture", WIDTH + 1, 1),
    point("below the picture", 1, HEIGHT + 1),
    point("far away", 3e38, 1),
    label("label unspecified", 0),
    label("label unknown", 7),
    label("label negative", -1),
    prompt("only background", P0, lambda p: p.points.add(x_px=1, y_px=1, label=BG)),
    prompt("empty", P0, lambda p: None),
    box("NaN", NAN, 1, 5, 5),
    box("infinite", 0, 0, INF, 5),
    box("inverted across", 9, 1, 5, 5),
    box("inverted down", 1, 9, 5, 5),
    box("without width", 5, 1, 5, 5),
    box("without height", 1, 5, 5, 5),
    box("unset", 0, 0, 0, 0),
    box("infinite on the left", -INF, 0, 5, 5),
    box("of width and height instead of a corner", 30, 30, 20, 20),
    box("left of the picture", -5, 1, 0, 5),
    box("above the picture", 1, -5, 5, 0),
    box("right of the picture", WIDTH, 1, WIDTH + 5, 5),
    box("below the picture", 1, HEIGHT, 5, HEIGHT + 5),
    box("outside", 1000, 1000, 1010, 1010),
    box("outside, and around nothing", -10, -10, -5, -5),
    Row("prompts: none", lambda r: r.ClearField("prompts"), "PROMPT_INVALID", "prompts"),
    Row("prompts: 257", many_prompts(257), "PROMPT_INVALID", "prompts"),
    Row("prompts: 10,000", many_prompts(10_000), "PROMPT_INVALID", "prompts"),
    Row(
        "prompt: 65 points",
        lambda r: r.prompts[0].points.extend([r.prompts[0].points[0]] * 64),
        "PROMPT_INVALID",
        f"{P0}.points",
    ),
    Row(
        "prompt: the second of two",
        lambda r: r.prompts.add().box.CopyFrom(pb.BoundingBox(x_max_px=NAN, y_max_px=1)),
        "PROMPT_INVALID",
        "prompts[1].box",
    ),
    *(
        Row(
            f"prompts for {task}",
            lambda r, task=task: setattr(r, "task", Task.Value(task)),
            "PROMPT_INVALID",
            "prompts",
        )
        for task in ("TASK_INSTANCE_SEGMENTATION", "TASK_OBJECT_DETECTION")
    ),
]


def logits(name: str, height: int, width: int, data: bytes | None = None, field: str = "") -> Row:
    value = bytes(max(2 * height * width, 0)) if data is None else data
    sent = pb.LowResLogits(height=height, width=width, float16_le=value)
    return prompt(
        f"logits {name}",
        f"{P0}.mask.low_res_logits{field}",
        lambda p: p.mask.low_res_logits.CopyFrom(sent),
    )


def mask(name: str, **encoding: object) -> Row:
    def change(prompt: pb.ObjectPrompt) -> None:
        prompt.mask.mask.CopyFrom(pb.Mask(**encoding))  # type: ignore[arg-type]

    return prompt(f"mask {name}", f"{P0}.mask.mask", change)


FULL = Mask.from_array(np.ones(SIZE, bool))
EMPTY = Mask.from_array(np.zeros(SIZE, bool))
OTHER_SIZE = Mask.from_array(np.ones((WIDTH, HEIGHT), bool))
HALF_NAN = np.full((8, 8), np.nan, "<f2").tobytes()


MASKS = [
    logits("of another model", 16, 16),
    logits("of no size", 0, 0),
    logits("of negative size", -8, -8),
    logits("of a huge size", 2**31 - 1, 2**31 - 1, b""),
    logits("too short", 8, 8, bytes(127), ".float16_le"),
    logits("too long", 8, 8, bytes(129), ".float16_le"),
    logits("without bytes", 8, 8, b"", ".float16_le"),
    logits("NaN", 8, 8, HALF_NAN, ".float16_le"),
    logits("infinite", 8, 8, np.full((8, 8), np.inf, "<f2").tobytes(), ".float16_le"),
    prompt("mask without a source", f"{P0}.mask", lambda p: p.mask.SetInParent()),
    mask("without an encoding"),
    mask("as polygons", polygons=pb.Polygons(rings=[pb.Ring(xy_px=[0, 0, 5, 0, 5, 5])])),
    mask("RLE empty", coco_rle=b""),
    mask("RLE of another size", coco_rle=Mask.from_array(np.ones((47, 64), bool)).to_coco()),
    prompt(
        "mask of another size, but of as many pixels",
        f"{P0}.mask.mask",
        lambda p: p.MergeFrom(prompt_message(Prompt(mask=OTHER_SIZE))),
    ),
    mask("RLE with huge counts", coco_rle=b"oooooo3" * 4),
    mask("RLE with a number without an end", coco_rle=b"oooooooooooooooo"),
    mask("RLE with negative counts", coco_rle=b"M" * 10),
    mask("RLE truncated", coco_rle=FULL.to_coco()[:1]),
    mask("RLE with other bytes", coco_rle=b"\0\xff\n"),
    mask("RLE as JSON", coco_rle=b'{"counts": [1], "size": [48, 64]}'),
    mask("without a pixel", coco_rle=EMPTY.to_coco()),
    mask("PNG without a pixel", png=EMPTY.to_png()),
    mask("PNG of another size", png=OTHER_SIZE.to_png()),
    mask("PNG that is none", png=b"hello"),
    mask("PNG in colour", png=GOOD_PICTURE),
    mask("PNG truncated", png=FULL.to_png()[:45]),
    mask("PNG that promises pixels", png=png_header(WIDTH, HEIGHT).replace(b"\x08\x02", b"\x08\0")),
]


def option(group: str, name: str, value: float) -> Row:
    return Row(
        f"{group}.{name} = {value}",
        lambda r: setattr(getattr(r, group), name, value),
        "OPTION_INVALID",
        f"{group}.{name}",
    )


RANGES = {
    "points_per_side": (0, 65, -1),
    "pred_iou_thresh": (-0.01, 1.01, NAN),
    "stability_score_thresh": (-0.01, 1.01, INF),
    "box_nms_thresh": (-0.01, 1.01, NAN),
    "crop_n_layers": (-1, 3),
    "min_mask_region_area_px": (-1,),
    "stability_score_offset": (0, -1, 10.1, NAN),
    "crop_nms_thresh": (-0.01, 1.01),
    "crop_overlap_ratio": (-0.01, 0.51, -INF),
    "crop_n_points_downscale_factor": (0, 9),
}


def huge_grid(request: pb.SegmentRequest) -> None:
    request.automatic.points_per_side = 64
    request.automatic.crop_n_layers = 2


OPTIONS = [
    *(option("automatic", name, value) for name, values in RANGES.items() for value in values),
    *(option("output", "min_score", value) for value in (-0.01, 1.01, NAN, INF)),
    *(option("output", "max_segments", value) for value in (0, -1, 1001, 2**31 - 1)),
    option("output", "mask_encoding", 99),
    Row(
        "grid of 64 with two crop layers", huge_grid, "OPTION_INVALID", "automatic.points_per_side"
    ),
    Row(
        "unknown category",
        lambda r: r.output.category_ids.extend([1, 77]),
        "OPTION_INVALID",
        "output.category_ids[1]",
    ),
    Row(
        "a hundred thousand categories",
        lambda r: r.output.category_ids.extend([1] * 100_000),
        "OPTION_INVALID",
        "output.category_ids",
    ),
    Row(
        "a million categories",
        lambda r: r.output.category_ids.extend([1] * 1_000_000),
        "OPTION_INVALID",
        "request",
    ),
    Row("task unspecified", lambda r: r.ClearField("task"), "OPTION_INVALID", "task"),
    Row("task unknown", lambda r: setattr(r, "task", 99), "OPTION_INVALID", "task"),
    Row(
        "task of another model",
        lambda r: setattr(r, "task", Task.TASK_KEYPOINT_DETECTION),
        "TASK_UNSUPPORTED",
        "task",
        "UNIMPLEMENTED",
    ),
    Row(
        "a video task on a picture",
        lambda r: setattr(r, "task", Task.TASK_VIDEO_SEGMENTATION),
        "TASK_UNSUPPORTED",
        "task",
        "UNIMPLEMENTED",
    ),
    Row(
        "another model",
        lambda r: setattr(r, "model_id", "sam-3"),
        "MODEL_UNKNOWN",
        "model_id",
        "NOT_FOUND",
    ),
    Row(
        "a model id of a megabyte",
        lambda r: setattr(r, "model_id", "🦆" * 250_000),
        "MODEL_UNKNOWN",
        "model_id",
        "NOT_FOUND",
    ),
]

ROWS = [*IMAGES, *PROMPTS, *MASKS, *OPTIONS]
assert len({row.name for row in ROWS}) == len(ROWS)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def port() -> AsyncIterator[int]:
    async with running_service() as service:
        yield service.port


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stub(port: int) -> AsyncIterator[pb.SegmentServiceStub]:
    async with stub_of(port) as stub:
        yield stub


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def plain() -> AsyncIterator[pb.SegmentServiceStub]:
    """A model that takes boxes only."""
    async with (
        running_service("fake_engine:create_plain") as service,
        stub_of(service.port) as stub,
    ):
        yield stub


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    """The same engine, limits and checks in this process."""
    with Runner(create(), RuntimeSettings()) as runner:
        yield runner


def said(error: DiptychError) -> dict[str, object]:
    """All that an error says but the id of its request."""
    assert error.request_id
    return {"kind": type(error), "text": str(error), **vars(error), "request_id": ""}


def check(error: grpc.aio.AioRpcError, row: Row) -> None:
    """The refusal is the one of the row, and says nothing of the process."""
    info = error_info(error)
    assert (error.code().name, info.reason, info.domain) == (row.code, row.reason, "diptych")
    assert row.field in violations(error)
    status = status_of(error)
    assert status.ByteSize() <= 4096
    assert status.message == error.details()
    assert "expected" in error.details()
    assert "got" in error.details()
    assert info.metadata["requestId"]
    assert not LEAK.search(str(status))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_refusal(stub: pb.SegmentServiceStub, runner: Runner, row: Row) -> None:
    request = point_request(GOOD_PICTURE)
    row.change(request)
    error = await error_of(stub.Segment(request, timeout=60))
    check(error, row)
    with pytest.raises(DiptychError) as refused:
        runner.answer(request.SerializeToString())
    assert said(refused.value) == said(error_from_status(status_of(error)))
    answer = await stub.Segment(point_request(GOOD_PICTURE), timeout=60)
    assert len(answer.segments) == 1


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("points", lambda p: p.points.add(x_px=1, y_px=1, label=FG)),
        ("mask", lambda p: setattr(p.mask.mask, "coco_rle", FULL.to_coco())),
    ],
)
async def test_a_kind_of_prompt_that_the_model_does_not_take(
    plain: pb.SegmentServiceStub, kind: str, change: Callable[[pb.ObjectPrompt], object]
) -> None:
    request = pb.SegmentRequest(
        image=pb.Image(encoded=GOOD_PICTURE), task=Task.TASK_PROMPTED_SEGMENTATION
    )
    change(request.prompts.add())
    row = Row("", lambda r: None, "PROMPT_UNSUPPORTED", f"{P0}.{kind}", "UNIMPLEMENTED")
    check(await error_of(plain.Segment(request)), row)


async def test_options_of_other_models_are_ignored(plain: pb.SegmentServiceStub) -> None:
    request = pb.SegmentRequest(
        image=pb.Image(encoded=GOOD_PICTURE), task=Task.TASK_INSTANCE_SEGMENTATION
    )
    request.automatic.points_per_side = 64
    request.output.category_ids.append(77)
    assert (await plain.Segment(request)).segments


@pytest.mark.parametrize("size", [3, 1_000_000])
@pytest.mark.parametrize("method", ["Segment", "GetModelCard", "GetModelStats", "SegmentVideo"])
async def test_garbage_instead_of_a_message(port: int, method: str, size: int) -> None:
    garbage = b"\xff" * size
    path = f"/diptych.segment.v1.SegmentService/{method}"
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        if method == "SegmentVideo":
            error = await error_of(anext(aiter(channel.stream_stream(path)(iter([garbage])))))
            expected = Row("", lambda r: None, "TASK_UNSUPPORTED", method, "UNIMPLEMENTED")
        else:
            error = await error_of(channel.unary_unary(path)(garbage))
            expected = Row("", lambda r: None, "OPTION_INVALID", "request")
    check(error, expected)


async def test_video_is_refused(stub: pb.SegmentServiceStub) -> None:
    start = pb.SegmentVideoRequest(seq=1, start=pb.VideoStart())
    error = await error_of(anext(aiter(stub.SegmentVideo(iter([start])))))
    check(error, Row("", lambda r: None, "TASK_UNSUPPORTED", "SegmentVideo", "UNIMPLEMENTED"))


@pytest.mark.parametrize("method", ["GetModelCard", "GetModelStats"])
async def test_cards_and_stats_of_other_models(stub: pb.SegmentServiceStub, method: str) -> None:
    request = getattr(pb, f"{method}Request")(model_id="sam-3")
    error = await error_of(getattr(stub, method)(request))
    check(error, Row("", lambda r: None, "MODEL_UNKNOWN", "model_id", "NOT_FOUND"))


async def test_many_wrong_prompts_still_fit_into_a_status(stub: pb.SegmentServiceStub) -> None:
    request = point_request(GOOD_PICTURE)
    wrong = pb.ObjectPrompt(box=pb.BoundingBox(x_max_px=NAN))
    wrong.points.extend([pb.PointPrompt(x_px=INF)] * 64)
    request.prompts.extend([wrong] * 255)
    for _ in range(20):  # over 8 KiB gRPC replaces some statuses, not all
        error = await error_of(stub.Segment(request))
        check(error, Row("", lambda r: None, "PROMPT_INVALID", "prompts[1].points[0]"))
        assert "more" in status_of(error).details[-1].value.decode(errors="replace")


async def test_what_an_engine_raises_stays_inside(stub: pb.SegmentServiceStub) -> None:
    from fake_engine import NO_ANSWER, NO_MEMORY, RAISE

    for corner, code, reason in (
        (RAISE, "INTERNAL", "MODEL_FAILED"),
        (NO_ANSWER, "INTERNAL", "MODEL_FAILED"),
        (NO_MEMORY, "RESOURCE_EXHAUSTED", "DEVICE_MEMORY"),
    ):
        error = await error_of(stub.Segment(point_request(png(picture(corner)))))
        info = error_info(error)
        assert (error.code().name, info.reason) == (code, reason)
        assert not LEAK.search(str(status_of(error)) + error.details())
        if reason == "MODEL_FAILED":
            assert error.details() == f"internal error {info.metadata['requestId']}"


async def test_a_message_of_exactly_the_limit_passes(stub: pb.SegmentServiceStub) -> None:
    request = point_request(b"")
    request.image.encoded = bytes(MAX_REQUEST_BYTES - 100)
    request.image.encoded = bytes(2 * MAX_REQUEST_BYTES - 100 - request.ByteSize())
    assert request.ByteSize() == MAX_REQUEST_BYTES
    error = await error_of(stub.Segment(request))
    check(error, image("too long", b""))


async def test_a_message_over_the_limit_is_refused_by_grpc(stub: pb.SegmentServiceStub) -> None:
    request = point_request(bytes(MAX_REQUEST_BYTES))
    error = await error_of(stub.Segment(request))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not status_of(error).details
    assert (await stub.Segment(point_request(GOOD_PICTURE))).segments


async def test_an_answer_over_the_limit_fails_alone(stub: pb.SegmentServiceStub) -> None:
    from fake_engine import HUGE

    error = await error_of(stub.Segment(point_request(png(picture(HUGE)))))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not status_of(error).details
    assert (await stub.Segment(point_request(GOOD_PICTURE))).segments

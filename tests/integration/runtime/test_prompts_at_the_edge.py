"""Prompts at and over the edge of the picture: cut, moved or refused, and told with every digit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from math import nextafter

import numpy as np
import pytest
import pytest_asyncio
from serving_helpers import error_of, picture, png, running_service, stub_of
from video_calls import reason, talk

from diptych import Box, Point, Prompt, Task
from diptych.segment import v1 as pb
from diptych.wire.requests import prompt_message, task_value

pytestmark = pytest.mark.asyncio(loop_scope="module")
HEIGHT, WIDTH = 48, 64
OVER = float(np.nextafter(np.float32(WIDTH), np.float32(1000)))

CUT: list[tuple[tuple[float, ...], tuple[float, ...]]] = [
    ((10, 10, OVER, 40), (10, 10, WIDTH, 40)),  # as a detector's float32 has it
    ((10, 10, 64.3, 40), (10, 10, WIDTH, 40)),
    ((10, 10, 40, 48.3), (10, 10, 40, HEIGHT)),
    ((-0.001, 10, 40, 40), (0, 10, 40, 40)),
    ((10, -7, 40, 40), (10, 0, 40, 40)),
    ((-5, -5, 69, 53), (0, 0, WIDTH, HEIGHT)),
    ((-1e30, -1e30, 1e30, 1e30), (0, 0, WIDTH, HEIGHT)),
    ((63, 47, 1000, 1000), (63, 47, WIDTH, HEIGHT)),
    ((-1000, -1000, 1, 1), (0, 0, 1, 1)),
    ((0, 0, WIDTH, HEIGHT), (0, 0, WIDTH, HEIGHT)),
]
"""A box that was sent, and what of it lies in the picture."""
MOVED: list[tuple[tuple[float, float], tuple[float, float]]] = [
    ((-0.2, 10), (0, 10)),
    ((10, -0.999), (10, 0)),
    ((OVER, 10), (WIDTH, 10)),
    ((WIDTH + 0.5, HEIGHT + 0.5), (WIDTH, HEIGHT)),
    ((0, 0), (0, 0)),
    ((WIDTH, HEIGHT), (WIDTH, HEIGHT)),
]
"""A point that was sent, and where it is taken to be."""
REFUSED: list[tuple[Prompt, str]] = [
    (Prompt(box=Box(OVER, 0, 70, 5)), "64.00001, 0, 70, 5"),
    (Prompt(box=Box(64, 0, 70, 5)), "64, 0, 70, 5"),
    (Prompt(box=Box(-9, 1, 0, 5)), "-9, 1, 0, 5"),
    (Prompt(box=Box(-9, 1, -1e-8, 5)), "-9, 1, -1e-08, 5"),
    (Prompt(box=Box(12345.678, 1, 99999.99, 5)), "12345.678, 1, 99999.99, 5"),
    (Prompt(box=Box(5, 5, 5, 9)), "5, 5, 5, 9"),
    (Prompt(box=Box(9.000001, 5, 9, 9)), "9.000001, 5, 9, 9"),
    (Prompt(box=Box(float("nan"), 5, 9, 9)), "nan, 5, 9, 9"),
    (Prompt(points=(Point(-1, 5),)), "-1, 5"),
    (Prompt(points=(Point(5, HEIGHT + 1),)), "5, 49"),
    (Prompt(points=(Point(1234.5678, 5),)), "1234.5677, 5"),  # the float32 next to it
]
"""A prompt, and how its numbers are told: no other float32 is written like this."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stub() -> AsyncIterator[pb.SegmentServiceStub]:
    async with (
        running_service("fake_video:create") as service,
        stub_of(service.port) as stub,
    ):
        yield stub


def asked(*prompts: Prompt) -> pb.SegmentRequest:
    return pb.SegmentRequest(
        image=pb.Image(encoded=png(picture(size=(HEIGHT, WIDTH)))),
        task=task_value(Task.PROMPTED_SEGMENTATION),
        prompts=[prompt_message(prompt) for prompt in prompts],
    )


def edges(segment: pb.Segment) -> tuple[float, ...]:
    box = segment.box
    return (box.x_min_px, box.y_min_px, box.x_max_px, box.y_max_px)


async def test_a_box_that_overlaps_the_picture_is_cut(stub: pb.SegmentServiceStub) -> None:
    answer = await stub.Segment(asked(*(Prompt(box=Box(*sent)) for sent, _ in CUT)))
    assert [edges(segment) for segment in answer.segments] == [kept for _, kept in CUT]


async def test_a_point_less_than_a_pixel_outside_is_moved(stub: pb.SegmentServiceStub) -> None:
    """The fake makes a square of 8 pixels around a point, cut by the picture."""
    answer = await stub.Segment(asked(*(Prompt(points=(Point(*sent),)) for sent, _ in MOVED)))
    squares = [
        (max(x - 4, 0), max(y - 4, 0), min(x + 4, WIDTH), min(y + 4, HEIGHT)) for _, (x, y) in MOVED
    ]
    assert [edges(segment) for segment in answer.segments] == squares


@pytest.mark.parametrize(("prompt", "told"), REFUSED, ids=[told for _, told in REFUSED])
async def test_a_refusal_tells_every_digit(
    stub: pb.SegmentServiceStub, prompt: Prompt, told: str
) -> None:
    error = await error_of(stub.Segment(asked(prompt)))
    assert (error.details() or "").endswith(f", got {told}")


async def test_an_option_out_of_range_tells_every_digit(stub: pb.SegmentServiceStub) -> None:
    request = asked(Prompt(box=Box(0, 0, 5, 5)))
    request.output.min_score = nextafter(1.0, 2.0) + 1e-7
    error = await error_of(stub.Segment(request))
    assert error.details() == "output.min_score: expected 0 to 1, got 1.0000001"


async def test_frames_are_no_different(stub: pb.SegmentServiceStub) -> None:
    async with talk(stub) as t:
        await t.start()
        await t.frame(0)
        await t.read()
        for object_id, (sent, kept) in enumerate(CUT):
            await t.prompt(object_id, 0, prompt_message(Prompt(box=Box(*sent))))
            found = (await t.read()).frame.segments[-1]
            assert (found.object_id, edges(found.segment)) == (object_id, kept)
        for prompt, told in REFUSED:
            await t.prompt(99, 0, prompt_message(prompt))
            refused = await t.read()
            assert reason(refused) == "PROMPT_INVALID"
            assert refused.error.status.message.endswith(f", got {told}")

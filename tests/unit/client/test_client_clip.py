"""Whole clips through both clients: which frames are sent in which order, and what is yielded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from diptych import (
    AsyncClient,
    Box,
    Client,
    InvalidRequestError,
    Point,
    Prompt,
    VideoFrame,
    VideoFrameResult,
    VideoPrompt,
    VideoRefusal,
)
from diptych.testing import FakeSegmentService

PIXELS = np.zeros((40, 60, 3), np.uint8)
CLIP = [VideoFrame(index, index / 25, PIXELS) for index in range(12)]
FIRST, SECOND = Prompt(box=Box(10, 5, 30, 25)), Prompt(points=(Point(40, 20),))
PROMPTS = [VideoPrompt(1, 4, FIRST), VideoPrompt(2, 8, SECOND), VideoPrompt(1, 8, SECOND)]
Track = Callable[..., list[Any]]


@pytest.fixture(params=["sync", "async"])
def track(request: pytest.FixtureRequest, service: FakeSegmentService) -> Track:
    def blocking(*args: Any, **kwargs: Any) -> list[Any]:
        with Client(service.address) as client:
            return list(client.track_clip(*args, model="one", **kwargs))

    def awaited(*args: Any, **kwargs: Any) -> list[Any]:
        async def run() -> list[Any]:
            async with AsyncClient(service.address) as client:
                return [event async for event in client.track_clip(*args, model="one", **kwargs)]

        return asyncio.run(run())

    return blocking if request.param == "sync" else awaited


def told(events: list[Any]) -> list[tuple[int, list[int]]]:
    assert all(isinstance(event, VideoFrameResult) for event in events)
    return [(e.frame_index, sorted(found.object_id for found in e.objects)) for e in events]


def sent(service: FakeSegmentService) -> list[str]:
    """The messages: s for a session, the growing numbers of frames, and p for prompts."""
    kinds = []
    for message in service.video_requests:
        kind = message.WhichOneof("event")
        kinds.append(str(message.frame.frame_index) if kind == "frame" else kind[0])
    return kinds


def test_both_ends(track: Track, service: FakeSegmentService) -> None:
    seen = told(track(CLIP, prompts=PROMPTS))
    # Object 1 is first shown on frame 4, object 2 on frame 8: before that, they come from behind.
    assert seen == [(index, [1, 2]) for index in range(12)]
    backward = ["s", "8", "p", "p", "9", "10", "11", "12", "p", *map(str, range(13, 17))]
    forward = ["s", "4", "p", "5", "6", "7", "8", "p", "p", "9", "10", "11"]
    assert sent(service) == backward + forward


def test_what_is_known_forward_is_taken_from_there(
    track: Track, service: FakeSegmentService
) -> None:
    found = {
        e.frame_index: {o.object_id: o.segment.box for o in e.objects}
        for e in track(CLIP, prompts=PROMPTS)
    }
    first, second = Box(10, 5, 30, 25), found[8][2]
    # Backwards object 1 was where its prompt on frame 8 says, until that on frame 4.
    assert [found[index][1] for index in range(12)] == [first] * 8 + [second] * 4
    assert [found[index][2] for index in range(12)] == [second] * 12


def test_one_way(track: Track) -> None:
    assert told(track(CLIP, prompts=PROMPTS, direction="forward")) == [
        *((index, [1]) for index in range(4, 8)),
        *((index, [1, 2]) for index in range(8, 12)),
    ]
    assert told(track(CLIP, prompts=PROMPTS, direction="backward")) == [
        (index, [1, 2]) for index in range(8, -1, -1)
    ]


@pytest.mark.parametrize("index", [0, 11])
def test_at_an_end(track: Track, index: int) -> None:
    one = [VideoPrompt(1, index, FIRST)]
    assert told(track(CLIP, prompts=one)) == [(n, [1]) for n in range(12)]
    assert told(track(CLIP[index : index + 1], prompts=one)) == [(index, [1])]


def test_pictures_are_numbered(track: Track, small_png: bytes) -> None:
    assert told(track([small_png] * 3, prompts=[VideoPrompt(1, 1, FIRST)])) == [
        (n, [1]) for n in range(3)
    ]


def test_what_is_refused_is_told_once(track: Track) -> None:
    broken = [*CLIP[:2], VideoFrame(2, 0.0, b"no picture"), *CLIP[3:]]
    empty = VideoPrompt(7, 4, Prompt())
    events = track(broken, prompts=[*PROMPTS, empty])
    refusals = [event for event in events if isinstance(event, VideoRefusal)]
    assert all(isinstance(refusal.error, InvalidRequestError) for refusal in refusals)
    assert [(r.frame_index, r.object_id) for r in refusals] == [(2, None), (4, 7)]
    results = [event.frame_index for event in events if isinstance(event, VideoFrameResult)]
    assert results == [0, 1, *range(3, 12)]


def test_arguments_are_checked(track: Track) -> None:
    with pytest.raises(ValueError, match="direction"):
        track(CLIP, prompts=PROMPTS, direction="sideways")
    with pytest.raises(ValueError, match="at least one"):
        track(CLIP, prompts=[])
    with pytest.raises(ValueError, match="frame 12"):
        track(CLIP, prompts=[VideoPrompt(1, 12, FIRST)])
    with pytest.raises(ValueError, match="frame 0"):
        track([], prompts=[VideoPrompt(1, 0, FIRST)])
    with pytest.raises(TypeError, match="read from the end"):
        track((frame for frame in CLIP), prompts=PROMPTS)

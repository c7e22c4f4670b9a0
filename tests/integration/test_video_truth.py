"""What the demo weights see in drawn clips, through the SDK and the real SAM 2 service."""

from __future__ import annotations

import importlib
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from serving_helpers import running_service

from diptych import AsyncClient, AsyncVideoSession, Box, Mask, VideoFrameResult, VideoObject

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCENES = Path(__file__).parents[2] / "demo-weights"
PASSES_BEHIND = (30_000_008, 30_000_019, 30_000_026)
"""Held-out clips in which object 2 is hidden for some frames and comes back."""
ENOUGH = 300  # pixels that show, for the object to count as visible

Frames = list[tuple[Any, Any]]


@pytest.fixture(scope="module")
def scenes() -> Iterator[Any]:
    """The module that draws clips."""
    sys.path.insert(0, str(SCENES))
    yield importlib.import_module("scenes")
    sys.path.remove(str(SCENES))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def client() -> AsyncIterator[AsyncClient]:
    """A client of the SAM 2 service with the demo weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIPTYCH_THREADS", "1")
        patch.setenv("DIPTYCH_DEVICE", "cpu")
        async with (
            running_service("diptych_sam2.engine:create") as service,
            AsyncClient(f"127.0.0.1:{service.port}") as made,
        ):
            yield made


def truth(frames: Frames, number: int, value: int) -> Mask:
    return Mask.from_array(frames[number][1] == value)


def box(frames: Frames, number: int, value: int) -> Box:
    found = truth(frames, number, value).box
    assert found is not None
    return found


def overlap(found: VideoObject, wanted: Mask) -> float:
    """IoU; 0 for an object that is not seen."""
    return found.segment.mask.iou(wanted) if found.segment.mask else 0.0


async def only_object(session: AsyncVideoSession, frame_index: int) -> VideoObject:
    """The next result's one object."""
    result = await anext(session)
    assert isinstance(result, VideoFrameResult)
    assert result.frame_index == frame_index
    (found,) = result.objects
    return found


@pytest.mark.parametrize("seed", PASSES_BEHIND)
async def test_presence_falls_while_an_object_is_hidden_and_comes_back(
    client: AsyncClient, scenes: Any, seed: int
) -> None:
    frames: Frames = scenes.crossing_clip(seed, 24)
    shown = np.array([truth(frames, number, 2).area for number in range(24)])
    hidden = np.flatnonzero(shown == 0)
    back = np.flatnonzero(shown[hidden[-1] :] > ENOUGH) + hidden[-1]
    found = []
    async with client.video(jpeg_quality=None) as session:
        for number, (picture, _) in enumerate(frames):
            await session.send(picture)
            if number == 0:
                assert isinstance(await anext(session), VideoFrameResult)
                await session.prompt(7, box=box(frames, 0, 2).xyxy)
            found.append(await only_object(session, number))
    assert len(hidden) >= 3
    assert len(back) >= 8
    assert max(found[number].presence for number in hidden) < 0.5
    assert all(found[number].segment.mask is None for number in hidden)
    assert min(found[number].presence for number in back) >= 0.5
    assert min(overlap(found[number], truth(frames, number, 2)) for number in back) > 0.5


def inside(frames: Frames, number: int, value: int) -> tuple[float, float]:
    """The middle of the object's pixel that is closest to its own middle."""
    rows, columns = np.nonzero(frames[number][1] == value)
    nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    return columns[nearest] + 0.5, rows[nearest] + 0.5


@pytest.mark.parametrize("seed", [5, 9])
async def test_a_correction_of_a_wrong_prompt_changes_the_frames_after_it(
    client: AsyncClient, scenes: Any, seed: int
) -> None:
    frames: Frames = scenes.clip(seed, 16, speed=5)
    before, after = [], []
    async with client.video(jpeg_quality=None) as session:
        for number in range(16):
            await session.send(frames[number][0])
            if number == 0:
                assert isinstance(await anext(session), VideoFrameResult)
                await session.prompt(1, points=[(3, 3)])  # a corner of the background
            found = await only_object(session, number)
            (before if number < 8 else after).append(overlap(found, truth(frames, number, 1)))
            if number == 7:
                clicks = [(*inside(frames, 4, 1), True), (*inside(frames, 4, 2), False)]
                await session.prompt(1, points=clicks, frame_index=4)
                again = [await only_object(session, held) for held in range(4, 8)]
    corrected = [overlap(one, truth(frames, held, 1)) for held, one in enumerate(again, 4)]
    assert np.mean(before) < 0.5
    assert corrected[-1] > 0.9
    assert min(after) > 0.8

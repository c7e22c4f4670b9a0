"""What a live session keeps: no more than it needs, whatever the length of the stream."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from reachable import reachable_bytes
from sam2_video_helpers import (
    BOX,
    OPTIONS,
    POINT,
    feed,
    small_network,
)

from diptych_sam2.network.memory import FrameMemory, MemoryWindow, ObjectMemory
from diptych_sam2.network.video import VideoNetwork
from diptych_sam2.video.session import Sam2VideoSession

COUNT = 160
"""Frames: eight times as many as a memory reaches back."""


@pytest.fixture(scope="module")
def network() -> VideoNetwork:
    return small_network()


@pytest.fixture
def session(network: VideoNetwork) -> Sam2VideoSession:
    return Sam2VideoSession(network, OPTIONS)


@pytest.mark.slow
def test_memory_is_flat_and_counted(network: VideoNetwork, finish: Any) -> None:
    session = Sam2VideoSession(network, OPTIONS, max_conditioning_frames=3)
    counted: list[int] = []
    for index in range(COUNT):
        answer = feed(session, index)
        if index == 0:
            for object_id in (1, 2):
                finish(session.prompt(object_id, 0, BOX))
        if index % 7 == 3:
            finish(session.prompt(1, index, POINT))
        assert index == 0 or len(answer.objects) == 2
        if index % 7 == 5 and index >= 40:
            counted.append(_without_masks(session))
    assert len(set(counted)) == 1
    assert session.nbytes == pytest.approx(reachable_bytes(session, without=VideoNetwork), rel=0.2)
    assert len(session._frames.since(session._held(COUNT - 4))) == 4
    for object_id, track in session._tracks.items():
        memory = track.memory
        assert sorted(track.answers) == list(range(COUNT - 4, COUNT))
        assert min(memory.tracked) >= COUNT - 1 - 3 - 15
        assert len(memory.conditioning) == (3 if object_id == 1 else 1)
        kept = [n for n, one in memory.tracked.items() if one.features is not None]
        assert min(kept) >= COUNT - 1 - 3 - 6
        logits = [n for n, one in memory.tracked.items() if one.logits is not None]
        assert min(logits) >= COUNT - 4


def _without_masks(session: Sam2VideoSession) -> int:
    """Run lengths come and go with the shape of the object; all else must stay the same."""
    answers = [answer for track in session._tracks.values() for answer in track.answers.values()]
    masks = [answer.segment.mask for answer in answers if answer.segment.mask is not None]
    return session.nbytes - sum(mask.counts.nbytes for mask in masks)


def test_closing_frees_everything(session: Any, finish: Any) -> None:
    feed(session, 0)
    finish(session.prompt(1, 0, BOX))
    assert reachable_bytes(session, without=VideoNetwork) > 0
    session.close()
    session.close()
    assert session.nbytes == reachable_bytes(session, without=VideoNetwork) == 0
    with pytest.raises(RuntimeError, match="closed"):
        feed(session, 1)


def test_beyond_the_cap_the_first_and_the_newest_conditioning_frames_stay() -> None:
    memory = ObjectMemory(MemoryWindow(6, 15, 3))
    tensor = torch.zeros(1, 1)
    prompted = FrameMemory(tensor, tensor, tensor, tensor, prompted=True)
    for number in (0, 4, 8, 12):
        memory.condition(number, prompted)
    assert sorted(memory.conditioning) == [0, 8, 12]
    assert memory.tracked == {4: prompted}
    memory.condition(10, prompted)
    assert sorted(memory.conditioning) == [0, 10, 12]
    memory.forget(20)
    assert sorted(memory.conditioning) == [0, 10, 12]
    assert memory.tracked == {8: replace(prompted, features=None, logits=None)}

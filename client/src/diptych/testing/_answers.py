"""What functions that answer for a fake model are given, and what they give."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .._types.segment import Segment
from .._types.video import VideoObject
from ..segment import v1 as pb


@dataclass(frozen=True)
class FakeCall:
    """One question to one fake model."""

    model_id: str
    request: pb.SegmentRequest
    """The message as it came; its image may be a digest."""
    image: bytes
    """The image's bytes, whether they were sent now or before."""
    image_size: tuple[int, int]
    """Height and width."""


Answer = Callable[[FakeCall], Sequence[Segment]]


@dataclass(frozen=True)
class FakeReply:
    """What one fake model answered."""

    call: FakeCall
    segments: Sequence[Segment]


@dataclass(frozen=True)
class FakeVideoFrame:
    """One frame that a fake model is to answer, for the first time or once more."""

    model_id: str
    frame_index: int
    image: bytes
    """The frame's file."""
    image_size: tuple[int, int]
    """Height and width."""
    prompts: Mapping[int, pb.ObjectPrompt]
    """The newest prompt of each object that is followed, by object id."""


VideoAnswer = Callable[[FakeVideoFrame], Sequence[VideoObject]]

"""Small video sessions of Mask R-CNN, and what can be seen of them from outside."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from steps import finished

from diptych import Mask, OutputOptions, Prompt
from diptych_maskrcnn.engine import MaskRcnnEngine
from diptych_maskrcnn.video.session import MaskRcnnVideoSession
from diptych_runtime.engine import FrameAnswer, Pixels, TrackedObject, VideoOptions

SCENES = Path(__file__).parents[2] / "demo-weights"
Clip = list[tuple[Pixels, NDArray[np.uint8]]]
"""Pictures with labels: object ``i`` has the value ``i`` where it shows."""


@cache
def drifting(seed: int, frames: int = 24) -> Clip:
    """A clip of objects that drift and bounce."""
    clip: Clip = _scenes().clip(seed, frames, speed=5)
    return clip


@cache
def crossing(seed: int, frames: int = 24) -> Clip:
    """A clip whose smallest object passes behind the largest."""
    clip: Clip = _scenes().crossing_clip(seed, frames)
    return clip


def _scenes() -> Any:
    sys.path.insert(0, str(SCENES))
    try:
        return importlib.import_module("scenes")
    finally:
        sys.path.remove(str(SCENES))


def truth(clip: Clip, frame: int, value: int) -> Mask:
    """What shows of an object."""
    return Mask.from_array(clip[frame][1] == value)


def around(clip: Clip, frame: int, value: int) -> Prompt:
    """A box around what shows of an object."""
    return Prompt(box=truth(clip, frame, value).box)


def opened(engine: MaskRcnnEngine, **options: Any) -> MaskRcnnVideoSession:
    """A session as the runtime opens it; ``output`` holds options by name."""
    output = {"min_score": 0.5, "max_segments": 100, **options.pop("output", {})}
    chosen = {"track_all": False, "max_objects": 16, "held_frames": 8, **options}
    return engine.open_session(VideoOptions(OutputOptions(**output), **chosen))


def feed(
    session: MaskRcnnVideoSession, clip: Clip, frames: Sequence[int] | range
) -> list[FrameAnswer]:
    """Adds frames of a clip under their numbers."""
    return [finished(session.add_frame(number, clip[number][0])) for number in frames]


def by_id(answer: FrameAnswer) -> dict[int, TrackedObject]:
    return {one.object_id: one for one in answer.objects}


def overlap(one: TrackedObject, mask: Mask) -> float:
    """IoU with the truth; 0 for a hidden object."""
    return one.segment.mask.iou(mask) if one.segment.mask else 0.0


def state_of(session: MaskRcnnVideoSession) -> tuple[Any, ...]:
    """All that a message could leave behind."""
    frames = [
        (f.index, dict(f.segments), dict(f.pins), f.before, f.linked, f.features is None)
        for f in session._frames
    ]
    removed = (set(session._ids.removed), set(session._dismissed))
    return (frames, removed, session.nbytes)

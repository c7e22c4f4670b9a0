"""The fake engine with video: an object is a square around its prompt, from its frame on.

The top left pixel of a frame selects the behaviour, as for pictures. The label of each segment
carries the digest of the frame that was answered; an object is hidden on ``HIDE`` frames, and on
``DRIFT`` frames as many pixels to the right as ``drift`` says, so that a prompt that is given again
on another frame than its own shows. On ``WRONG`` frames object N is the N-th impossible one, on
``UNSURE`` frames its presence is no number, and ``OTHER_FRAME`` is answered as the one before it.
The log gets a line for each frame, step and end of a session.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fake_engine import (
    CRASH,
    GATED,
    HANG,
    NO_MEMORY,
    RAISE,
    WRONG,
    FakeEngine,
    _segment,
    note,
    watermark,
)
from impossible import impossible

from diptych import Box, Prompt, Segment, Task
from diptych_runtime.engine import (
    FrameAnswer,
    LoadedModel,
    Pixels,
    Reason,
    ServiceError,
    Steps,
    TrackedObject,
    VideoOptions,
)
from diptych_runtime.engine.video_errors import nothing_to_correct

HIDE, DRIFT, UNSURE, OTHER_FRAME = (255, 0, 20), (255, 0, 21), (255, 0, 22), (255, 0, 23)


def drift(frame_index: int) -> int:
    """Pixels that everything is moved to the right on a ``DRIFT`` frame. Range [0, 10]."""
    return frame_index * 7 % 11


class FakeSession:
    """Keeps the held frames' digests and the newest box of each object."""

    def __init__(self, options: VideoOptions) -> None:
        if options.track_all:
            raise ServiceError(Reason.TASK_UNSUPPORTED, "fake follows only what is prompted")
        self._options = options
        self._frames: dict[int, tuple[str, tuple[int, ...]]] = {}
        self._objects: dict[int, tuple[int, Box]] = {}
        self._removed: set[int] = set()
        self._size = (0, 0)
        note("open")

    @property
    def nbytes(self) -> int:
        return 1000 * len(self._frames)

    def add_frame(self, frame_index: int, pixels: Pixels) -> Steps[FrameAnswer]:
        behaviour, mark = tuple(int(v) for v in pixels[0, 0]), watermark(pixels)
        note("frame", mark)
        yield from _misbehave(behaviour, mark)
        self._size = (pixels.shape[0], pixels.shape[1])
        self._frames[frame_index] = (mark, behaviour)
        if len(self._frames) > self._options.held_frames:
            del self._frames[next(iter(self._frames))]
        return self._answer(frame_index)

    def prompt(
        self, object_id: int, frame_index: int, prompt: Prompt
    ) -> Steps[tuple[FrameAnswer, ...]]:
        if object_id in self._removed:
            raise ServiceError(Reason.OBJECT_UNKNOWN, "ids are not reused")
        if object_id not in self._objects and len(self._objects) == self._options.max_objects:
            raise ServiceError(Reason.OBJECT_LIMIT, "too many objects")
        yield
        if prompt.is_correction:
            return self._corrected(object_id, frame_index)
        point = prompt.points[0] if prompt.points else None
        # The mask that a session goes on from stands for the box that it was made of.
        box = prompt.box or (prompt.mask and prompt.mask.box) or Box(0, 0, 8, 8)
        if point:
            box = Box(max(point.x - 4, 0), max(point.y - 4, 0), point.x + 4, point.y + 4)
        since = min(frame_index, self._objects.get(object_id, (frame_index, box))[0])
        self._objects[object_id] = since, _moved(box, -self._drift(frame_index))
        return tuple(self._answer(index) for index in self._frames if index >= frame_index)

    def _corrected(self, object_id: int, frame_index: int) -> tuple[FrameAnswer, ...]:
        """A background point takes the right half away."""
        if object_id not in self._objects or frame_index < self._objects[object_id][0]:
            raise nothing_to_correct(f"object {object_id} has no answer on frame {frame_index}")
        since, box = self._objects[object_id]
        half = replace(box, x_max=box.x_min + (box.x_max - box.x_min) // 2)
        self._objects[object_id] = since, half
        return tuple(self._answer(index) for index in self._frames if index >= frame_index)

    def remove(self, object_id: int) -> None:
        if object_id not in self._objects:
            raise ServiceError(Reason.OBJECT_UNKNOWN, f"no object {object_id}")
        del self._objects[object_id]
        self._removed.add(object_id)

    def close(self) -> None:
        note("close")

    def _answer(self, index: int) -> FrameAnswer:
        mark, behaviour = self._frames[index]
        hidden = behaviour == HIDE
        found = []
        for object_id, (since, box) in sorted(self._objects.items()):
            if index < since:
                continue
            shown = _segment(mark, _moved(box, self._drift(index)), self._size, None)
            shown = replace(shown, low_res_logits=None)
            presence = 0.1 if hidden else 0.9
            segment = Segment(presence, label=mark) if hidden else shown
            if behaviour == WRONG:
                segment = impossible(object_id, self._size)
            if behaviour == UNSURE:
                presence = float("nan")
            found.append(TrackedObject(object_id, segment, presence))
        return FrameAnswer(index - (behaviour == OTHER_FRAME), tuple(found))

    def _drift(self, index: int) -> int:
        held = self._frames.get(index)
        return drift(index) if held is not None and held[1] == DRIFT else 0


def _moved(box: Box, right: int) -> Box:
    return Box(box.x_min + right, box.y_min, box.x_max + right, box.y_max)


def _misbehave(behaviour: tuple[int, ...], mark: str) -> Iterator[None]:
    if behaviour == CRASH:
        os._exit(9)
    if behaviour == HANG:
        time.sleep(3600)
    if behaviour == RAISE:
        raise RuntimeError("secret in /usr/lib/python")
    if behaviour == NO_MEMORY:
        raise ServiceError(Reason.DEVICE_MEMORY, "the device has no memory left for this")
    if behaviour == GATED:
        while not Path(os.environ["FAKE_GATE"]).exists():
            time.sleep(0.005)
            note("step", mark)
            yield


class FakeVideoEngine(FakeEngine):
    """See the module."""

    def load(self) -> LoadedModel:
        loaded = super().load()
        return replace(loaded, tasks=(*loaded.tasks, Task.VIDEO_SEGMENTATION))

    def open_session(self, options: VideoOptions) -> FakeSession:
        return FakeSession(options)


def create() -> FakeVideoEngine:
    """The factory that services name."""
    return FakeVideoEngine()

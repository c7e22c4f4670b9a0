"""What a caller of a video session says and gets back, frozen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .checkpoint import VideoCheckpoint
from .errors import DiptychError
from .prompts import OutputOptions
from .results import Timings
from .segment import Segment

if TYPE_CHECKING:
    import supervision

    from .._video.frames import FrameLike
    from ..segment.v1 import VideoFrameSegments

DEFAULT_JPEG_QUALITY = 95


@dataclass(frozen=True)
class VideoLimits:
    """What the server allows in a session."""

    max_objects: int
    """No more objects than this at a time."""
    held_frames: int
    """Prompts are accepted on this many of the newest frames; at least 1."""
    max_frames_in_flight: int
    """Frames that may be sent ahead of the results that were taken."""
    idle_timeout_s: float
    """A session without a message for this long is closed."""
    max_sessions: int = 0
    """Sessions that the server holds at a time, for all its clients; 0 if it does not tell."""


@dataclass(frozen=True)
class VideoObject:
    """One object on one frame."""

    object_id: int
    """The caller's id, or one of 2**30 and above that the server chose."""
    segment: Segment
    """Its mask and box; both ``None`` where the object is hidden."""
    presence: float
    """How sure the model is that the object is visible. Range [0, 1]."""


@dataclass(frozen=True, repr=False)
class VideoFrameResult:
    """Every tracked object on one frame."""

    frame_index: int
    revision: int
    """0 for the first answer for this frame, growing with each correction."""
    objects: tuple[VideoObject, ...]
    image_size: tuple[int, int]
    """Height and width of the frame."""
    timings: Timings = field(default_factory=Timings)
    warnings: tuple[str, ...] = ()
    """As in ``SegmentResult``; only in the first answer for a frame."""
    raw: VideoFrameSegments | None = field(default=None, repr=False, compare=False)
    """The message as it came."""

    def __repr__(self) -> str:
        height, width = self.image_size
        seen = [
            f"{one.segment.label or 'object'} {one.object_id}{'' if one.segment.box else ' hidden'}"
            for one in self.objects[:5]
        ]
        told = ", ".join([*seen, "…"] if len(self) > 5 else seen or ["nothing"])
        return f"VideoFrameResult(frame {self.frame_index}, {width}x{height} px, {told})"

    def __len__(self) -> int:
        """How many objects there are."""
        return len(self.objects)

    def __bool__(self) -> bool:
        """A frame's answer is one, though no object is followed."""
        return True

    def __iter__(self) -> Iterator[VideoObject]:
        """The objects."""
        return iter(self.objects)

    def _repr_png_(self) -> bytes:
        from .._drawing.shown import frame_png

        return frame_png(self)

    def to_json(self) -> str:
        """This frame as JSON, as ``diptych video --json`` and HTTP give it."""
        from ..documents.results import json_text
        from ..documents.video import video_frame_document

        return json_text(video_frame_document(self))

    @staticmethod
    def from_json(text: str | bytes) -> VideoFrameResult:
        """Read a frame from its JSON; equal to what was written.

        Raises:
            ValueError: it is no such document, or one of a later version.
        """
        from ..documents.reading import frame_from_json

        return frame_from_json(text)

    def to_supervision(self) -> supervision.Detections:
        """As ``supervision.Detections`` with ``tracker_id``; hidden objects are left out.

        Raises:
            MissingExtraError: without ``pip install 'diptych[supervision]'``.
        """
        from .._export.formats import tracks_to_supervision

        segments = [found.segment for found in self.objects]
        ids = [found.object_id for found in self.objects]
        return tracks_to_supervision(segments, ids, self.image_size)

    def draw(self, frame: FrameLike) -> NDArray[np.uint8]:
        """A copy of the frame with masks, outlines and labels on it: ``(height, width, 3)`` RGB.

        A label is the object's id, its class if there is one, and its presence; ids keep their
        colours. Needs no extra, and takes some milliseconds.

        Raises:
            OSError, TypeError, ValueError: ``frame`` is no image, or not of the result's size.
        """
        from .._drawing.video import draw_result

        return draw_result(self, frame)


@dataclass(frozen=True)
class VideoRefusal:
    """Something that the server refused without a trace; the session goes on."""

    error: DiptychError
    """Why, as it would be raised for a call."""
    frame_index: int | None = None
    """The frame that was refused, or the one that the refused prompt was for."""
    object_id: int | None = None
    """The object of a refused prompt or removal."""


VideoEvent: TypeAlias = VideoFrameResult | VideoRefusal
"""What iterating a session yields."""


@dataclass(frozen=True)
class VideoOptions:
    """What a session is opened with."""

    model: str | None = None
    output: OutputOptions = field(default_factory=OutputOptions)
    track_all: bool = False
    auto_resume: bool = True
    raise_refusals: bool = False
    jpeg_quality: int | None = DEFAULT_JPEG_QUALITY
    timeout: float | None = None
    checkpoint: VideoCheckpoint | None = None

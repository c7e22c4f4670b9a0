"""What a model has to offer so that the runtime can follow objects through a stream of frames.

A session belongs to the thread that calls its engine. It takes one message at a time: the steps of
one are run to their end, or closed, before the next one starts. A message that is refused, fails or
is closed half-way leaves no trace in the session.

The runtime sees to it that frames grow in index and keep their size, and that a prompt is for one
of the newest ``held_frames`` frames, lies within it, is of a kind that the card names, and has
an object id below ``OWN_IDS``. Which objects there are, the session knows; see ``object_ids``. It
refuses background points alone for an object that has no answer on the frame to be corrected, or
if its model cannot correct; see ``video_errors.nothing_to_correct``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from diptych import OutputOptions, Prompt, VideoObject
from diptych.limits import SERVER_IDS

from .protocol import Engine, Pixels, Steps

OWN_IDS = SERVER_IDS
"""Object ids from here on are chosen by the session, those below by the client."""


@dataclass(frozen=True)
class VideoOptions:
    """What a video session is opened with, every default filled in."""

    output: OutputOptions
    track_all: bool
    max_objects: int
    held_frames: int
    """Prompts are accepted on this many of the newest frames; at least 1."""


TrackedObject: TypeAlias = VideoObject
"""One object on one frame: ``object_id``, ``segment``, and ``presence`` in [0, 1], which says how
sure the model is that the object is visible. The segment's mask and box are ``None`` where it is
hidden."""


@dataclass(frozen=True)
class FrameAnswer:
    """Every tracked object of one frame, by object id."""

    frame_index: int
    objects: tuple[TrackedObject, ...]


class VideoSession(Protocol):
    """Objects followed through one stream of frames of one size."""

    @property
    def nbytes(self) -> int:
        """Memory that the session keeps, on any device."""
        ...

    def add_frame(self, frame_index: int, pixels: Pixels) -> Steps[FrameAnswer]:
        """Take the next frame, ``(height, width, 3)`` RGB; ``frame_index`` grows strictly."""
        ...

    def prompt(
        self, object_id: int, frame_index: int, prompt: Prompt
    ) -> Steps[tuple[FrameAnswer, ...]]:
        """Mark an object on a held frame; answers that frame and all after it anew.

        A refused prompt leaves no trace. Raises ``ServiceError``.
        """
        ...

    def remove(self, object_id: int) -> None:
        """Stop tracking an object. Raises ``ServiceError`` if it is not tracked."""
        ...

    def close(self) -> None:
        """Free everything."""
        ...


class VideoEngine(Engine, Protocol):
    """What an engine whose tasks include ``VIDEO_SEGMENTATION`` also offers."""

    def open_session(self, options: VideoOptions) -> VideoSession:
        """Open a session with memory of its own. Raises ``ServiceError`` for options that it
        cannot do."""
        ...

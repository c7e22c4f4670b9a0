"""The newest frames of a stream: those on which prompts are still accepted."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ..network.frames import Square
from ..network.video import FrameFeatures


@dataclass
class HeldFrame:
    """One frame that can be prompted."""

    number: int
    """Consecutive from 0, whatever the client left out."""
    index: int
    """The client's."""
    square: Square
    features: FrameFeatures | None
    """Kept for the newest frames only; can be made of ``square`` again."""

    @property
    def nbytes(self) -> int:
        """Memory that this keeps alive, in bytes."""
        return self.square.nbytes + (0 if self.features is None else self.features.nbytes)


class HeldFrames:
    """At most ``frames`` of them, ``with_features`` of which keep their features."""

    def __init__(self, frames: int, with_features: int) -> None:
        self._frames: deque[HeldFrame] = deque(maxlen=frames)
        self._with_features = with_features

    @property
    def newest(self) -> HeldFrame | None:
        """The last frame of the stream, or ``None`` before the first."""
        return self._frames[-1] if self._frames else None

    @property
    def oldest_number(self) -> int:
        """Number of the oldest held frame."""
        return self._frames[0].number

    def append(self, frame: HeldFrame) -> None:
        """Hold the next frame, and let go of what is too old."""
        self._frames.append(frame)
        if len(self._frames) > self._with_features:
            self._frames[-1 - self._with_features].features = None

    def at(self, index: int) -> HeldFrame | None:
        """Return the held frame with the client's index."""
        return next((frame for frame in self._frames if frame.index == index), None)

    def since(self, frame: HeldFrame) -> list[HeldFrame]:
        """Return a held frame and those after it."""
        return [held for held in self._frames if held.number >= frame.number]

    def clear(self) -> None:
        """Hold nothing."""
        self._frames.clear()

    @property
    def indices(self) -> list[int]:
        """The client's indices, oldest first."""
        return [frame.index for frame in self._frames]

    @property
    def nbytes(self) -> int:
        """Memory that the frames keep alive, in bytes."""
        return sum(frame.nbytes for frame in self._frames)

"""What a session remembers of one object: a window of frames, which equals remembering them all.

The tracker looks back at the conditioning frames (those with a prompt), at the memory features of
the last few frames and at the object pointers of a few more (``sam2/modeling/sam2_base.py``,
``_prepare_memory_conditioned_features``); nothing older can change an answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Tensor


@dataclass(frozen=True)
class MemoryWindow:
    """How far back a session remembers."""

    memory_frames: int
    """Memory features are read from this many frames before the current one."""
    pointer_frames: int
    """Object pointers are read from this many frames before the current one; not fewer."""
    conditioning_frames: int
    """No more conditioning frames than this; at least 2."""


@dataclass(frozen=True)
class FrameMemory:
    """One object on one frame, on the network's device."""

    pointer: Tensor
    """``(1, channels)`` float32."""
    presence: Tensor
    """``(1, 1)`` logit of the object being visible."""
    logits: Tensor | None
    """``(1, 1, side / 4, side / 4)`` mask logits, while the frame can still be corrected."""
    features: Tensor | None
    """``(1, channels, side / 16, side / 16)`` bfloat16, while they are read."""
    prompted: bool
    """A person said where the object is; tracking never overwrites that."""

    @property
    def nbytes(self) -> int:
        """Memory that this keeps alive, in bytes."""
        tensors = (self.pointer, self.presence, self.logits, self.features)
        return sum(t.untyped_storage().nbytes() for t in tensors if t is not None)


class ObjectMemory:
    """One object's past, by frame number; numbers are consecutive."""

    def __init__(self, window: MemoryWindow) -> None:
        self.conditioning: dict[int, FrameMemory] = {}
        """Frames that every later frame looks back at."""
        self.tracked: dict[int, FrameMemory] = {}
        """All other frames of the window."""
        self.pending: tuple[int, FrameMemory] | None = None
        """The newest frame's prompted answer. It has no memory features and is not looked back at
        until the stream goes on, because further clicks may replace it."""
        self._window = window

    def copy(self) -> ObjectMemory:
        """Copy the memory, to try things on; tensors are shared, none is ever changed."""
        copied = ObjectMemory(self._window)
        copied.conditioning = dict(self.conditioning)
        copied.tracked = dict(self.tracked)
        copied.pending = self.pending
        return copied

    def covers(self, number: int) -> bool:
        """Return whether the stream has passed this frame with this object."""
        return number in self.conditioning or number in self.tracked

    @property
    def numbers(self) -> tuple[frozenset[int], frozenset[int]]:
        """Numbers of the conditioning and of the tracked frames that are remembered."""
        return frozenset(self.conditioning), frozenset(self.tracked)

    def latest(self, number: int) -> FrameMemory | None:
        """Return the last answer for a frame, a pending one first."""
        if self.pending is not None and self.pending[0] == number:
            return self.pending[1]
        return self.conditioning.get(number, self.tracked.get(number))

    def condition(self, number: int, memory: FrameMemory) -> None:
        """Make this a conditioning frame. Beyond the cap the first and the newest ones stay, the
        others become ordinary frames."""
        self.tracked.pop(number, None)
        self.conditioning[number] = memory
        if len(self.conditioning) > self._window.conditioning_frames:
            demoted = sorted(self.conditioning)[1]
            self.tracked[demoted] = self.conditioning.pop(demoted)

    def forget(self, oldest: int) -> None:
        """Drop what no frame from ``oldest`` on can need."""
        for number in [n for n in self.tracked if n < oldest - self._window.pointer_frames]:
            del self.tracked[number]
        for number, memory in self.tracked.items():
            if number < oldest - self._window.memory_frames and memory.features is not None:
                self.tracked[number] = replace(memory, features=None, logits=None)
        for frames in (self.tracked, self.conditioning):
            for number, memory in frames.items():
                if number < oldest and memory.logits is not None:
                    frames[number] = replace(memory, logits=None)

    @property
    def nbytes(self) -> int:
        """Memory that this keeps alive, in bytes."""
        return sum(memory.nbytes for memory in self._all())

    def _all(self) -> Iterator[FrameMemory]:
        yield from self.conditioning.values()
        yield from self.tracked.values()
        if self.pending is not None:
            yield self.pending[1]

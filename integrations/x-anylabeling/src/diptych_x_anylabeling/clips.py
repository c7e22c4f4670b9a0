"""Clips that objects are followed in: their pictures and marks, kept between calls."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field

from diptych import Point

from .refusals import RefusedError

_IDLE_S = 1800.0


@dataclass
class Clip:
    """Pictures in their order, and what is to be followed in them."""

    model_id: str
    frames: list[bytes]
    marks: dict[int, tuple[Point, ...]] = field(default_factory=dict)
    """Points of the one object by frame."""
    category_ids: tuple[int, ...] | None = None
    """Follow everything of these categories instead, empty for all."""
    min_score: float | None = None
    fineness: float = 0.0
    used_at: float = 0.0

    @property
    def size(self) -> int:
        """Bytes of all pictures."""
        return sum(map(len, self.frames))


class Clips:
    """Clips by the id that a client was told; the longest unused make room for new ones."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._clips: dict[str, Clip] = {}

    def __len__(self) -> int:
        """How many are held."""
        return len(self._clips)

    def add(self, clip: Clip) -> str:
        """Hold a clip; returns its id.

        Raises:
            RefusedError: it is larger than what may be held.
        """
        if not clip.frames:
            raise RefusedError("frames: expected at least one, got none")
        if clip.size > self._budget:
            text = f"frames: expected at most {self._budget} bytes together, got {clip.size}"
            raise RefusedError(text, status=413, code="TOO_LARGE")
        self._drop_old(clip.size)
        clip.used_at = time.monotonic()
        clip_id = secrets.token_urlsafe(16)
        self._clips[clip_id] = clip
        return clip_id

    def get(self, clip_id: str) -> Clip:
        """A clip that is held.

        Raises:
            RefusedError: it is not held, or not any more.
        """
        clip = self._clips.get(clip_id)
        if clip is None:
            text = "the clip is not held any more, mark the object again"
            raise RefusedError(text, status=410, code="SESSION_NOT_FOUND")
        clip.used_at = time.monotonic()
        return clip

    def remove(self, clip_id: str) -> None:
        """Drop a clip, if it is held."""
        self._clips.pop(clip_id, None)

    def _drop_old(self, wanted: int) -> None:
        now, held = time.monotonic(), sum(clip.size for clip in self._clips.values())
        for clip_id, clip in sorted(self._clips.items(), key=lambda item: item[1].used_at):
            if now - clip.used_at > _IDLE_S or held + wanted > self._budget:
                held -= clip.size
                del self._clips[clip_id]

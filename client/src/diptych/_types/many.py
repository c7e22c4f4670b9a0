"""What a caller gets back of many images, frozen."""

from __future__ import annotations

from dataclasses import dataclass

from .._arguments import ImageLike
from .results import SegmentResult


@dataclass(frozen=True, eq=False)
class ManyItem:
    """One image of many: its result or why there is none."""

    source: ImageLike
    """The image as it was given; a path for folders."""
    result: SegmentResult | None
    error: Exception | None
    """A ``DiptychError``, or what went wrong when the image was read."""
    index: int = 0
    """Which of the images it is, as they were given, from 0."""

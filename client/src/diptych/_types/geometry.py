"""Points and boxes.

Coordinates are pixels of the image as it was sent, after EXIF orientation was applied; x grows
to the right, y grows downwards, and the top left corner of the top left pixel is (0, 0).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """A place on the wanted object (``positive``) or off it."""

    x: float
    y: float
    positive: bool = True


@dataclass(frozen=True)
class Box:
    """A half-open box: ``x_min <= x < x_max``, ``y_min <= y < y_max``."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float

    @classmethod
    def from_xywh(cls, x: float, y: float, width: float, height: float) -> Box:
        """The box with this top left corner and size."""
        return cls(x, y, x + width, y + height)

    def __iter__(self) -> Iterator[float]:
        """The edges, as ``xyxy``: ``left, top, right, bottom = box``."""
        return iter(self.xyxy)

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom edge."""
        return (self.x_min, self.y_min, self.x_max, self.y_max)

    @property
    def xywh(self) -> tuple[float, float, float, float]:
        """Left and top edge, width and height, as COCO writes boxes."""
        return (self.x_min, self.y_min, self.x_max - self.x_min, self.y_max - self.y_min)

    @property
    def area(self) -> float:
        """Width times height; 0 for a box without an inside."""
        return max(self.x_max - self.x_min, 0.0) * max(self.y_max - self.y_min, 0.0)

    def iou(self, other: Box) -> float:
        """Intersection over union with another box. Range [0, 1]."""
        width = min(self.x_max, other.x_max) - max(self.x_min, other.x_min)
        height = min(self.y_max, other.y_max) - max(self.y_min, other.y_min)
        both = max(width, 0.0) * max(height, 0.0)
        either = self.area + other.area - both
        return both / either if either > 0 else 0.0

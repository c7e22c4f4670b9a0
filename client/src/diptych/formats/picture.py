"""What every format is made of: pictures with what was found in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .._types.geometry import Box
from .._types.segment import Segment

if TYPE_CHECKING:
    from .._types.results import SegmentResult


@dataclass(frozen=True)
class Picture:
    """A picture and what was found in it."""

    name: str
    """Its file's name, with the folders below the one that all pictures are in."""
    width: int
    height: int
    segments: Sequence[Segment]
    model_id: str = ""
    """Who found them; formats of predictions say so."""

    @classmethod
    def of(cls, name: str, result: SegmentResult) -> Picture:
        """Make one of a model's answer.

        Raises:
            ValueError: a mask is of another size than the picture.
        """
        height, width = result.image_size
        return cls(name, width, height, result.segments, result.model_id)

    def __post_init__(self) -> None:
        for number, segment in enumerate(self.segments):
            if segment.mask is not None and segment.mask.size != (self.height, self.width):
                tall, wide = segment.mask.size
                raise ValueError(
                    f"{self.name}: segments[{number}].mask: expected the size of the picture, "
                    f"{self.width} x {self.height}, got {wide} x {tall}"
                )


@dataclass(frozen=True)
class Options:
    """How files are written; what a format has no use for it leaves alone."""

    tolerance: float = 0.0
    """How far, in pixels, a polygon may be from the outline of its mask; 0 follows the pixels."""
    categories: Mapping[int, str] = field(default_factory=dict)
    """Names by id that are written though nothing of them was found, such as those of a model's
    card: numbers are then the same in every export."""
    skeleton: Sequence[tuple[int, int]] = ()
    """Pairs of keypoints that belong together, from 0, as a card has them."""
    info: Mapping[str, str] = field(default_factory=dict)
    """What the file itself is about, where the format has a place for it."""


File = tuple[str, bytes]
"""A name, with folders, and what is in it."""

Files = Iterator[File]


def box_of(segment: Segment) -> Box | None:
    """The box that came, whatever its mask is, else the one around the mask."""
    return segment.box or (segment.mask.box if segment.mask else None)

"""What a caller gets back of many images, frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

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


if TYPE_CHECKING:
    # For type checkers, who then know of `item.error is None` that there is a result.
    @dataclass(frozen=True, eq=False)
    class DoneItem(ManyItem):
        """An image with its result."""

        result: SegmentResult
        error: None

    @dataclass(frozen=True, eq=False)
    class FailedItem(ManyItem):
        """An image without one."""

        result: None
        error: Exception

    Item = DoneItem | FailedItem
else:
    Item = ManyItem


def done_item(source: ImageLike, result: SegmentResult, index: int) -> Item:
    """Make the item of an image that was answered."""
    return cast("Item", ManyItem(source, result, None, index))


def failed_item(source: ImageLike, error: Exception, index: int) -> Item:
    """Make the item of an image that has no result."""
    return cast("Item", ManyItem(source, None, error, index))

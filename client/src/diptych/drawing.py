"""Results drawn over the pixels of their picture. For servers, which bound what they draw."""

from __future__ import annotations

import io

from ._drawing.marks import Pixels
from ._drawing.shown import drawn_comparison, drawn_result
from ._types.results import Comparison, SegmentResult

__all__ = ["drawn_comparison", "drawn_result", "mask_pixels", "to_png"]


def mask_pixels(found: SegmentResult | Comparison) -> int:
    """Count the pixels that drawing looks at: those in the boxes of all masks."""
    if isinstance(found, Comparison):
        return sum(mask_pixels(one.result) for one in found if one.result is not None)
    boxes = (segment.mask.box for segment in found if segment.mask is not None)
    return sum(int(box.area) for box in boxes if box is not None)


def to_png(pixels: Pixels) -> bytes:
    """Make a PNG of pixels; quickly, so that it is a tenth larger than it could be."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=1)
    return out.getvalue()

"""Pictures of results, as notebooks show them: numpy and Pillow, no extra."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from .._pictures.images import open_rgb
from .._types.errors import DiptychError
from .marks import Pixels, draw_label, draw_mask, outline_px
from .palette import color, shared_colors
from .video import VideoPanel, draw_result, side_by_side

if TYPE_CHECKING:
    import os

    import PIL.Image

    from .._types.results import Comparison, SegmentResult
    from .._types.segment import Segment
    from .._types.video import VideoFrameResult
    from ..masks.mask import Mask
    from ..masks.runs import Window

MOST_PX = 480
"""The longer side of a picture in a notebook; a panel of several is smaller."""
_GREY = 232
_MOST_LABELS = 12
_DOT = 0.006  # of the shorter side


def mask_png(mask: Mask) -> bytes:
    """Draw a mask white on black, at most ``MOST_PX`` a side."""
    from PIL import Image

    return _png(Image.fromarray(mask.to_array().astype(np.uint8) * 255), MOST_PX)


def picture_png(pixels: Pixels) -> bytes:
    """Draw a picture as it is."""
    return _png(_image(pixels), MOST_PX)


def result_png(result: SegmentResult) -> bytes:
    """Draw segments on their picture if it is a file that is still there, else on grey."""
    ground = _ground(result.image_size, result.source)
    return _png(_image(drawn_result(result, ground)), MOST_PX)


def comparison_png(comparison: Comparison) -> bytes:
    """Draw the models side by side; segments that match have one colour."""
    sizes = [o.result.image_size for o in comparison.results if o.result is not None]
    ground = _ground(sizes[0] if sizes else (300, 400), comparison.source)
    drawn = drawn_comparison(comparison, ground)
    return _png(_image(drawn), MOST_PX * min(max(len(comparison), 1), 3))


def drawn_result(result: SegmentResult, ground: Pixels) -> Pixels:
    """Draw segments over a picture of their size."""
    inks = [color(index) for index in range(len(result.segments))]
    return _drawn(ground, result.segments, inks)


def drawn_comparison(comparison: Comparison, ground: Pixels, most_px: int | None = None) -> Pixels:
    """Draw what each model found over a picture, side by side, none longer than ``most_px``."""
    colors = shared_colors(comparison.results, comparison.agreements)
    panels = []
    for outcome in comparison.results:
        found = outcome.result.segments if outcome.result is not None else ()
        drawn = _at_most(_drawn(ground, found, colors[outcome.model_id]), most_px)
        error = "" if outcome.error is None else str(outcome.error)
        panels.append(VideoPanel(outcome.model_id, drawn, _counted(len(found)), error))
    return side_by_side(panels or [VideoPanel("no model", _at_most(ground, most_px))])


def _at_most(pixels: Pixels, most_px: int | None) -> Pixels:
    if most_px is None or max(pixels.shape) <= most_px:
        return pixels
    image = _image(pixels)
    image.thumbnail((most_px, most_px))
    return np.asarray(image)


def frame_png(result: VideoFrameResult) -> bytes:
    """Draw the objects of a frame on grey: a result does not hold its frame."""
    return _png(_image(draw_result(result, _ground(result.image_size, None))), MOST_PX)


def _ground(size: tuple[int, int], source: str | os.PathLike[str] | None) -> Pixels:
    if source is not None:
        # The file may have gone since, or be another one now.
        with suppress(DiptychError, OSError, ValueError):
            pixels = np.asarray(open_rgb(source))
            if pixels.shape[:2] == size:
                return pixels
    return np.full((*size, 3), _GREY, np.uint8)


def _drawn(ground: Pixels, segments: Sequence[Segment], inks: Sequence[str]) -> Pixels:
    canvas = ground.copy()
    thickness = outline_px(canvas)
    pairs = list(zip(segments, inks, strict=True))
    for segment, ink in sorted(pairs, key=lambda pair: -pair[0].area):
        if segment.mask is not None and segment.mask.area:
            draw_mask(canvas, segment.mask, ink, thickness)
    bare = [(s, ink) for s, ink in pairs if s.keypoints or not (s.mask and s.mask.area)]
    if bare:
        canvas = _outlined(canvas, bare, thickness)
    placed: list[Window] = []
    for segment, ink in pairs[:_MOST_LABELS]:
        if segment.box is not None and (segment.label or len(pairs) <= _MOST_LABELS):
            draw_label(canvas, f"{segment.label} {segment.score:.2f}", ink, segment.box, placed)
    return canvas


def _outlined(canvas: Pixels, pairs: Sequence[tuple[Segment, str]], thickness: int) -> Pixels:
    """Draw boxes, and the key points that the model rather sees than not (logits over 0)."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(canvas)
    pen = ImageDraw.Draw(image)
    radius = max(1.0, _DOT * min(image.size))
    for segment, ink in pairs:
        if segment.box is not None and segment.box.area:
            pen.rectangle(segment.box.xyxy, outline=ink, width=thickness)
        for point in segment.keypoints:
            if point.score > 0:
                around = (point.x - radius, point.y - radius, point.x + radius, point.y + radius)
                pen.ellipse(around, fill=ink)
    return np.array(image)


def _image(pixels: Pixels) -> PIL.Image.Image:
    from PIL import Image

    return Image.fromarray(pixels)


def _png(image: PIL.Image.Image, most_px: int) -> bytes:
    image.thumbnail((most_px, most_px))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _counted(count: int) -> str:
    return f"{count} segment{'' if count == 1 else 's'}"

"""What commands print and draw, read back: tables, masks, figures, clips."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from clips import read_back
from numpy.typing import NDArray
from PIL import Image

from diptych import Comparison, Mask, SegmentResult, read_video
from diptych._drawing.palette import color


def rows(printed: str) -> list[dict[str, Any]]:
    """The objects of a printed table."""
    pattern = r"^ *\d+ +(\S+) +(\d\.\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+|-)(?: |$)"
    return [
        {"label": label, "score": float(score), "box": (int(x), int(y), int(w), int(h))}
        for label, score, x, y, w, h, _ in re.findall(pattern, printed, re.MULTILINE)
    ]


def is_box(found: tuple[float, ...], wanted: tuple[int, ...], away: float) -> bool:
    """Whether x, y, width and height are those of the edges, within some pixels."""
    x, y, width, height = found
    edges = (x, y, x + width, y + height)
    return bool(np.abs(np.subtract(edges, wanted)).max() <= away)


def mask_of(document: dict[str, Any]) -> Mask:
    rle = document["segmentation"]
    return Mask.from_coco(rle["counts"], tuple(rle["size"]))


def look_at_figure(path: Path, drawn: SegmentResult | Comparison, image: Path) -> None:
    """The panels are where a figure has them: the image, with colour on the masks alone."""
    figure = drawn.plot(image)
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    height, width, _ = pixels.shape
    assert (width, height) == figure.canvas.get_width_height()  # type: ignore[attr-defined]
    results = [drawn] if isinstance(drawn, SegmentResult) else [o.result for o in drawn.results]
    panels: list[SegmentResult | None] = [*results]
    if isinstance(drawn, Comparison):
        panels.insert(0, None)
    assert len(figure.axes) == len(panels)
    for axes, result in zip(figure.axes, panels, strict=True):
        left, bottom, right, top = (
            round(edge * side)
            for edge, side in zip(axes.get_position().extents, (width, height) * 2, strict=True)
        )
        seen = pixels[height - top : height - bottom, left:right]
        size = seen.shape[1::-1]
        away = np.abs(seen - np.asarray(Image.open(image).convert("RGB").resize(size), int))
        segments = result.segments if result is not None else ()
        found = np.zeros(result.image_size if result is not None else (1, 1), bool)
        # What covers most of the image tints all of it a little.
        clear = 4
        for segment in segments:
            assert segment.mask is not None
            if segment.area < found.size / 2:
                found |= segment.mask.to_array()
            else:
                clear = 15
        inside = np.asarray(Image.fromarray(found).resize(size, Image.Resampling.NEAREST))
        outer = np.median(away[~inside])
        assert outer <= clear
        assert not inside.any() or np.median(away[inside].max(axis=1)) >= outer + 12


def colored(path: Path, source: Path, numbers: range) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Where each frame, and each panel of it, has the colour of one of the objects laid over it."""
    frames, sources = read_back(path), list(read_video(source))
    assert len(frames) == len(sources)
    inks = [[int(color(number)[at : at + 2], 16) for at in (1, 3, 5)] for number in numbers]
    for pixels, frame in zip(frames, sources, strict=True):
        height, width, _ = frame.pixels.shape
        panels = [pixels[-height:, :width]]
        panels += [pixels[-height:, -width:]] if pixels.shape[1] >= 2 * width else []
        for panel in panels:
            ground = frame.pixels.astype(float)
            plain = np.abs(panel - ground).max(axis=2)
            assert np.median(plain) <= 6, frame.index
            over = [np.abs(panel - (0.58 * ground + 0.42 * np.array(ink))) for ink in inks]
            yield frame.index, np.min([one.max(axis=2) for one in over], axis=0) < plain - 3

"""Segments drawn into one panel. Needs the extra ``viz``; imported by ``_plot`` only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.patheffects import Normal, Stroke
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from .._types.segment import Keypoint, Segment
from ..masks.mask import Mask
from .palette import text_color

_FILL_ALPHA = 0.42
_BACKGROUND_ALPHA = 0.15  # of masks over half the image, which would tint all others
_LABEL_SIZE = 8.0
_MAX_LABELS = 60
_CROWD = 12  # from this many on, labels that find no room are left out
# https://cocodataset.org, "skeleton" of the person category.
_LIMBS = (
    ("left_ankle", "left_knee"),
    ("left_knee", "left_hip"),
    ("right_ankle", "right_knee"),
    ("right_knee", "right_hip"),
    ("left_hip", "right_hip"),
    ("left_shoulder", "left_hip"),
    ("right_shoulder", "right_hip"),
    ("left_shoulder", "right_shoulder"),
    ("left_shoulder", "left_elbow"),
    ("right_shoulder", "right_elbow"),
    ("left_elbow", "left_wrist"),
    ("right_elbow", "right_wrist"),
    ("left_eye", "right_eye"),
    ("nose", "left_eye"),
    ("nose", "right_eye"),
    ("left_eye", "left_ear"),
    ("right_eye", "right_ear"),
    ("left_ear", "left_shoulder"),
    ("right_ear", "right_shoulder"),
)


def draw_segments(axes: Axes, segments: Sequence[Segment], colors: Sequence[str]) -> None:
    """Masks, boxes where there is none or an empty one, keypoints, and labels on top of all.

    Axes are in pixels of the image.
    """
    shapes = sorted(zip(segments, colors, strict=True), key=lambda pair: -_extent(pair[0]))
    for segment, color in shapes:
        if segment.mask is not None and segment.mask.area:
            _draw_mask(axes, segment.mask, color)
        elif segment.box is not None:
            _draw_box(axes, segment, color)
    for segment, color in shapes:
        _draw_keypoints(axes, segment.keypoints, color)
    _draw_labels(axes, segments[:_MAX_LABELS], colors)


def _extent(segment: Segment) -> float:
    if segment.mask is not None:
        return segment.mask.area
    return segment.box.area if segment.box else 0.0


def _draw_mask(axes: Axes, mask: Mask, color: str) -> None:
    rings = mask.to_polygons()
    if not rings:
        return
    large = mask.area > mask.size[0] * mask.size[1] / 2
    alpha = _BACKGROUND_ALPHA if large else _FILL_ALPHA
    # add_artist instead of add_patch, which would walk along every outline to find its limits.
    # Holes turn the other way round, so the winding rule leaves them out of the filling.
    outline = Path.make_compound_path(*(Path(_closed(ring), closed=True) for ring in rings))
    axes.add_artist(PathPatch(outline, facecolor=color, edgecolor="none", alpha=alpha))
    axes.add_artist(
        PathPatch(
            outline,
            facecolor="none",
            edgecolor=color,
            linewidth=1.4,
            joinstyle="round",
            path_effects=[Stroke(linewidth=2.6, foreground="white", alpha=0.8), Normal()],
        )
    )


def _closed(ring: np.ndarray) -> np.ndarray:
    return np.concatenate([ring, ring[:1]])


def _draw_box(axes: Axes, segment: Segment, color: str) -> None:
    assert segment.box is not None
    left, top, width, height = segment.box.xywh
    frame = Rectangle(
        (left, top),
        width,
        height,
        facecolor="none",
        edgecolor=color,
        linewidth=1.8,
        joinstyle="miter",
        path_effects=[Stroke(linewidth=3.2, foreground="white", alpha=0.8), Normal()],
    )
    axes.add_artist(frame)


def _draw_keypoints(axes: Axes, keypoints: Sequence[Keypoint], color: str) -> None:
    # The score is a logit: below 0 the model is rather sure that the point is not there.
    seen = {point.name: point for point in keypoints if point.score > 0}
    for start, end in _LIMBS:
        if start in seen and end in seen:
            a, b = seen[start], seen[end]
            axes.plot(
                [a.x, b.x],
                [a.y, b.y],
                color=color,
                linewidth=2.0,
                solid_capstyle="round",
                path_effects=[Stroke(linewidth=3.2, foreground="white", alpha=0.7), Normal()],
            )
    axes.plot(
        [point.x for point in seen.values()],
        [point.y for point in seen.values()],
        linestyle="none",
        marker="o",
        markersize=4.5,
        markerfacecolor=color,
        markeredgecolor="white",
        markeredgewidth=0.9,
    )


def _draw_labels(axes: Axes, segments: Sequence[Segment], colors: Sequence[str]) -> None:
    placed: list[Bbox] = []
    crowded = len(segments) > _CROWD
    for index, (segment, color) in enumerate(zip(segments, colors, strict=False)):
        if segment.box is None:
            continue
        name = segment.label or f"#{index}"
        label = axes.text(
            0,
            0,
            f"{name} {segment.score:.2f}",
            fontsize=_LABEL_SIZE,
            color=text_color(color),
            ha="left",
            va="bottom",
            bbox={
                "boxstyle": "round,pad=0.22,rounding_size=0.3",
                "facecolor": color,
                "edgecolor": "white",
                "linewidth": 0.6,
            },
            clip_on=False,
        )
        if not _place(axes, label, segment, placed) and crowded:
            label.remove()


def _place(axes: Axes, label: Text, segment: Segment, placed: list[Bbox]) -> bool:
    """Moves a label to the best place near its segment; whether it covers no other label."""
    canvas = cast(FigureCanvasAgg, axes.figure.canvas)
    extent = label.get_window_extent(canvas.get_renderer())  # type: ignore[no-untyped-call]
    pad = _LABEL_SIZE * 0.35 * axes.figure.dpi / 72
    width, height = extent.width + 2 * pad, extent.height + 2 * pad
    panel = axes.get_window_extent()
    candidates = [
        _inside(Bbox.from_bounds(x, y, width, height), panel)
        for x, y in _corners(axes, segment, width, height)
    ]
    best = min(candidates, key=lambda box: sum(_overlap(box, other) for other in placed))
    x, y = axes.transData.inverted().transform((best.x0 + pad, best.y0 + pad))
    label.set_position((x, y))
    free = all(_overlap(best, other) == 0 for other in placed)
    if free or len(placed) < _CROWD:
        placed.append(best)
    return free


def _corners(
    axes: Axes, segment: Segment, width: float, height: float
) -> list[tuple[float, float]]:
    """Lower left corners that a label may take, in pixels of the figure, the best first."""
    assert segment.box is not None
    left, top, right, bottom = segment.box.xyxy
    x0, y1 = axes.transData.transform((left, top))
    x1, y0 = axes.transData.transform((right, bottom))
    middle_x, middle_y = (x0 + x1 - width) / 2, (y0 + y1 - height) / 2
    return [
        (x0, y1),
        (x0, y1 - height),
        (middle_x, middle_y),
        (x1 - width, y1),
        (x0, y0 - height),
        (x1 - width, y0 - height),
        (middle_x, y0),
        (x1, middle_y),
    ]


def _inside(box: Bbox, panel: Bbox) -> Bbox:
    x = min(max(box.x0, panel.x0), max(panel.x0, panel.x1 - box.width))
    y = min(max(box.y0, panel.y0), max(panel.y0, panel.y1 - box.height))
    return Bbox.from_bounds(x, y, box.width, box.height)


def _overlap(a: Bbox, b: Bbox) -> float:
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return float(max(width, 0.0) * max(height, 0.0))

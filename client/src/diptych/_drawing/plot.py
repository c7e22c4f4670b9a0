"""Figures of results: one panel per model, side by side. Needs the extra ``viz``."""

from __future__ import annotations

import io
import math
import os
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .._arguments import ImageLike
from .._files import FileWriter, source_paths
from .._pictures.images import open_rgb
from .._types.errors import MissingExtraError
from .palette import color, shared_colors

try:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from .draw import draw_segments
except ImportError as error:
    raise MissingExtraError("plot and save need an extra: pip install 'diptych[viz]'") from error

if TYPE_CHECKING:
    import PIL.Image

    from .._types.agreement import Agreement
    from .._types.results import Comparison, ModelOutcome, SegmentResult

_DPI = 150
_SHOWN_DPI = 90
_MIN_SIDE_IN, _MAX_SIDE_IN = 3.6, 6.4  # of the longer side of a panel
_MARGIN_IN, _GAP_IN, _TITLE_IN, _FOOTER_IN = 0.25, 0.25, 0.58, 0.26
_ONE_ROW = 3  # more panels make rows of equal length
_WIDE = 2.2  # images wider than this are stacked
_INK, _FAINT, _ALARM = "#1a1a1a", "#666666", "#b00020"


class _Shown(Figure):
    """A figure that notebooks show without being told to."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=_SHOWN_DPI, facecolor="white")
        return buffer.getvalue()


@dataclass(frozen=True)
class _Panel:
    title: str
    subtitle: str
    draw: Callable[[Axes], None]


def figure_of_result(result: SegmentResult, image: ImageLike | None) -> Figure:
    """See ``SegmentResult.plot``."""
    underlay = _underlay(image, result.image_size)
    colors = [color(index) for index in range(len(result.segments))]
    subtitle = _counted(result, result.timings.total_s)
    panel = _Panel(
        result.model_id, subtitle, lambda axes: draw_segments(axes, result.segments, colors)
    )
    return _figure([panel], underlay, result.image_size, [])


def figure_of_comparison(
    comparison: Comparison, image: ImageLike | None, *, original: bool
) -> Figure:
    """See ``Comparison.plot``."""
    sizes = [outcome.result.image_size for outcome in comparison.results if outcome.result]
    underlay = _underlay(image, sizes[0] if sizes else None)
    size = sizes[0] if sizes else (underlay.height, underlay.width) if underlay else (3, 4)
    colors = shared_colors(comparison.results, comparison.agreements)
    panels = [_panel(outcome, colors[outcome.model_id]) for outcome in comparison.results]
    if original and underlay is not None:
        panels.insert(0, _Panel("picture", f"{size[1]} by {size[0]} px", lambda axes: None))
    footer = [_agreement_line(agreement) for agreement in comparison.agreements]
    return _figure(panels, underlay, size, footer)


def save_figure(
    path: str | os.PathLike[str],
    draw: Callable[[], Figure],
    *,
    image: ImageLike | None,
    overwrite: bool,
) -> None:
    """Writes the figure that ``draw`` makes, of ``image``; see ``SegmentResult.save``."""
    known = FigureCanvasAgg(Figure()).get_supported_filetypes()
    kind = os.path.splitext(path)[1].lower().removeprefix(".")
    if kind not in known:
        raise ValueError(f"path: expected a suffix of {' '.join(known)}, got {os.fspath(path)!r}")
    writer = FileWriter(overwrite=overwrite, sources=source_paths(image))
    writer.check(path)
    figure = draw()
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=figure.dpi, facecolor="white")
    writer.write(path, buffer.getvalue())


def _panel(outcome: ModelOutcome, colors: Sequence[str]) -> _Panel:
    result = outcome.result
    if result is not None:
        segments = result.segments
        return _Panel(
            outcome.model_id,
            _counted(result, outcome.elapsed_s),
            lambda axes: draw_segments(axes, segments, colors),
        )
    failure = outcome.error
    message = str(failure) if failure else "no answer"
    kind = type(failure).__name__ if failure else ""
    return _Panel(outcome.model_id, "failed", lambda axes: _draw_error(axes, kind, message))


def _underlay(image: ImageLike | None, size: tuple[int, int] | None) -> PIL.Image.Image | None:
    if image is None:
        return None
    underlay = open_rgb(image)
    if size is not None and (underlay.height, underlay.width) != size:
        raise ValueError(
            f"image: expected the picture of the result, {size[1]}x{size[0]} px, "
            f"got {underlay.width}x{underlay.height} px"
        )
    return underlay


def _figure(
    panels: Sequence[_Panel],
    underlay: PIL.Image.Image | None,
    size: tuple[int, int],
    footer: Sequence[str],
) -> Figure:
    height, width = size
    longest = min(max(max(size) / _DPI, _MIN_SIDE_IN), _MAX_SIDE_IN)
    # Neither side may vanish, however long the image is.
    panel_w = max(longest * width / max(size), 0.8)
    panel_h = max(longest * height / max(size), 0.5)
    columns = 1 if width / height > _WIDE else _columns(len(panels))
    rows = math.ceil(len(panels) / columns)
    cell_w = max(panel_w, 2.4)
    figure_w = 2 * _MARGIN_IN + columns * cell_w + (columns - 1) * _GAP_IN
    lines = _wrapped(footer, figure_w)
    footer_h = len(lines) * _FOOTER_IN + (0.1 if lines else 0)
    figure_h = 2 * _MARGIN_IN + rows * (panel_h + _TITLE_IN) + (rows - 1) * _GAP_IN + footer_h
    figure = _Shown(figsize=(figure_w, figure_h), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    background = None if underlay is None else _resized(underlay, panel_w, panel_h)
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        left = _MARGIN_IN + column * (cell_w + _GAP_IN)
        top = _MARGIN_IN + row * (panel_h + _TITLE_IN + _GAP_IN) + _TITLE_IN
        bottom = figure_h - top - panel_h
        place = (left / figure_w, bottom / figure_h, panel_w / figure_w, panel_h / figure_h)
        _draw_panel(figure.add_axes(place), panel, background, size)
    for number, line in enumerate(lines):
        y = _MARGIN_IN + (len(lines) - 1 - number) * _FOOTER_IN
        figure.text(_MARGIN_IN / figure_w, y / figure_h, line, fontsize=9, color=_INK)
    return figure


def _columns(panels: int) -> int:
    if panels <= _ONE_ROW:
        return panels
    rows = math.ceil(panels / (_ONE_ROW + 1)) if panels > 2 * _ONE_ROW else 2
    return math.ceil(panels / rows)


def _draw_panel(
    axes: Axes, panel: _Panel, background: np.ndarray | None, size: tuple[int, int]
) -> None:
    height, width = size
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_autoscale_on(False)
    axes.set_aspect("auto")
    ground = np.full((1, 1, 3), 236, np.uint8) if background is None else background
    axes.imshow(ground, extent=(0, width, height, 0), interpolation="nearest", aspect="auto")
    inch = 1 / _size_in(axes)[1]
    for offset, text, size_pt, ink, weight in (
        (0.30, panel.title, 11, _INK, "bold"),
        (0.09, panel.subtitle, 8.5, _FAINT, "normal"),
    ):
        axes.text(
            0,
            1 + offset * inch,
            text,
            transform=axes.transAxes,
            fontsize=size_pt,
            color=ink,
            fontweight=weight,
            va="bottom",
        )
    panel.draw(axes)


def _draw_error(axes: Axes, kind: str, message: str) -> None:
    axes.axhspan(*axes.get_ylim(), facecolor="white", alpha=0.82)
    width_in, height_in = _size_in(axes)
    lines = textwrap.wrap(message, max(12, int(width_in * 12.5)))
    room = max(1, int(height_in / 0.2) - 3)
    if len(lines) > room:
        lines = [*lines[:room], "…"]
    text = f"{kind}\n\n" + "\n".join(lines) if kind else "\n".join(lines)
    axes.text(
        0.5,
        0.5,
        text,
        transform=axes.transAxes,
        fontsize=9,
        color=_ALARM,
        ha="center",
        va="center",
    )


def _size_in(axes: Axes) -> tuple[float, float]:
    """Width and height of a panel in inches."""
    extent = axes.get_window_extent()
    return extent.width / _DPI, extent.height / _DPI


def _resized(underlay: PIL.Image.Image, width_in: float, height_in: float) -> np.ndarray:
    """The image at the panel's own resolution, so that drawing does not resample it badly."""
    from PIL import Image

    target = (max(1, round(width_in * _DPI)), max(1, round(height_in * _DPI)))
    return np.asarray(underlay.resize(target, Image.Resampling.LANCZOS))


def _counted(result: SegmentResult, seconds: float) -> str:
    count = len(result.segments)
    noun = "object" if count == 1 else "objects"
    omitted = f" · {result.omitted} more left out" if result.omitted else ""
    time = f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
    return f"{count} {noun}{omitted} · {time}"


def _agreement_line(agreement: Agreement) -> str:
    a, b = agreement.model_id_a, agreement.model_id_b
    count = len(agreement.matches)
    parts = [f"{count} {'match' if count == 1 else 'matches'}"]
    if agreement.mean_match_iou is not None:
        parts.append(f"mean IoU {agreement.mean_match_iou:.2f}")
    parts += [f"only {a}: {len(agreement.only_a)}", f"only {b}: {len(agreement.only_b)}"]
    if agreement.foreground_iou is not None:
        parts.append(f"foreground IoU {agreement.foreground_iou:.2f}")
    return f"{a} ↔ {b}:  " + " · ".join(parts)


def _wrapped(lines: Sequence[str], width_in: float) -> list[str]:
    room = max(30, int((width_in - 2 * _MARGIN_IN) * 15))
    return [part for line in lines for part in textwrap.wrap(line, room, subsequent_indent="   ")]

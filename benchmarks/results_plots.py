"""Plots of the page of results: ratios with their spread, beside floors and aims."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import machine
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

_COLOURS = {None: "0.45", "missed": "tab:red", "floor": "tab:blue", "aim": "tab:green"}
_WORDS = {None: "nothing asked", "missed": "missed", "floor": "floor met", "aim": "aim reached"}
_STEPS = (1.0, 2.0, 5.0)
_LABEL_WIDTH = 62


def plot(rows: Sequence[machine.Row], path: Path) -> None:
    """Draw the rows that have a ratio, on a logarithmic scale, as SVG."""
    pyplot.switch_backend("svg")
    drawn = [row for row in reversed(rows) if row.ratio is not None]
    figure, axes = pyplot.subplots(figsize=(9, 1.1 + 0.4 * len(drawn)), layout="constrained")
    for place, row in enumerate(drawn):
        _draw(axes, place, row)
    axes.set_yticks(range(len(drawn)), [_label(row) for row in drawn])
    axes.set_ylim(-0.6, len(drawn) - 0.4)
    axes.tick_params(axis="y", labelsize=7, length=0)
    _scale(axes, drawn)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    _explain(figure, drawn)
    # Letters as letters take less space; with salt and no date it is the same each time.
    with pyplot.rc_context({"svg.fonttype": "none", "svg.hashsalt": path.stem}):
        figure.savefig(path, metadata={"Date": None}, facecolor="white")
    pyplot.close(figure)


def _label(row: machine.Row) -> str:
    return "\n".join(
        textwrap.fill(line, _LABEL_WIDTH)
        for line in (row.what, f"against {row.against}{_better(row)}")
    )


def _better(row: machine.Row) -> str:
    return "; less is better" if row.bound == "at most" and row.judged == "ratio" else ""


def _draw(axes: Axes, place: int, row: machine.Row) -> None:
    colour = _COLOURS[row.verdict]
    axes.plot([row.low, row.high], [place, place], color=colour, linewidth=3, alpha=0.5)
    axes.plot([row.ratio], [place], "o", color=colour, markersize=5)
    text = f" {row.ratio:.3g}x"
    axes.annotate(text, (row.ratio, place), (0, 5), textcoords="offset points", fontsize=6)
    if row.judged == "ours":
        return
    for bound, marker in ((row.floor, "|"), (row.aim, "d")):
        if bound is not None:
            axes.plot([bound], [place], marker, color="black", markersize=8, fillstyle="none")


def _scale(axes: Axes, rows: Sequence[machine.Row]) -> None:
    """Labels at 1, 2 and 5 of each power of ten, and room for the bounds."""
    seen = [1.0]
    for row in rows:
        bounds = (row.floor, row.aim) if row.judged == "ratio" else ()
        seen += [v for v in (row.ratio, row.low, row.high, *bounds) if v is not None and v > 0]
    axes.set_xscale("log")
    axes.set_xlim(min(seen) / 1.3, max(seen) * 1.3)
    axes.xaxis.set_major_locator(LogLocator(subs=_STEPS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", labelsize=7)
    axes.grid(axis="x", color="0.92", zorder=0)
    axes.axvline(1, color="0.6", linewidth=1, zorder=0)


def _explain(figure: pyplot.Figure, rows: Sequence[machine.Row]) -> None:
    seen = {row.verdict for row in rows}
    handles = [
        Line2D([], [], color=_COLOURS[verdict], marker="o", label=_WORDS[verdict])
        for verdict in _COLOURS
        if verdict in seen
    ]
    if seen != {None}:
        handles += [
            Line2D([], [], color="black", marker=marker, fillstyle="none", ls="", label=label)
            for marker, label in (("|", "floor"), ("d", "aim"))
        ]
    figure.legend(handles=handles, loc="outside upper right", ncols=6, fontsize=7, frameon=False)

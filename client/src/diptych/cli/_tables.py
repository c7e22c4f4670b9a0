"""Results as tables for people."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from .. import Agreement, ModelOutcome, Segment, SegmentResult

_MAX_ROWS = 40
_STAGES = ("queue", "decode", "encode", "predict", "postprocess", "total")
_PIPE_WIDTH = 160


def stdout() -> Console:
    """A console that does not cut tables short when its output is not a terminal.

    ``COLUMNS`` decides on the width where it is set.
    """
    known = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()
    width = None if known else _PIPE_WIDTH
    # Labels and messages come from servers: brackets and colons in them are no markup.
    return Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)


def simple_table(*columns: str, right: Iterable[str] = (), title: str | None = None) -> Table:
    """A table with few lines; columns in ``right`` hold numbers."""
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    numbers = set(right)
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in numbers else "left"
        table.add_column(column, justify=justify, overflow="fold")  # a cut name is another one
    return table


def headline(result: SegmentResult, seconds: float) -> str:
    """One line on an answer."""
    height, width = result.image_size
    count = len(result.segments)
    omitted = f", {result.omitted} more left out" if result.omitted else ""
    noun = "object" if count == 1 else "objects"
    hit = bool(result.provenance) and all(entry.image_cache_hit for entry in result.provenance)
    cached = ", picture was held" if hit else ""
    return (
        f"{result.model_id}: {count} {noun}{omitted} in {width}x{height} px, "
        f"{milliseconds(seconds)} ms{cached}"
        + "".join(f"\n  warning: {text}" for text in result.warnings)
    )


def segment_table(segments: Sequence[Segment], *, title: str | None = None) -> Table:
    """One row per segment, the first of very many."""
    prompted = any(segment.prompt_index is not None for segment in segments)
    columns = ["#", "label", "score", "x", "y", "width", "height", "area px"]
    columns += ["prompt"] if prompted else []
    redrawn = any(segment.source_iou is not None for segment in segments)
    columns += ["source IoU"] if redrawn else []
    table = simple_table(*columns, right=set(columns) - {"label"}, title=title)
    for index, segment in enumerate(segments[:_MAX_ROWS]):
        box = segment.box
        edges = [f"{edge:.0f}" for edge in box.xywh] if box else ["-"] * 4
        row = [
            str(index),
            segment.label or "-",
            f"{segment.score:.3f}",
            *edges,
            str(segment.area) if segment.mask is not None else "-",
        ]
        if prompted:
            candidate = f".{segment.candidate_index}" if segment.candidate_index else ""
            row.append(f"{segment.prompt_index}{candidate}")
        if redrawn:
            row.append("-" if segment.source_iou is None else f"{segment.source_iou:.3f}")
        table.add_row(*row)
    if len(segments) > _MAX_ROWS:
        table.add_row("…", f"and {len(segments) - _MAX_ROWS} more", *[""] * (len(columns) - 2))
    return table


def agreement_table(agreements: Sequence[Agreement]) -> Table:
    """One row per pair of models."""
    table = simple_table(
        "models",
        "matched by",
        "matches",
        "only first",
        "only second",
        "mean IoU",
        "foreground IoU",
        right=["matches", "only first", "only second", "mean IoU", "foreground IoU"],
        title="Agreement",
    )
    for agreement in agreements:
        table.add_row(
            f"{agreement.model_id_a} / {agreement.model_id_b}",
            agreement.basis,
            str(len(agreement.matches)),
            str(len(agreement.only_a)),
            str(len(agreement.only_b)),
            _share(agreement.mean_match_iou),
            _share(agreement.foreground_iou),
        )
    return table


def timing_table(outcomes: Sequence[ModelOutcome]) -> Table:
    """Where the time went, one row per model that answered."""
    columns = [*_STAGES, "with gateway"]
    table = simple_table("model", *columns, right=columns, title="Time (ms)")
    for outcome in outcomes:
        if outcome.result is None:
            continue
        spent = [getattr(outcome.result.timings, f"{stage}_s") for stage in _STAGES]
        table.add_row(
            outcome.model_id, *(milliseconds(value) for value in (*spent, outcome.elapsed_s))
        )
    return table


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds, with a decimal where it matters."""
    value = seconds * 1000
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"

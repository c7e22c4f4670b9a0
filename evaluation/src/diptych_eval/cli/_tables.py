"""What a run found, as tables and sentences for a terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from diptych.commands import stdout

from ..report.verdict import verdicts
from ..results import Figures, Value

if TYPE_CHECKING:
    from ..asking.estimate import Estimate
    from ..evaluation import Run

_SHOWN = re.compile(
    r"(segm|bbox|keypoints|boundary)/AP(50|75)?|segm/AR100|agnostic(-bbox)?/AR100"
    r"|prompted/(box-mIoU|mIoU@\d+|NoC\d+@90)|semantic/mIoU|video/(J|F|J&F)|agreement/AUROC"
    r"|cost/(service|wall)-p(50|95)-s"
)
_FIRST = ("segm", "bbox", "boundary", "keypoints", "agnostic", "agnostic-bbox", "prompted")
_REFUSED = 5


def print_run(run: Run) -> None:
    """Print figures, differences and verdicts of a run, and where the rest is."""
    print_figures(run.figures)
    click.echo(f"Report: {run.results / 'report.html'}")


def print_figures(figures: Figures) -> None:
    """Print what was refused, the main figures, their differences and a verdict for each kind."""
    if figures.refused:
        names = list(dict.fromkeys(each.name for each in figures.refused))
        click.echo(f"Left out of all figures, since a model gave no answer: {len(names)}.")
        for each in figures.refused[:_REFUSED]:
            click.echo(f"  {each.name}: {each.model_id}, {each.task}: {each.error}")
    for warning in figures.warnings:
        click.echo(f"note: {warning}")
    console = stdout()
    console.print(_figure_table(figures))
    if figures.differences:
        console.print(_difference_table(figures))
    for sentence in verdicts(figures):
        click.echo(sentence)


def print_estimates(found: Sequence[Estimate]) -> None:
    """Print what a run would ask."""
    columns = ("model", "task", "pictures", "answered", "calls", "MB", "time")
    table = _table(columns, left=2)
    for each in found:
        table.add_row(
            each.model_id,
            each.task,
            str(each.items),
            str(each.kept),
            str(each.calls),
            f"{each.request_bytes / 1e6:.1f}",
            _time(each.seconds) + (" *" if each.measured else ""),
        )
    if len(found) > 1:
        known = [each.seconds for each in found if each.seconds is not None]
        total = sum(known) if len(known) == len(found) else None
        table.add_row(
            "together",
            "",
            "",
            "",
            str(sum(each.calls for each in found)),
            f"{sum(each.request_bytes for each in found) / 1e6:.1f}",
            _time(total),
        )
    stdout().print(table)
    click.echo("Calls and bytes at most; time one picture after the other, clips by frames.")
    if any(each.measured for each in found):
        click.echo("* one picture was asked: the service had not said how long it takes")


def _figure_table(figures: Figures) -> Table:
    clips = any(name.startswith("video/") for model in figures.models for name in model.values)
    what = "clips" if clips else "pictures"
    title = f"{figures.dataset}: {figures.picture_count} {what}, {figures.object_count} objects"
    table = _table(("figure", *(model.model_id for model in figures.models)), title=title)
    known = dict.fromkeys(name for model in figures.models for name in model.values)
    for name in sorted(filter(_SHOWN.fullmatch, known), key=_rank):
        cells = [_cell(model.values.get(name)) for model in figures.models]
        table.add_row(name, *cells)
    return table


def _difference_table(figures: Figures) -> Table:
    columns = ("figure", "of", "less that of", "difference", "95 %", "", "wins", "ties", "losses")
    table = _table(columns, left=3, title="Differences")
    for each in figures.differences:
        if _SHOWN.fullmatch(each.figure) and not each.figure.startswith("cost/"):
            table.add_row(
                each.figure,
                each.model_b,
                each.model_a,
                f"{each.value:+.3f}",
                f"[{each.low:+.3f}, {each.high:+.3f}]",
                "" if each.shown else "no difference shown",
                *(str(count) for count in (each.wins, each.ties, each.losses)),
            )
    return table


def _table(columns: Sequence[str], *, left: int = 1, title: str | None = None) -> Table:
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < left else "right", overflow="fold")
    return table


def _cell(value: Value | None) -> str:
    return "-" if value is None or value.value is None else f"{value.value:.3f}"


def _rank(name: str) -> int:
    family = name.partition("/")[0]
    return _FIRST.index(family) if family in _FIRST else len(_FIRST)


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "not known"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"

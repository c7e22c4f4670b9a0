"""The page of results: tables and plots of what ``make bench`` measured.

    python benchmarks/results_page.py

Reads ``benchmarks/results/*.json``, as ``machine.keep`` writes them, and writes
``benchmarks/RESULTS.md`` and ``benchmarks/plots``. What has no rows is not shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import machine
from matplotlib import pyplot
from matplotlib.axes import Axes

_FOLDER = Path(__file__).parent
_PAGE = _FOLDER / "RESULTS.md"
_PLOTS = _FOLDER / "plots"
_HEAD = """# What was measured

`make bench` measures all this and writes this page. Both sides of a ratio run in turn on the same
machine; figures are medians of the rounds, and a ratio is the median of the rounds' ratios, with
the first and the third quartile behind it. A **gain** should be at least its floor, a **cost** at
most its floor; a row without a floor stands there to judge the others by.
"""
_COLUMNS = ("what", "against", "ours", "theirs", "ratio", "floor", "aim", "met", "quality")


@dataclass(frozen=True)
class Kept:
    """What one benchmark kept."""

    name: str
    title: str
    date: str
    machine: str
    rows: list[machine.Row]
    notes: list[str]


def read(folder: Path) -> Iterator[Kept]:
    """Every result that has rows, by name."""
    for path in sorted(folder.glob("*.json")):
        kept: dict[str, Any] = json.loads(path.read_text())
        rows = [machine.Row(**row) for row in kept.get("rows", [])]
        if rows:
            yield Kept(path.stem, kept["title"], kept["date"], kept["machine"], rows, kept["notes"])


def section(kept: Kept) -> str:
    """One benchmark as Markdown."""
    lines = [f"## {kept.title}", "", f"{kept.date}, `{kept.name}.py`: {kept.machine}", ""]
    lines += [_line(_COLUMNS), _line(["---"] * len(_COLUMNS))]
    lines += [_line(_cells(row)) for row in kept.rows]
    if any(row.ratio is not None for row in kept.rows):
        lines += ["", f"![{kept.title}](plots/{kept.name}.svg)"]
    if kept.notes:
        lines += ["", *(f"- {note}" for note in kept.notes)]
    return "\n".join(lines)


def _line(cells: Any) -> str:
    return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |"


def _cells(row: machine.Row) -> list[str]:
    if row.ratio is None or row.low is None or row.high is None:
        return [row.what, row.against, *["-"] * 6, row.quality]
    return [
        row.what,
        row.against,
        f"{row.ours:.4g} {row.unit}",
        f"{row.theirs:.4g} {row.unit}",
        f"{row.ratio:.2f}x ({row.low:.2f} to {row.high:.2f}, {_rounds(row)})",
        "-" if row.floor is None else f"{row.bound} {row.floor:g}x",
        "-" if row.aim is None else f"{row.aim:g}x",
        _met(row),
        row.quality or "-",
    ]


def _rounds(row: machine.Row) -> str:
    return "1 round" if row.rounds == 1 else f"{row.rounds} rounds"


def _met(row: machine.Row) -> str:
    if row.ratio is None or row.floor is None:
        return "-"
    aim = row.floor if row.aim is None else row.aim
    gain = row.bound == "at least"
    floor_met, aim_met = (
        row.ratio >= bound if gain else row.ratio <= bound for bound in (row.floor, aim)
    )
    return ("aim" if aim_met else "floor") if floor_met else "**missed**"


def plot(kept: Kept, path: Path) -> None:
    """Ratios with their spread, on a logarithmic scale, beside floors and aims."""
    rows = [row for row in kept.rows if row.ratio is not None]
    figure, axes = pyplot.subplots(figsize=(9, 0.8 + 0.38 * len(rows)), layout="constrained")
    for place, row in enumerate(reversed(rows)):
        _draw(axes, place, row)
    axes.set_yticks(range(len(rows)), [f"{r.what}\nagainst {r.against}" for r in reversed(rows)])
    axes.tick_params(axis="y", labelsize=6)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}x")
    axes.xaxis.set_minor_formatter("{x:g}x")
    axes.tick_params(axis="x", which="both", labelsize=6)
    axes.axvline(1, color="0.8", zorder=0)
    axes.set_xlabel("ratio; line: quartiles, |: floor, diamond: aim", fontsize=7)
    # Letters as letters take less space; with salt and no date it is the same each time.
    with pyplot.rc_context({"svg.fonttype": "none", "svg.hashsalt": kept.name}):
        figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _draw(axes: Axes, place: int, row: machine.Row) -> None:
    missed = _met(row).startswith("**")
    colour = "0.5" if row.floor is None else "tab:red" if missed else "tab:green"
    axes.plot([row.low, row.high], [place, place], color=colour, linewidth=2)
    axes.plot([row.ratio], [place], "o", color=colour, markersize=4)
    for bound, marker in ((row.floor, "|"), (row.aim, "d")):
        if bound is not None:
            axes.plot([bound], [place], marker, color="black", markersize=6, fillstyle="none")


def main() -> None:
    """Write page and plots."""
    pyplot.switch_backend("svg")
    _PLOTS.mkdir(exist_ok=True)
    every = list(read(machine.RESULTS))
    for kept in every:
        if any(row.ratio is not None for row in kept.rows):
            plot(kept, _PLOTS / f"{kept.name}.svg")
    _PAGE.write_text("\n\n".join([_HEAD.rstrip(), *map(section, every)]) + "\n")
    print(f"{_PAGE.name}: {len(every)} benchmarks")


if __name__ == "__main__":
    main()

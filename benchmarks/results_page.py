"""The page of results: tables and plots of what ``make bench`` measured.

    python benchmarks/results_page.py [--page RESULTS.md]

Reads ``benchmarks/results/*.json``, as ``machine.keep`` writes them, and writes the page, its plots
and, beside it, what it shows as JSON. A benchmark that was not run since stays on the page as it
was, with its date and machine: so a page can be renewed in parts. Machines whose figures do not
belong together get a page each. What has neither rows nor gates nor tables is not shown.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import machine
from results_plots import plot

_FOLDER = Path(__file__).parent
_ORDER = (
    *("sam2_encoder", "sam2_automatic", "mask_rcnn", "mask_rcnn_memory", "sam2_prompt"),
    *("second_prompt", "sam2_video", "sam2_single", "sam2_profile", "hop", "request_cost"),
    *("peers", "compare_cost"),
)
"""Of benchmarks on the page; others come after them, by name."""
_HEAD = """# What was measured

The models that Diptych serves against the same models called directly, and its services against
other servers. `make bench` measures all this and writes this page; nothing here is typed by hand.

Both sides of a ratio run in turn, round by round, in the same run on the same machine. Times are
medians of the rounds. A ratio is the median of the rounds' ratios; behind it are its first and
third quartile and the number of rounds. What was asked for was set before anything was measured: a
**floor** that has to be met, and an **aim**. *sam2*, *torchvision* and *pycocotools* are the
published packages, called as their documentation shows, in this process, in float32 and with as
many threads. What each other server was allowed is said below its figures.

The services compute in one of two tiers. **exact** is float32 and changes nothing but rounding;
**fast** is bfloat16 where that loses little. How little is [below](#the-same-masks).
"""
_SAME = """## The same masks

Both tiers against the published packages on the same pictures, with the demo weights. Masks are
matched one to one, greedily from the largest overlap, from an IoU of 0.5 on. IoU is the mean over
these pairs, recall the share of the package's masks that have a partner, precision the share of
ours. No picture is left out."""
_SPEEDS = ("what", "against", "asked for", "ours", "theirs", "ratio", "verdict")
_GATES = (
    *("what", "tier", "masks, ours / theirs", "IoU", "recall", "precision"),
    *("same count", "asked for", "verdict"),
)
_WORDS = {"aim": "aim reached", "floor": "floor met", "missed": "**missed**", None: ""}


@dataclass(frozen=True)
class Kept:
    """What one benchmark kept."""

    name: str
    title: str
    date: str
    machine: str
    threads: int | None
    rows: list[machine.Row]
    gates: list[machine.Gate]
    notes: list[str]
    tables: list[machine.Table] = field(default_factory=list)


def read(folder: Path) -> dict[str, Kept]:
    """Every result that has something to show, by the benchmark's name."""
    found = {}
    for path in folder.glob("*.json"):
        kept: dict[str, Any] = json.loads(path.read_text())
        if kept["rows"] or kept["gates"] or kept.get("tables"):
            figures = kept.pop("figures")
            threads = figures.get("threads") if isinstance(figures, dict) else None
            found[path.stem] = _kept({**kept, "name": path.stem, "threads": threads})
    return found


def renewed(memory: Path, measured: Mapping[str, Kept]) -> list[Kept]:
    """What the page has shown, with what was measured since in its place; in the page's order.

    Writes it back, without the single measurements.
    """
    shown = json.loads(memory.read_text()) if memory.exists() else []
    every = {**{kept["name"]: _kept(kept) for kept in shown}, **measured}
    found = sorted(every.values(), key=_place)
    memory.write_text(json.dumps([asdict(kept) for kept in found], indent=1) + "\n")
    return found


def _kept(fields: Mapping[str, Any]) -> Kept:
    rows = [machine.Row(**row) for row in fields["rows"]]
    gates = [machine.Gate(**gate) for gate in fields["gates"]]
    tables = [machine.Table(**table) for table in fields.get("tables", ())]
    return Kept(**{**fields, "rows": rows, "gates": gates, "tables": tables})


def _place(kept: Kept) -> tuple[int, str]:
    """By the longest name in the order that it begins with; those of a GPU after all others."""
    fits = [name for name in _ORDER if kept.name.startswith(name)]
    place = _ORDER.index(max(fits, key=len)) if fits else len(_ORDER)
    return place + kept.name.endswith("_cuda") * (len(_ORDER) + 1), kept.name


def summary(every: Sequence[Kept]) -> str:
    """All that was asked for, and how it went."""
    judged = [(kept, row) for kept in every for row in kept.rows if row.floor or row.aim]
    missed = sum(row.verdict == "missed" for _, row in judged)
    gates = [gate for kept in every for gate in kept.gates if gate.least_iou is not None]
    failed = sum(not gate.met for gate in gates)
    lines = [
        "## In short",
        "",
        f"{len(judged) - missed} of {len(judged)} lines meet what was asked for; "
        f"{len(gates) - failed} of {len(gates)} comparisons of masks do.",
        "",
        *_table(_SPEEDS, (_speeds(row) for _, row in judged)),
    ]
    names = {kept.name for kept in every}
    absent = [name for name in _ORDER if not any(one.startswith(name) for one in names)]
    if absent:
        lines += ["", f"Not measured: {', '.join(f'`{name}`' for name in absent)}."]
    if len(machines := {kept.machine for kept in every}) > 1:
        lines += ["", f"The figures are of {len(machines)} machines; each section names its own."]
    return "\n".join(lines)


def masks(every: Sequence[Kept]) -> str:
    """How far the answers are the same, and on what."""
    lines = [_SAME, ""]
    for kept in (kept for kept in every if kept.gates):
        lines += _table(_GATES, (_compared(gate) for gate in kept.gates))
        lines += ["", _where(kept), *_notes(kept)]
    return "\n".join(lines)


def section(kept: Kept, plots: str) -> str:
    """One benchmark: every row, a plot, its tables, and what a reader has to know."""
    lines = [f"## {_heading(kept)}", "", _where(kept)]
    if kept.rows:
        columns = _SPEEDS + (("answers",) if any(row.quality for row in kept.rows) else ())
        cells = ([*_speeds(row), row.quality][: len(columns)] for row in kept.rows)
        lines += ["", *_table(columns, cells)]
    if any(row.ratio is not None for row in kept.rows):
        lines += ["", f"![The ratios above]({plots}/{kept.name}.svg)"]
    for table in kept.tables:
        lines += ["", *_table(table.columns, table.rows)]
    return "\n".join([*lines, *_notes(kept)])


def _heading(kept: Kept) -> str:
    """With what tells one result of a script from its others: size and device."""
    title = kept.title.replace("``", "`")
    told = kept.name.removeprefix(_script(kept)).strip("_").replace("_", ", ")
    return f"{title} ({told})" if told else title


def _where(kept: Kept) -> str:
    threads = "" if kept.threads is None else f", threads: {kept.threads}"
    return f"`{_script(kept)}.py`, {kept.date}, {kept.machine}{threads}."


def _script(kept: Kept) -> str:
    """The longest name of a script that the result's begins with; else the result's own."""
    names = [path.stem for path in _FOLDER.glob("*.py") if kept.name.startswith(path.stem)]
    return max(names, key=len, default=kept.name)


def _notes(kept: Kept) -> list[str]:
    return ["", *(f"- {note}" for note in kept.notes)] if kept.notes else []


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for cells in (columns, ["---"] * len(columns), *rows):
        yield f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _speeds(row: machine.Row) -> list[str]:
    if row.ratio is None or row.low is None or row.high is None:
        return [row.what, row.against, *[""] * 5]
    rounds = "1 round" if row.rounds == 1 else f"{row.rounds} rounds"
    return [
        row.what,
        row.against,
        _asked(row),
        f"{_figure(row.ours)} {row.unit}",
        f"{_figure(row.theirs)} {row.unit}",
        f"**{row.ratio:.3g}x** ({row.low:.3g} to {row.high:.3g}, {rounds})",
        _WORDS[row.verdict],
    ]


def _figure(value: float | None) -> str:
    """Three digits, without an exponent."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _asked(row: machine.Row) -> str:
    unit = "x" if row.judged == "ratio" else f" {row.unit}"
    words = [f"{row.bound} {row.floor:.3g}{unit}"] if row.floor is not None else []
    if row.aim is not None:
        words.append(f"aim {row.aim:.3g}{unit}" if words else f"aim {row.bound} {row.aim:g}{unit}")
    return ", ".join(words)


def _compared(gate: machine.Gate) -> list[str]:
    asked = []
    if gate.least_iou is not None:
        asked = [f"IoU {gate.least_iou:g}", f"recall and precision {gate.least_share:g}"]
    if gate.least_same_count is not None:
        asked.append(f"same count on {gate.least_same_count:.0%}")
    return [
        gate.what,
        gate.tier,
        f"{gate.ours} / {gate.theirs}",
        f"{gate.matched_iou:.4f}",
        f"{gate.recall:.4f}",
        f"{gate.precision:.4f}",
        f"{gate.same_count:.1%} of {gate.pictures}",
        ", ".join(asked),
        "" if not asked else "met" if gate.met else "**missed**",
    ]


def page(every: Sequence[Kept], plots: str) -> str:
    """All of it; ``plots`` is the folder of the plots as the page names it."""
    parts = [_HEAD.rstrip(), summary(every), masks(every)]
    parts += [section(kept, plots) for kept in every if kept.rows or kept.tables]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Write page, memory and plots."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--page", default="RESULTS.md", help="a name in the benchmarks' folder")
    path = _FOLDER / parser.parse_args().page
    folder = f"plots/{path.stem}"
    (_FOLDER / folder).mkdir(parents=True, exist_ok=True)
    every = renewed(path.with_suffix(".json"), read(machine.RESULTS))
    for kept in every:
        if any(row.ratio is not None for row in kept.rows):
            plot(kept.rows, _FOLDER / folder / f"{kept.name}.svg")
    path.write_text(page(every, folder))
    print(f"{path.name}: {len(every)} benchmarks")


if __name__ == "__main__":
    main()

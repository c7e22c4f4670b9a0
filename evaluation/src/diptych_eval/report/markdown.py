"""The report in short, to be pasted into a pull request."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..results import Figures
from .markup import clean, short
from .verdict import verdicts
from .words import NONE, families_in, interval, name_of, signed, with_interval

# Brackets and underlines only where they would be read as more than themselves.
_SPECIAL = re.compile(r"([\\`*<>|~&]|(?<!\w)[_#]|_(?!\w)|\](?=[(\[:]))")
_MENTION = re.compile(r"(?<!\w)@(?=\w)")
_MOST = 20


def markdown(figures: Figures) -> str:
    """Make ``report.md``; see ``write_report``."""
    first, *others = verdicts(figures)
    parts = [f"### Evaluation on {plain(figures.dataset)}", f"**{plain(first)}**"]
    parts += ["\n".join(f"- {plain(each)}" for each in others)] if others else []
    counts = f"{figures.picture_count:,} pictures, {figures.object_count:,} labelled objects."
    parts += [counts, *_warnings(figures), _values(figures)]
    parts += [_differences(figures)] if figures.differences else []
    parts += [_provenance(figures)]
    return "\n\n".join(parts) + "\n"


def plain(text: str) -> str:
    """Write text so that Markdown reads nothing into it, on one line."""
    line = " ".join(clean(text).split())
    return _MENTION.sub("@\u2060", _SPECIAL.sub(r"\\\1", line))


def _warnings(figures: Figures) -> list[str]:
    lines = [f"- ⚠ {plain(each)}" for each in figures.warnings[:_MOST]]
    lines += [
        f"- left out: {plain(short(each.name))} ({plain(each.model_id)}: {plain(each.error)})"
        for each in figures.refused[:_MOST]
    ]
    more = max(len(figures.warnings) - _MOST, 0) + max(len(figures.refused) - _MOST, 0)
    lines += [f"- and {more} more"] if more else []
    return ["\n".join(lines)] if lines else []


def _values(figures: Figures) -> str:
    known = {name: None for model in figures.models for name in model.values}
    rows = []
    for family in families_in(set(known)):
        for name in known:
            if name.partition("/")[0] != family.key:
                continue
            found = [model.values.get(name) for model in figures.models]
            if any(value is not None and value.value is not None for value in found):
                cells = [NONE if value is None else with_interval(name, value) for value in found]
                rows.append([name_of(name), *cells])
    return _table(["", *(model.model_id for model in figures.models)], rows)


def _differences(figures: Figures) -> str:
    rows = [
        [
            f"{name_of(each.figure)}: {each.model_b} minus {each.model_a}",
            f"{signed(each.figure, each.value)} "
            f"{interval(each.figure, each.low, each.high, sign=True)}",
            "yes" if each.shown else "no",
            f"{each.wins}, {each.ties}, {each.losses}",
        ]
        for each in figures.differences[: 3 * _MOST]
    ]
    return _table(["", "difference, 95 % interval", "shown", "won, even, lost"], rows)


def _provenance(figures: Figures) -> str:
    lines = []
    for model, known in figures.provenance.items():
        said = ", ".join(
            f"{key} {value[:12] if key.endswith('sha256') else value}"
            for key, value in known.items()
            if value
        )
        lines.append(f"- {plain(model)}: {plain(said)}")
    options = ", ".join(f"{key} {value}" for key, value in sorted(figures.options.items()))
    lines.append(f"- {plain(options)}" if options else "")
    return "\n".join(line for line in lines if line)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    written = [[each if row is lines[1] else plain(each) for each in row] for row in lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in written)

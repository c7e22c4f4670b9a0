"""The parts of the page that are figures: tables, plots and charts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from ..results import Curve, Difference, Figures, ModelFigures, Value
from . import charts
from .markup import Child, Markup, join, short, tag
from .verdict import is_better, verdicts
from .words import (
    INTERVALS,
    NONE,
    Family,
    families_in,
    interval,
    name_of,
    short_name,
    signed,
    titled,
    unit_of,
    written,
)

MOST_LINES = 50
MOST_ROWS = 200
_MOST_DIFFERENCES = 300
_UNITS = ("share", "count", "s", "bytes")


def look_of(figures: Figures, model_id: str) -> str:
    """Name the colour of a model; they repeat after eight."""
    ids = [model.model_id for model in figures.models]
    return f"m{ids.index(model_id) % 8}" if model_id in ids else "m0"


def section(title: str, *children: Child, id: str) -> Markup:
    """Make a part of the page with a heading that names it."""
    return tag(
        "section",
        tag("h2", title, id=f"{id}-title"),
        *children,
        id=id,
        aria_labelledby=f"{id}-title",
    )


def table(caption: str, head: Sequence[Child], rows: Sequence[Child], **how: str | bool) -> Markup:
    """Make a table that scrolls by itself on a narrow screen."""
    made = tag(
        "table",
        tag("caption", caption),
        tag(
            "thead",
            tag("tr", [tag("th", each, scope="col") if each else tag("td") for each in head]),
        ),
        tag("tbody", rows),
        **how,
    )
    return tag("div", made, class_="scroll", tabindex=0, role="region", aria_label=caption)


def row(head: Child, cells: Sequence[Child]) -> Markup:
    """Make a row with a heading; cells that are no ``td`` yet become one."""
    done = [
        each if isinstance(each, Markup) and each.startswith("<td") else tag("td", each)
        for each in cells
    ]
    return tag("tr", tag("th", head, scope="row"), done)


def head(figures: Figures) -> Markup:
    """Say the verdict, then what heads a report: warnings and pictures that left all figures."""
    first, *others = verdicts(figures)
    counts = f"{figures.picture_count:,} pictures, {figures.object_count:,} labelled objects"
    return join(
        [
            tag("p", first, class_="verdict"),
            tag("ul", [tag("li", each) for each in others], class_="more") if others else None,
            tag("p", f"Data set {short(figures.dataset)}: {counts}.", class_="soft"),
            _warnings(figures),
            _refused(figures),
        ]
    )


def _warnings(figures: Figures) -> Markup | None:
    if not figures.warnings:
        return None
    shown = [tag("li", each) for each in figures.warnings[:MOST_LINES]]
    if more := len(figures.warnings) - MOST_LINES:
        shown += [tag("li", f"{more} more in metrics.json")] if more > 0 else []
    return tag("div", tag("h2", "Read this first"), tag("ul", shown), class_="notice")


def _refused(figures: Figures) -> Markup | None:
    if not figures.refused:
        return None
    names = {each.name for each in figures.refused}
    what = "1 picture leaves" if len(names) == 1 else f"{len(names):,} pictures leave"
    rows = [
        row(short(each.name), [each.model_id, each.task, each.error])
        for each in figures.refused[:MOST_LINES]
    ]
    more = len(figures.refused) - MOST_LINES
    return tag(
        "div",
        tag("h2", f"{what} the figures of all models, because a model gave no answer"),
        table("Pictures without an answer", ["Picture", "Model", "Task", "Error"], rows),
        tag("p", f"{more} more in metrics.json.") if more > 0 else None,
        class_="notice",
    )


def values(figures: Figures) -> Markup:
    """Set the models side by side, family by family."""
    known = {name: None for model in figures.models for name in model.values}
    parts = []
    for family in families_in(set(known)):
        names = [name for name in known if name.partition("/")[0] == family.key]
        parts.append(_family_table(figures, family, names))
    few = len(figures.models) <= 3
    return section("Figures", tag("div", parts, class_="pair" if few else None), id="figures")


def _family_table(figures: Figures, family: Family, names: Sequence[str]) -> Markup:
    notes = Notes()
    found = {name: [model.values.get(name) for model in figures.models] for name in names}
    rows = [
        row(
            short_name(name) if family.adjective else name_of(name),
            [cell(name, value, notes) for value in values],
        )
        for name, values in found.items()
    ]
    models = [_model_head(figures, model) for model in figures.models]
    reading = tag("details", tag("summary", "How to read it"), tag("p", family.reading))
    return tag(
        "div",
        table(family.title, ["Figure", *models], rows, class_="figures"),
        notes.listed(),
        reading if family.reading else None,
    )


def _model_head(figures: Figures, model: ModelFigures) -> Markup:
    return join([charts.dot(look_of(figures, model.model_id)), " ", short(model.model_id)])


class Notes:
    """Reasons that stand below a table, each once, with a letter in its cells."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def mark(self, text: str) -> Markup | None:
        """Refer to a text."""
        if not text:
            return None
        return tag("sup", self._texts.setdefault(text, _letters(len(self._texts))))

    def listed(self) -> Markup | None:
        """List all texts that were referred to."""
        items = [tag("p", tag("sup", mark), " ", text) for text, mark in self._texts.items()]
        return tag("div", items, class_="notes") if items else None


def _letters(number: int) -> str:
    letter = chr(ord("a") + number % 26)
    return letter if number < 26 else f"{letter}{number // 26}"


def cell(name: str, value: Value | None, notes: Notes) -> Markup:
    """Write a value with its interval; where it is none, its reason goes below the table."""
    if value is None:
        return tag("td", NONE)
    if value.value is None:
        return tag("td", "none", notes.mark(value.why or "no reason given"), class_="soft")
    low, high = value.low, value.high
    known = low is not None and high is not None
    bounds = tag("small", interval(name, low or 0, high or 0), class_="bounds") if known else None
    return tag("td", tag("b", written(name, value.value)), notes.mark(value.why), bounds)


def differences(figures: Figures) -> Markup | None:
    """Plot every difference with its interval, a table for each pair of models and unit."""
    if not figures.differences:
        return None
    order = {model.model_id: index for index, model in enumerate(figures.models)}
    shown = sorted(
        figures.differences[:_MOST_DIFFERENCES],
        key=lambda d: (
            order.get(d.model_a, 0),
            order.get(d.model_b, 0),
            _UNITS.index(unit_of(d.figure)),
        ),
    )
    parts: list[Child] = []
    groups = groupby(shown, key=lambda d: (d.model_a, d.model_b, unit_of(d.figure)))
    for (a, b, unit), members in groups:
        parts.append(_difference_table(figures, a, b, unit, list(members)))
    more = len(figures.differences) - _MOST_DIFFERENCES
    if more > 0:
        parts.append(tag("p", f"{more} more differences are in metrics.json."))
    return section("Differences", tag("p", INTERVALS, class_="soft"), parts, id="differences")


def _difference_table(
    figures: Figures, a: str, b: str, unit: str, members: Sequence[Difference]
) -> Markup:
    ends = [end for each in members for end in (each.low, each.high, each.value)]
    axis = charts.axis_over([*ends, 0.0], most_ticks=4)
    rows = [_difference_row(figures, axis, each) for each in members]
    scale = charts.axis_row(axis, [charts.tick(each) for each in axis.ticks])
    foot = tag("tr", tag("td"), tag("td", scale), tag("td"), tag("td"), class_="scale")
    unit_said = {"share": "", "s": ", in seconds", "bytes": ", in bytes"}.get(unit, ", counts")
    return table(
        f"{b} minus {a}{unit_said}",
        ["Figure", f"← {a} has more · {b} has more →", "Difference", "Pictures: won, even, lost"],
        [*rows, foot],
        class_="plot",
    )


def _difference_row(figures: Figures, axis: charts.Axis, each: Difference) -> Markup:
    better = is_better(each)
    winner = {None: "", True: each.model_b, False: each.model_a}[better]
    look = look_of(figures, winner) if winner else "level"
    said = f"{winner} is better" if winner else "no difference shown"
    bounds = interval(each.figure, each.low, each.high, sign=True)
    return row(
        name_of(each.figure),
        [
            charts.interval_row(axis, each.value, each.low, each.high, look),
            tag(
                "td",
                tag("b", signed(each.figure, each.value)),
                " ",
                tag("span", bounds, class_="bounds"),
                tag("small", said),
            ),
            tag("td", f"{each.wins}, {each.ties}, {each.losses}", class_="wins"),
        ],
    )


def per_class(figures: Figures) -> Markup | None:
    """Set classes against models, for the first figure of each family that has classes."""
    names: dict[str, None] = {}
    for model in figures.models:
        for known in model.per_class.values():
            names.update(dict.fromkeys(known))
    parts = []
    for family in families_in(set(names)):
        members = [name for name in names if name.partition("/")[0] == family.key]
        wanted = [f"{family.key}/{main}" for main in (*family.main, "IoU")]
        order = [each for each in wanted if each in members] or members
        name = max(order, key=lambda each: (_models_with(figures, each), -order.index(each)))
        parts.append(_class_table(figures, name))
    return section("Classes", tag("div", parts, class_="pair"), id="classes") if parts else None


def _models_with(figures: Figures, name: str) -> int:
    return sum(any(name in each for each in model.per_class.values()) for model in figures.models)


def _class_table(figures: Figures, name: str) -> Markup:
    everything = dict.fromkeys(each for model in figures.models for each in model.per_class)
    classes = [
        each
        for each in everything
        if any(name in model.per_class.get(each, {}) for model in figures.models)
    ]
    two = len(figures.models) == 2
    notes = Notes()
    rows = [_class_row(figures, name, each, two, notes) for each in classes[:MOST_ROWS]]
    heads: list[Child] = ["Class", *[_model_head(figures, each) for each in figures.models]]
    if two:
        heads.append(f"{figures.models[1].model_id} minus {figures.models[0].model_id}")
    more = len(classes) - MOST_ROWS
    title = f"{name_of(name)[:1].upper()}{name_of(name)[1:]} by class"
    return tag(
        "div",
        table(title, heads, rows, class_="sortable"),
        notes.listed(),
        tag("p", f"{more} more classes are in metrics.json.") if more > 0 else None,
    )


def _class_row(figures: Figures, name: str, label: str, two: bool, notes: Notes) -> Markup:
    found = [model.per_class.get(label, {}).get(name) for model in figures.models]
    cells = []
    for value in found:
        number = None if value is None else value.value
        sort = None if number is None else f"{number:.6f}"
        cells.append(
            Markup(cell(name, value, notes).replace("<td", f'<td data-sort="{sort or ""}"', 1))
        )
    if two:
        both = [None if each is None else each.value for each in found]
        known = both[0] is not None and both[1] is not None
        by = (both[1] or 0) - (both[0] or 0)
        text = signed(name, by) if known else NONE
        cells.append(tag("td", text, data_sort=f"{by:.6f}" if known else ""))
    return row(short(label), cells)


def curves(figures: Figures) -> Markup | None:
    """Draw curves of one name of all models into one chart."""
    by_name: dict[str, list[tuple[str, str, Curve]]] = {}
    for model in figures.models:
        for curve in model.curves:
            if curve.x:
                entry = (look_of(figures, model.model_id), model.model_id, curve)
                by_name.setdefault(curve.name, []).append(entry)
    if not by_name:
        return None
    drawn = [
        tag(
            "figure",
            tag("figcaption", titled(name)),
            charts.lines(found, diagonal="calibration" in name.lower()),
            charts.legend([(look, model) for look, model, _ in found]),
            _marks(found),
        )
        for name, found in list(by_name.items())[:MOST_LINES]
    ]
    return section("Curves", tag("div", drawn, class_="charts"), id="curves")


def _marks(found: Sequence[tuple[str, str, Curve]]) -> Markup | None:
    # Many marks are told where they are, by their titles.
    few = [(model, curve.marks) for _, model, curve in found if len(curve.marks) <= 2]
    said = [f"{model}: {text}" for model, marks in few for *_, text in marks]
    return tag("p", "; ".join(said), class_="soft") if said else None

"""Tables of counts on the page: confusion as a heat map, kinds of errors as bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..results import Figures, ModelFigures, Table
from . import charts
from .markup import Child, Markup, join, short, tag
from .sections import MOST_LINES, MOST_ROWS, look_of, row, section, table
from .words import NONE, share, titled

_MOST_CLASSES = 30
_FEW_COLUMNS = 6


def tables(figures: Figures) -> Markup | None:
    """Show tables of one name of all models one below the other."""
    by_name: dict[str, list[tuple[ModelFigures, Table]]] = {}
    for model in figures.models:
        for each in model.tables:
            by_name.setdefault(each.name, []).append((model, each))
    if not by_name:
        return None
    parts: list[Child] = []
    for name, found in list(by_name.items())[:MOST_LINES]:
        title, note = titled(name), found[0][1].note
        parts.append(tag("h3", title))
        parts.append(tag("p", note, class_="soft") if note else None)
        if len(found[0][1].columns) == 1 or "tide" in name.lower():
            parts.append(_bars(figures, title, found))
        else:
            made = [_table(f"{title}: {model.model_id}", each) for model, each in found]
            few = len(found[0][1].columns) <= _FEW_COLUMNS
            parts.append(tag("div", made, class_="pair" if few else None))
    return section("Errors and evidence", parts, id="tables")


def _table(caption: str, each: Table) -> Markup:
    if "confusion" in each.name.lower():
        return _heat(caption, each)
    whole = [
        _is_whole(cells[index] for _, cells in each.rows) for index in range(len(each.columns))
    ]
    rows = [
        row(short(label), [_plain(value, at) for value, at in zip(cells, whole, strict=True)])
        for label, cells in each.rows[:MOST_ROWS]
    ]
    return table(caption, ["", *each.columns], rows, class_="figures")


def _is_whole(values: Iterable[float | None]) -> bool:
    """Whether values are counts."""
    return all(value is None or float(value).is_integer() for value in values)


def _plain(value: float | None, whole: bool) -> str:
    if value is None:
        return NONE
    return f"{value:,.0f}" if whole or abs(value) >= 100 else share(value)


def _bars(figures: Figures, caption: str, found: Sequence[tuple[ModelFigures, Table]]) -> Markup:
    """Draw the first column of every model's table beside those of the others."""
    by_model = {model.model_id: dict(each.rows) for model, each in found}
    labels = list(dict.fromkeys(label for _, each in found for label, _ in each.rows))
    values = [cells[0] for known in by_model.values() for cells in known.values()]
    most = max((abs(value) for value in values if value is not None), default=0) or 1
    whole = _is_whole(values)
    rows = []
    for label in labels[:MOST_ROWS]:
        cells: list[Child] = []
        for model, known in by_model.items():
            value, *others = known.get(label, (None,))
            drawing = value is not None and charts.bar(abs(value) / most, look_of(figures, model))
            beside = ", ".join(_beside(found[0][1].columns[1:], others))
            cells.append(
                tag("td", _plain(value, whole), tag("span", beside, class_="soft"), drawing or None)
            )
        rows.append(row(short(label), cells))
    heads = [join([charts.dot(look_of(figures, model)), " ", model]) for model in by_model]
    caption = f"{caption}: {found[0][1].columns[0]}"
    return table(caption, ["", *heads], rows, class_="bars")


def _beside(names: Sequence[str], values: Sequence[float | None]) -> list[str]:
    """Write the other columns of a table of bars."""
    pairs = zip(names, values, strict=False)
    return [
        f" {name} {_plain(each, _is_whole([each]))}" for name, each in pairs if each is not None
    ]


def _heat(caption: str, each: Table) -> Markup:
    """Colour each cell by its share of its row; of many classes those that are confused most."""
    kept = _most_confused(each)
    columns = [each.columns[index] for index in kept[1]]
    whole = _is_whole(value for _, cells in each.rows for value in cells)
    rows = []
    for index in kept[0]:
        label, cells = each.rows[index]
        total = sum(value or 0 for value in cells) or 1
        drawn: list[Child] = []
        for column in kept[1]:
            value = cells[column] or 0
            step = min(round(value / total * 9), 9)
            drawn.append(tag("td", _plain(value, whole) if value else "", class_=f"h{step}"))
        rows.append(row(short(label), drawn))
    left_out = len(each.rows) - len(kept[0])
    note = f"{left_out} rows with less confusion are in metrics.json only."
    return tag(
        "div",
        table(caption, ["Truth ↓ answer →", *map(short, columns)], rows, class_="heat"),
        tag("p", note, class_="soft") if left_out else None,
    )


def _most_confused(each: Table) -> tuple[list[int], list[int]]:
    if len(each.rows) <= _MOST_CLASSES and len(each.columns) <= _MOST_CLASSES:
        return list(range(len(each.rows))), list(range(len(each.columns)))

    def wrong(index: int) -> float:
        label, cells = each.rows[index]
        return sum(
            value or 0 for name, value in zip(each.columns, cells, strict=True) if name != label
        )

    rows = sorted(sorted(range(len(each.rows)), key=wrong, reverse=True)[:_MOST_CLASSES])
    labels = {each.rows[index][0] for index in rows}
    columns = [index for index, name in enumerate(each.columns) if name in labels]
    others = [index for index in range(len(each.columns)) if index not in columns]
    return rows, sorted([*columns, *others[: max(_MOST_CLASSES - len(columns), 0)]])

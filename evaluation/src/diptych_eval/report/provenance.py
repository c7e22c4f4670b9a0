"""Where figures come from: published ones beside measured ones, weights, options."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..results import Figures, ModelFigures
from .markup import Child, Markup, join, short, tag
from .sections import MOST_LINES, row, section, table
from .words import NONE, signed, with_interval

_SAME_BUT_FOR = str.maketrans("", "", " -_./")


def published(figures: Figures) -> Markup | None:
    """Set the publisher's figures beside the measured ones.

    They are subtracted only where the data set is the same.
    """
    rows: list[Child] = []
    for model in figures.models:
        for name, entry in _entries(figures.published.get(model.model_id, {})):
            rows.append(_published_row(figures, model, name, entry))
    if not rows:
        return None
    note = (
        "Publishers measured on other pictures, with other settings. A difference is given only "
        "where the data set is the same."
    )
    heads = ["Figure", "Model", "Published", "On", "Measured here", "Measured minus published"]
    made = table("Published beside measured", heads, rows[:MOST_LINES])
    return section("Published figures", tag("p", note, class_="soft"), made, id="published")


def _entries(known: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """List ``(name, {value, unit, dataset, source})``, as they are on cards."""
    for name, entry in known.items():
        for each in entry if isinstance(entry, (list, tuple)) else [entry]:
            if isinstance(each, Mapping):
                yield str(each.get("name", name)), each
            else:
                yield name, {"value": each}


def _published_row(
    figures: Figures, model: ModelFigures, name: str, entry: Mapping[str, Any]
) -> Markup:
    value, unit = entry.get("value"), str(entry.get("unit", ""))
    dataset, source = str(entry.get("dataset", "")), str(entry.get("source", ""))
    measured = model.values.get(name)
    by: str = "other data set"
    if measured is None or measured.value is None:
        by = NONE
    elif _same(dataset, figures.dataset) and isinstance(value, (int, float)):
        share = value / 100 if unit == "%" or value > 1 else value
        by = signed(name, measured.value - share)
    link = tag("a", "source", href=source) if source.startswith("https://") else source
    number = f"{value:g}" if isinstance(value, (int, float)) else str(value)
    said = number if not unit or unit == "ratio" else f"{number} {unit}"
    here = NONE if measured is None else with_interval(name, measured)
    return row(short(name), [model.model_id, [said, " ", link], dataset or "not said", here, by])


def _same(first: str, second: str) -> bool:
    plain = [each.casefold().translate(_SAME_BUT_FOR) for each in (first, second)]
    return bool(plain[0]) and plain[0] == plain[1]


def provenance(figures: Figures) -> Markup:
    """Say with which weights, software and options the figures were made."""
    keys: dict[str, None] = {}
    for known in figures.provenance.values():
        keys.update(dict.fromkeys(known))
    heads = [model.model_id for model in figures.models]
    rows = [
        row(
            _words(key),
            [tag("code", figures.provenance.get(model, {}).get(key, NONE)) for model in heads],
        )
        for key in keys
    ]
    options = [
        (tag("dt", _words(name)), tag("dd", short(_option(value))))
        for name, value in sorted(figures.options.items())
    ]
    notes = [
        tag("li", f"{model.model_id}: {note}") for model in figures.models for note in model.notes
    ]
    return section(
        "How it was made",
        table("Models", ["What", *heads], rows) if rows else None,
        tag("dl", options) if options else None,
        tag("p", "SHA-256 of the labels: ", tag("code", figures.dataset_sha256 or "not known")),
        join([tag("h3", "Notes"), tag("ul", notes[:MOST_LINES])]) if notes else None,
        id="provenance",
    )


def _words(name: str) -> str:
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def _option(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)

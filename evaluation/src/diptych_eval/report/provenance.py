"""Where figures come from: published ones beside measured ones, weights, options."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..results import Figures, ModelFigures
from .markup import Child, Markup, join, short, tag
from .sections import MOST_LINES, row, section, table
from .words import NONE, name_of, signed, with_interval

# In names of files, such as instances_val2017.json, beside that of the data set.
_NOT_A_NAME = {"annotations", "coco", "instances", "json", "keypoints", "person"}


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
    figure = _measured(model, name)
    measured = None if figure is None else model.values[figure].value
    by = NONE
    if measured is not None and isinstance(value, (int, float)):
        same = _same(figures, dataset)
        published = value / 100 if unit == "%" else value
        by = signed(figure or "", measured - published) if same else "other pictures"
    link = tag("a", "source", href=source) if source.startswith("https://") else source
    number = f"{value:g}" if isinstance(value, (int, float)) else str(value)
    said = f"{number} %" if unit == "%" else number
    here = NONE if figure is None else with_interval(figure, model.values[figure])
    return row(short(name), [model.model_id, [said, " ", link], dataset or "not said", here, by])


def _measured(model: ModelFigures, name: str) -> str | None:
    """Find the figure that a card means by a name such as "mask AP"."""
    plain = name.casefold().replace(" ", "")
    for figure in model.values:
        if name == figure or plain == name_of(figure).casefold().replace(" ", ""):
            return figure
    return None


def _same(figures: Figures, published: str) -> bool:
    """Whether a run was over all of the pictures that a publisher names: no more, no fewer."""
    words = [
        set(re.findall(r"[a-z0-9]+", each.casefold())) - _NOT_A_NAME
        for each in (figures.dataset, published)
    ]
    whole = figures.options.get("limit") is None and not figures.refused
    return whole and bool(words[0]) and words[0] == words[1]


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

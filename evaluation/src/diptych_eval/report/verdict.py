"""What a run found, in sentences: who is better in what, how sure it is, what speaks against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..results import Difference, Figures, ModelFigures
from .words import (
    MINUS,
    Family,
    families_in,
    interval,
    lower_is_better,
    name_of,
    short_name,
    signed,
    with_interval,
)

_MOST_CONTRARY = 3


def verdicts(figures: Figures) -> list[str]:
    """Say one sentence, or a few, about each family of figures that models are judged by.

    The first is the run's verdict. There is always one.
    """
    if not figures.models:
        return ["No model was evaluated."]
    if not figures.picture_count and not any(model.per_picture for model in figures.models):
        return ["Nothing was evaluated: there is no picture that every model answered."]
    known = {name for model in figures.models for name in model.values}
    said = [text for family in families_in(known) if (text := _on_family(figures, family))]
    return said or ["None of the figures that models are judged by could be computed."]


def main_figure(figures: Figures, family: Family) -> str | None:
    """Choose the figure by which models are judged: one that most of them have."""
    best, most = None, 0
    for name in family.main:
        full = f"{family.key}/{name}"
        count = len(_ranked(figures, full))
        if count > most:
            best, most = full, count
    return best


def oriented(difference: Difference, worse: str) -> Difference:
    """Turn a difference so that ``worse`` is the model that is subtracted."""
    if difference.model_a == worse:
        return difference
    return replace(
        difference,
        model_a=difference.model_b,
        model_b=difference.model_a,
        value=-difference.value,
        low=-difference.high,
        high=-difference.low,
        wins=difference.losses,
        losses=difference.wins,
    )


def is_better(difference: Difference) -> bool | None:
    """Whether b is better; ``None`` if no difference is shown."""
    if not difference.shown:
        return None
    return (difference.value > 0) == difference.higher_is_better


def _ranked(figures: Figures, name: str) -> list[tuple[float, ModelFigures]]:
    """Models that have the figure, the best one first."""
    found = [
        (value.value, model)
        for model in figures.models
        if (value := model.values.get(name)) is not None and value.value is not None
    ]
    return sorted(found, key=lambda each: each[0], reverse=not lower_is_better(name))


def _on_family(figures: Figures, family: Family) -> str:
    name = main_figure(figures, family)
    if name is None:
        return ""
    ranked = _ranked(figures, name)
    best = ranked[0][1]
    on = _on(figures, family)
    if len(ranked) == 1:
        alone = len(figures.models) == 1
        why = "one model alone, so nothing to compare with" if alone else "no other model has it"
        value = with_interval(name, best.values[name])
        return f"{best.model_id} has a {name_of(name)} of {value} {on} ({why})."
    if len(ranked) == 2:
        return _on_two(figures, family, name, best.model_id, ranked[1][1].model_id)
    return _on_many(figures, name, [model.model_id for _, model in ranked], on)


def _on_two(figures: Figures, family: Family, name: str, better: str, worse: str) -> str:
    found = find_difference(figures, name, better, worse)
    on = _on(figures, family)
    if found is None:
        return _without_interval(figures, name, better, worse, on)
    by = f"{signed(name, found.value)} {interval(name, found.low, found.high, sign=True)}"
    against = _against(figures, family, found)
    if not found.shown:
        first = f"No difference shown between {better} and {worse} in {name_of(name)} {on}"
        return f"{first}: {better} minus {worse} is {by}{against}."
    return f"{better} is better than {worse} in {name_of(name)} by {by} {on}{against}."


def _without_interval(figures: Figures, name: str, better: str, worse: str, on: str) -> str:
    values = {model.model_id: model.values[name] for model in figures.models}
    first = f"{better} has {with_interval(name, values[better])} in {name_of(name)}"
    second = f"{worse} {with_interval(name, values[worse])} {on}"
    return f"{first}, {second}; how sure the difference is was not computed."


def _against(figures: Figures, family: Family, main: Difference) -> str:
    """Say which figures of the family point the other way, if there are any."""
    contrary = []
    for each in figures.differences:
        turned = _between(each, main.model_a, main.model_b)
        same_family = each.figure.startswith(f"{family.key}/") and each.figure != main.figure
        if turned is None or not same_family or not turned.value:
            continue
        if (turned.value > 0) != turned.higher_is_better:
            contrary.append(turned)
    shown = [each for each in contrary if each.shown][:_MOST_CONTRARY]
    if shown:
        parts = [_falls(each) for each in shown]
        return f", while {_listed(parts)}"
    if contrary and main.shown:
        names = _listed([short_name(each.figure) for each in contrary[:_MOST_CONTRARY]])
        verb = "points" if len(contrary[:_MOST_CONTRARY]) == 1 else "point"
        return f"; {names} {verb} the other way, but there no difference is shown"
    return ""


def _falls(each: Difference) -> str:
    verb = "rises" if each.value > 0 else "falls"
    size = signed(each.figure, abs(each.value)).lstrip("+" + MINUS)
    bounds = interval(each.figure, each.low, each.high, sign=True)
    return f"{short_name(each.figure)} {verb} by {size} {bounds}"


def _on_many(figures: Figures, name: str, ids: Sequence[str], on: str) -> str:
    best = ids[0]
    values = {model.model_id: model.values for model in figures.models}
    beaten, level, unknown = [], [], []
    for other in ids[1:]:
        found = find_difference(figures, name, best, other)
        if found is None:
            unknown.append(other)
        elif found.shown:
            bounds = interval(name, found.low, found.high, sign=True)
            beaten.append(f"{other} by {signed(name, found.value)} {bounds}")
        else:
            level.append(other)
    parts = [f"{best} has the best {name_of(name)} {on}, {with_interval(name, values[best][name])}"]
    if beaten:
        parts.append(f"it is better than {_listed(beaten)}")
    if level:
        parts.append(f"no difference from {_listed(level)} is shown")
    if unknown:
        parts.append(f"how sure its difference from {_listed(unknown)} is was not computed")
    return "; ".join(parts) + "."


def find_difference(figures: Figures, name: str, better: str, worse: str) -> Difference | None:
    """Find how much more ``better`` has of a figure than ``worse``."""
    for each in figures.differences:
        if each.figure == name and (turned := _between(each, worse, better)):
            return turned
    return None


def _between(difference: Difference, a: str, b: str) -> Difference | None:
    same = {difference.model_a, difference.model_b} == {a, b}
    return oriented(difference, a) if same else None


def _on(figures: Figures, family: Family) -> str:
    what = "clip" if family.task == "video" else "picture"
    names = {
        name
        for model in figures.models
        for figure, values in model.per_picture.items()
        if figure.startswith(f"{family.key}/")
        for name in values
    }
    count = len(names) or figures.picture_count
    return f"on this {what}" if count == 1 else f"on these {count:,} {what}s"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"

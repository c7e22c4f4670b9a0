"""Which pictures are worth a look: where models differ most, and where they do worst."""

from __future__ import annotations

from dataclasses import dataclass

from ..results import Figures
from .words import Family, families_in, lower_is_better

MOST = 20


@dataclass(frozen=True)
class Ranked:
    """A picture or clip, and the two models that are shown on it."""

    name: str
    figure: str
    values: tuple[tuple[str, float], ...]
    """Every model's value of the figure, in the order of the models."""
    better: str
    worse: str
    """The same model if there is one alone."""

    @property
    def spread(self) -> float:
        """How far the best and the worst model are apart."""
        found = [value for _, value in self.values]
        return max(found) - min(found)

    @property
    def mean(self) -> float:
        """Of all models' values."""
        return sum(value for _, value in self.values) / len(self.values)


@dataclass(frozen=True)
class Ranking:
    """The pictures of one family of figures."""

    family: Family
    figure: str
    differing: tuple[Ranked, ...]
    worst: tuple[Ranked, ...]


def rankings(figures: Figures) -> list[Ranking]:
    """Rank pictures by the first family that can, and clips by theirs; at most ``MOST`` each."""
    known = {name for model in figures.models for name in model.per_picture}
    found: dict[bool, Ranking] = {}
    for family in families_in(known):
        of_clips = family.task == "video"
        figure = _ranking_figure(figures, family)
        if figure is not None and of_clips not in found:
            found[of_clips] = _ranking(figures, family, figure)
    return list(found.values())


def _ranking_figure(figures: Figures, family: Family) -> str | None:
    """Choose the figure that most models have, of several the family's preferred one."""
    names = [name for model in figures.models for name in model.per_picture]
    members = sorted({name for name in names if name.partition("/")[0] == family.key})
    if not members or not family.task:
        return None
    preferred = [f"{family.key}/{name}" for name in family.ranking]
    order = [name for name in preferred if name in members] + members
    return max(order, key=lambda name: (names.count(name), -order.index(name)))


def _ranking(figures: Figures, family: Family, figure: str) -> Ranking:
    lower = lower_is_better(figure)
    by_model = {
        model.model_id: model.per_picture[figure]
        for model in figures.models
        if figure in model.per_picture
    }
    names = sorted({name for values in by_model.values() for name in values})
    found = []
    for name in names:
        values = tuple((m, known[name]) for m, known in by_model.items() if name in known)
        ordered = sorted(values, key=lambda each: each[1], reverse=not lower)
        found.append(Ranked(name, figure, values, ordered[0][0], ordered[-1][0]))
    differing = [each for each in found if len(each.values) > 1 and each.spread > 0]
    differing.sort(key=lambda each: -each.spread)
    worst = sorted(found, key=lambda each: -each.mean if lower else each.mean)
    return Ranking(family, figure, tuple(differing[:MOST]), tuple(worst[:MOST]))

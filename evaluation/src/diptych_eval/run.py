"""What a run found, to be asked in Python."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from .results import Difference, Figures, ModelFigures, Value

_T = TypeVar("_T")


class FigureGroup(Generic[_T]):
    """Figures of one task, as attributes: ``ap``, ``ap50``, ``ap_small``, ``ar100``, ``miou_3``.

    ``group["AP-small"]`` takes a figure by its own name. One that is not there is an
    ``AttributeError`` or ``KeyError`` that names those that are.
    """

    def __init__(self, name: str, figures: Mapping[str, _T]) -> None:
        self.name = name
        self._figures = figures

    def __getattr__(self, name: str) -> _T:
        if name.startswith("_"):
            raise AttributeError(name)
        for known, figure in self._figures.items():
            if _plain(known) == _plain(name):
                return figure
        raise AttributeError(self._missing(name))

    def __getitem__(self, name: str) -> _T:
        try:
            return self._figures[name]
        except KeyError:
            raise KeyError(self._missing(name)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._figures)

    def __len__(self) -> int:
        return len(self._figures)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}: {', '.join(self._figures)})"

    def _missing(self, name: str) -> str:
        return f"{self.name} has no figure {name!r}, only {', '.join(self._figures) or 'none'}"


class Grouped(Generic[_T]):
    """Figures by task: ``segm``, ``bbox``, ``boundary``, ``keypoints``, ``agnostic`` …"""

    def __init__(self, name: str, figures: Mapping[str, _T]) -> None:
        self.name = name
        self.figures = figures
        """By their full names, such as ``segm/AP``."""

    def __getattr__(self, name: str) -> FigureGroup[_T]:
        if name.startswith("_"):
            raise AttributeError(name)
        groups = {full.partition("/")[0] for full in self.figures}
        for group in groups:
            if _plain(group) == _plain(name):
                parts = [(full.partition("/"), each) for full, each in self.figures.items()]
                found = {rest: each for (first, _, rest), each in parts if first == group}
                return FigureGroup(f"{self.name}: {group}", found)
        shown = ", ".join(sorted(groups)) or "none"
        raise AttributeError(f"{self.name} has no figures of {name!r}, only of {shown}")

    def __getitem__(self, name: str) -> _T:
        try:
            return self.figures[name]
        except KeyError:
            shown = ", ".join(self.figures) or "none"
            raise KeyError(f"{self.name} has no figure {name!r}, only {shown}") from None


class ModelRun(Grouped[Value]):
    """One model's figures: ``run["mask-rcnn"].segm.ap.value``."""

    def __init__(self, figures: ModelFigures) -> None:
        super().__init__(figures.model_id, figures.values)
        self.raw = figures
        """All of them, with curves and tables."""

    @property
    def per_class(self) -> dict[str, Grouped[Value]]:
        """The same by name of a class: ``per_class["person"].segm.ap``."""
        return {
            name: Grouped(f"{self.name}, {name}", values)
            for name, values in self.raw.per_class.items()
        }


class ModelDifference(Grouped[Difference]):
    """How much more one model has than another: ``difference.segm.ap.ci``.

    ``difference.ap`` is that of the first task that has it, as ``segm``.
    """

    def __getattr__(self, name: str) -> FigureGroup[Difference] | Difference:  # type: ignore[override]
        try:
            return super().__getattr__(name)
        except AttributeError:
            for full, difference in self.figures.items():
                if _plain(full.partition("/")[2]) == _plain(name):
                    return difference
            raise


@dataclass(frozen=True)
class Worst:
    """A picture or clip, and what a model reached on it."""

    name: str
    value: float
    """The figure, or how much more the other model has."""


def difference_of(figures: Figures, model_a: str, model_b: str) -> ModelDifference:
    """Find what was computed for a pair of models, turned round if need be.

    Raises:
        KeyError: there is none of these two.
    """
    found = {}
    for each in figures.differences:
        if (each.model_a, each.model_b) == (model_a, model_b):
            found[each.figure] = each
        elif (each.model_a, each.model_b) == (model_b, model_a):
            found[each.figure] = turned(each)
    if not found:
        pairs = sorted({f"{each.model_a} and {each.model_b}" for each in figures.differences})
        shown = ", ".join(pairs) or "none"
        raise KeyError(f"no differences of {model_a} and {model_b}, only of {shown}")
    return ModelDifference(f"{model_b} against {model_a}", found)


def turned(each: Difference) -> Difference:
    """Give the difference as seen from the other model."""
    return Difference(
        each.model_b,
        each.model_a,
        each.figure,
        0.0 - each.value,
        0.0 - each.high,
        0.0 - each.low,
        each.losses,
        each.ties,
        each.wins,
        each.resamples,
        each.higher_is_better,
    )


def worst_of(
    model: ModelFigures, figure: str | None, than: ModelFigures | None, count: int
) -> list[Worst]:
    """Rank pictures by what a model reached on them, or by how much more another reached.

    Raises:
        KeyError: the model has no such figure by pictures.
    """
    name = figure or next(iter(model.per_picture), "")
    for each in (model, than):
        if each is not None and name not in each.per_picture:
            shown = ", ".join(each.per_picture) or "none"
            raise KeyError(f"{each.model_id} has no {name!r} by pictures, only {shown}")
    values = dict(model.per_picture[name])
    if than is not None:
        theirs = than.per_picture[name]
        values = {k: theirs[k] - value for k, value in values.items() if k in theirs}
    ranked = sorted(values.items(), key=lambda each: (-each[1] if than else each[1], each[0]))
    return [Worst(*each) for each in ranked[:count]]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())

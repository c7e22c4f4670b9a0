"""How far two sets of masks are the same: what the gates of the tiers are about.

Tests hold a few scenes to it, ``benchmarks/quality.py`` many.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from diptych import Mask

PARTNERS_IOU = 0.5

Labelled = tuple[Hashable, Mask]
"""A mask, and what it must share with its partner: a class, a prompt, an object; ``None`` if
nothing does."""


@dataclass(frozen=True)
class Floors:
    """The least that a tier may reach, over all pictures."""

    matched_iou: float
    share: float
    """Of recall and of precision."""


FLOORS = {"exact": Floors(0.999, 0.99), "fast": Floors(0.98, 0.97)}
SAME_COUNT = 0.99
"""Share of pictures on which the automatic mode of the exact tier finds as many masks."""


@dataclass
class Agreement:
    """Of our answers with those of another, over every picture that was added; none is dropped."""

    overlaps: list[float] = field(default_factory=list)
    """IoU of each pair of partners."""
    counts: list[tuple[int, int]] = field(default_factory=list)
    """Masks by picture: ours, theirs."""

    def add(self, ours: Sequence[Labelled], theirs: Sequence[Labelled]) -> None:
        """One more picture. Empty masks are none."""
        found, wanted = ([one for one in side if one[1].area] for side in (ours, theirs))
        self.overlaps += partners(found, wanted)
        self.counts.append((len(found), len(wanted)))

    @property
    def ours(self) -> int:
        """How many masks we have."""
        return sum(ours for ours, _ in self.counts)

    @property
    def theirs(self) -> int:
        """How many the other has."""
        return sum(theirs for _, theirs in self.counts)

    @property
    def matched_iou(self) -> float:
        """Mean over all partners."""
        return fmean(self.overlaps) if self.overlaps else 1.0

    @property
    def recall(self) -> float:
        """Share of their masks that have a partner."""
        return len(self.overlaps) / self.theirs if self.theirs else 1.0

    @property
    def precision(self) -> float:
        """Share of our masks that have a partner."""
        return len(self.overlaps) / self.ours if self.ours else 1.0

    @property
    def same_count(self) -> float:
        """Share of pictures with as many masks."""
        return fmean(ours == theirs for ours, theirs in self.counts) if self.counts else 1.0

    @property
    def count_difference(self) -> float:
        """Of a picture, by amount: mean over all pictures."""
        return fmean(abs(ours - theirs) for ours, theirs in self.counts) if self.counts else 0.0

    def meets(self, floors: Floors) -> bool:
        """Whether nothing is below the floors."""
        shares = min(self.recall, self.precision)
        return self.matched_iou >= floors.matched_iou and shares >= floors.share


def partners(ours: Sequence[Labelled], theirs: Sequence[Labelled]) -> list[float]:
    """IoU of each pair: of one label, one to one, the largest overlaps first, from 0.5 on."""
    return [overlap for overlap, _, _ in _pairs(ours, theirs)]


def without_partner(ours: Sequence[Labelled], theirs: Sequence[Labelled]) -> list[Labelled]:
    """Those of ours that the other has not."""
    paired = {i for _, i, _ in _pairs(ours, theirs)}
    return [one for i, one in enumerate(ours) if i not in paired]


def _pairs(ours: Sequence[Labelled], theirs: Sequence[Labelled]) -> list[tuple[float, int, int]]:
    pairs = [
        (one.iou(other), i, j)
        for i, (label, one) in enumerate(ours)
        for j, (wanted, other) in enumerate(theirs)
        if label == wanted
    ]
    free = set(range(len(ours))), set(range(len(theirs)))
    found = []
    for overlap, i, j in sorted(pairs, reverse=True):
        if overlap >= PARTNERS_IOU and i in free[0] and j in free[1]:
            free[0].remove(i)
            free[1].remove(j)
            found.append((overlap, i, j))
    return found

"""Precision and recall by threshold, recall, class, size and number of answers, and their means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_THRESHOLDS = np.linspace(0.0, 1.0, 101)
AREAS = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
"""COCO's sizes, in pixels of area; both ends belong to a size."""


@dataclass(frozen=True)
class Arrays:
    """What ``COCOeval.accumulate`` of pycocotools gives; -1 where there is nothing to find."""

    precision: NDArray[np.float64]
    """``(IoU thresholds, recall thresholds, classes, areas, max answers)``."""
    recall: NDArray[np.float64]
    """``(IoU thresholds, classes, areas, max answers)``."""
    scores: NDArray[np.float64]
    """Score at which each precision is reached; as ``precision``."""
    areas: tuple[str, ...]
    max_answers: tuple[int, ...]

    def mean_precision(
        self, *, iou: float | None = None, area: str = "all", category: int | None = None
    ) -> float | None:
        """Give AP: the mean over thresholds and classes; ``None`` where there is no object.

        ``iou`` takes one threshold, ``category`` one index of a class.
        """
        return _mean(self.precision[_threshold(iou), :, _one(category), self._area(area), -1])

    def mean_recall(
        self, *, area: str = "all", answers: int | None = None, category: int | None = None
    ) -> float | None:
        """Give AR with at most ``answers`` a picture (the most there are by default)."""
        which = -1 if answers is None else self.max_answers.index(answers)
        return _mean(self.recall[:, _one(category), self._area(area), which])

    def curve(self, iou: float) -> tuple[float, ...] | None:
        """Give precision at ``RECALL_THRESHOLDS``, the mean over classes with an object."""
        precision = self.precision[_threshold(iou), :, :, self._area("all"), -1][0]
        present = precision[:, (precision > -1).all(axis=0)]
        return tuple(map(float, present.mean(axis=1))) if present.size else None

    def _area(self, name: str) -> int:
        return self.areas.index(name)


def _threshold(iou: float | None) -> slice:
    if iou is None:
        return slice(None)
    index = int(np.abs(IOU_THRESHOLDS - iou).argmin())
    return slice(index, index + 1)


def _one(category: int | None) -> slice:
    return slice(None) if category is None else slice(category, category + 1)


def _mean(values: NDArray[np.float64]) -> float | None:
    present = values[values > -1]
    return float(np.mean(present)) if present.size else None

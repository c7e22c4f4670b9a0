"""Mean IoU over the classes of pixels, painted from what was found as instances."""

from __future__ import annotations

from collections.abc import Mapping

from ..model import Dataset
from ..results import Answer
from .prompted import TaskFigures


def semantic_figures(
    dataset: Dataset, answers: Mapping[str, Answer], *, min_score: float = 0.5
) -> TaskFigures:
    """Compute ``semantic/mIoU`` and the IoU of each class.

    Args:
        dataset: compared with ``Picture.semantic`` where there is one, else with its truths.
        answers: of one model to ``INSTANCES``, by picture's name; others are left out.
        min_score: answers below are not painted.
    """
    raise NotImplementedError

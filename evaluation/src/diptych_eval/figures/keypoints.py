"""OKS AP of key points: that of pycocotools (``COCOeval``, ``keypoints``), to the last digit."""

from __future__ import annotations

from collections.abc import Mapping

from ..model import Dataset
from ..results import Answer
from .instances import InstanceFigures


def keypoint_figures(dataset: Dataset, answers: Mapping[str, Answer]) -> InstanceFigures:
    """Give ``keypoints/AP``, ``AP50``, ``AP75``, ``AR`` … over categories that have key points.

    ``None`` with a reason where the data set's bodies are not COCO's 17 points: their tolerances
    are measured for those only.
    """
    raise NotImplementedError

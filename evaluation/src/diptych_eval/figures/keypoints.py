"""OKS AP of key points: that of pycocotools (``COCOeval``, ``keypoints``), to the last digit."""

from __future__ import annotations

from collections.abc import Mapping

from diptych_eval.figures.instances import InstanceFigures
from diptych_eval.model import Dataset
from diptych_eval.results import Answer


def keypoint_figures(dataset: Dataset, answers: Mapping[str, Answer]) -> InstanceFigures:
    """Give ``keypoints/AP``, ``AP50``, ``AP75``, ``AR`` … over categories that have key points.

    ``None`` with a reason where the data set's bodies are not COCO's 17 points: their tolerances
    are measured for those only.
    """
    raise NotImplementedError

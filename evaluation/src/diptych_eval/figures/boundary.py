"""Boundary AP: AP with the smaller of mask IoU and IoU of the outlines' inner bands.

Cheng et al., "Boundary IoU", CVPR 2021 (https://arxiv.org/abs/2103.16562); a band is the mask less
its erosion by 2 % of the picture's diagonal.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..model import Dataset
from ..results import Answer
from .instances import InstanceFigures


def boundary_figures(dataset: Dataset, answers: Mapping[str, Answer]) -> InstanceFigures:
    """Give ``boundary/AP``, ``AP50``, ``AP75``, by size and class, of answers with masks."""
    raise NotImplementedError

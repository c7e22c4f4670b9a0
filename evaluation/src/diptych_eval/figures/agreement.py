"""What agreement of two models is worth as evidence that a segment is right.

A segment is right if it is matched to a truth of its class at IoU >= .5, as for AP. Its agreement
is ``source_iou`` where the answer has it (a cascade: IoU of the second model's mask with the first
one's), else the largest IoU with any segment of another model's answer.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..model import Dataset
from ..results import Answer
from .instances import InstanceFigures, Kind


def agreement_figures(
    dataset: Dataset,
    answers: Mapping[str, Answer],
    *,
    other: Mapping[str, Answer] | None = None,
    kind: Kind = "segm",
) -> InstanceFigures:
    """Say how well agreement tells right segments from wrong ones.

    ``agreement/AUROC`` of ``score · agreement`` beside ``agreement/AUROC-score`` of the score alone
    (0.5 is chance, 1 perfect); ``agreement/right-matched`` and ``agreement/right-unmatched``: the
    share of segments that are right where agreement is >= .5, and below; a table by bin. ``other``
    is needed where segments have no ``source_iou``; without either every value is ``None``.
    """
    raise NotImplementedError

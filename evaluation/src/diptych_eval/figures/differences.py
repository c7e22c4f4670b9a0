"""How much more AP and AR one model has than another, with intervals by paired bootstrap.

Pictures are drawn with replacement, the same ones for both models, and every figure is computed
again from the pictures drawn (Efron & Tibshirani 1993, ch. 13: percentile interval).
"""

from __future__ import annotations

from collections.abc import Mapping

from ..model import Dataset
from ..results import Answer, Difference
from .instances import Kind


def ap_difference(
    dataset: Dataset,
    answers_a: Mapping[str, Answer],
    answers_b: Mapping[str, Answer],
    *,
    model_a: str,
    model_b: str,
    kind: Kind,
    class_agnostic: bool = False,
    resamples: int = 1000,
    seed: int = 0,
) -> list[Difference]:
    """Subtract the figures of a from those of b: AP, AP50, AP75, AR100 and AP by size.

    Only pictures that both answered without an error count. Wins, ties and losses are pictures on
    which b has a higher, the same or a lower ``PQ`` (see ``instance_figures``' ``per_picture``). A
    figure that one of the two does not have is left out. One seed gives one result.
    """
    raise NotImplementedError

"""AP, AR and what is made of matches, for instance segmentation and object detection.

AP and AR are those of pycocotools (``COCOeval``, https://github.com/cocodataset/cocoapi), to the last
digit; how each further figure is defined stands in :mod:`diptych_eval.figures.diagnostics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from diptych_eval.model import Dataset
from diptych_eval.results import Answer, Curve, Table, Value

Kind = Literal["segm", "bbox"]


@dataclass(frozen=True)
class InstanceFigures:
    """One model's figures of one task; the fields go into ``ModelFigures`` as they are."""

    values: Mapping[str, Value] = field(default_factory=dict)
    per_class: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    curves: tuple[Curve, ...] = ()
    tables: tuple[Table, ...] = ()
    per_picture: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def instance_figures(
    dataset: Dataset,
    answers: Mapping[str, Answer],
    *,
    kind: Kind,
    class_agnostic: bool = False,
) -> InstanceFigures:
    """Compare one model's segments (``segm``) or boxes (``bbox``) with the truth.

    The pictures are those with an answer without an error: leave a picture that any model refused
    out of the answers of all. ``class_agnostic`` ignores categories on both sides and gives
    AR@10/100/1000 only, named ``agnostic/…`` (``agnostic-bbox/…`` for boxes): a model that names no
    class scores the background too, so its AP says nothing. Raises ``ValueError`` for a truth
    without a mask where masks are compared, and for an answer's mask of another size.
    """
    raise NotImplementedError

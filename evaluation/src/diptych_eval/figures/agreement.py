"""What agreement of two models is worth as evidence that a segment is right.

A segment is right if it is matched to a truth of its class at IoU >= .5, as for AP. Its agreement
is ``source_iou`` where answers have it (a cascade: IoU of the second model's mask with the first
one's), else the largest IoU with a segment of another model's answer. AUROC is the chance that a
right segment is above a wrong one, ties half (Mann and Whitney's U over the number of pairs).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ..model import Dataset
from ..results import Answer, Curve, Table, Value
from . import hot
from .instances import SIMILARITIES, InstanceFigures, Kind
from .matches.outcomes import outcome
from .matches.overlaps import Overlaps, Segment, overlaps, segments_of

MATCHED_IOU = 0.5
OTHER_MIN_SCORE = 0.5
"""Segments of the other model count from here: among all its guesses, one lies anywhere."""
BINS = 10

_Floats = NDArray[np.float64]
_Flags = NDArray[np.bool_]
_NAMES = ("AUROC", "AUROC-score", "right-matched", "right-unmatched")


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
    is needed where segments have no ``source_iou``; without either every value is ``None``. In a
    cascade's answers a segment without ``source_iou`` agrees with nothing: 0.
    """
    compared = list(overlaps(dataset, answers, SIMILARITIES[kind]))
    redrawn = any("source_iou" in segment for each in compared for segment in each.segments)
    if not redrawn and other is None:
        return _none("the answers have no source_iou, and there is no other model's to compare")
    found = [outcome(each) for each in compared]
    agreements = [
        _source_iou(each.segments) if redrawn else _largest_iou(dataset, each, other or {}, kind)
        for each in compared
    ]
    nothing = np.zeros(0)
    kept = [~each.ignored for each in found]
    scores = np.concatenate([nothing, *(o.scores[k] for o, k in zip(found, kept, strict=True))])
    right = np.concatenate([nothing, *(o.right[k] for o, k in zip(found, kept, strict=True))]) > 0
    agreed = np.concatenate([nothing, *(a[k] for a, k in zip(agreements, kept, strict=True))])
    if not scores.size:
        return _none("the model gave no answer that counts")
    matched = agreed >= MATCHED_IOU
    return InstanceFigures(
        values={
            "agreement/AUROC": _auroc(scores * agreed, right),
            "agreement/AUROC-score": _auroc(scores, right),
            "agreement/right-matched": _share(right[matched], "matched"),
            "agreement/right-unmatched": _share(right[~matched], "unmatched"),
        },
        curves=_curve(agreed, right),
        tables=(_table(agreed, right),),
        notes=(_how(redrawn),),
    )


def _how(redrawn: bool) -> str:
    if redrawn:
        return "Agreement is the IoU of a segment with the one that it was drawn from (source_iou)."
    return (
        "Agreement is the largest IoU of a segment with one of another model, of a score of at "
        f"least {OTHER_MIN_SCORE}."
    )


def _none(why: str) -> InstanceFigures:
    return InstanceFigures(values={f"agreement/{name}": Value(None, 0, why) for name in _NAMES})


def _source_iou(segments: Sequence[Segment]) -> _Floats:
    return np.array([each.get("source_iou") or 0.0 for each in segments], np.float64)


def _largest_iou(
    dataset: Dataset, picture: Overlaps, other: Mapping[str, Answer], kind: Kind
) -> _Floats:
    answer = other.get(picture.picture.name)
    theirs = (
        [
            each
            for each in segments_of(dataset, picture.picture, answer, any_class=True)
            if each["score"] >= OTHER_MIN_SCORE
        ]
        if answer is not None and not answer.error
        else []
    )
    if not theirs or not picture.segments:
        return np.zeros(len(picture.segments))
    iou: _Floats = hot.iou_of_segments(picture.segments, theirs, kind).max(axis=1)
    return iou


def _auroc(evidence: _Floats, right: _Flags) -> Value:
    rights, wrongs = int(right.sum()), int((~right).sum())
    if not rights or not wrongs:
        return Value(None, len(right), f"no segment is {'wrong' if rights else 'right'}")
    ranks = stats.rankdata(evidence)
    above = float(ranks[right].sum()) - rights * (rights + 1) / 2
    return Value(above / (rights * wrongs), len(right))


def _share(right: _Flags, which: str) -> Value:
    if not right.size:
        return Value(None, 0, f"no segment is {which}")
    return Value(float(right.mean()), int(right.size))


def _bins(agreed: _Floats, right: _Flags) -> list[tuple[int, float | None]]:
    """Give segments, and the share that is right, by bin."""
    bins = np.minimum((agreed * BINS).astype(int), BINS - 1)
    return [
        (int((bins == each).sum()), float(right[bins == each].mean()))
        if (bins == each).any()
        else (0, None)
        for each in range(BINS)
    ]


def _table(agreed: _Floats, right: _Flags) -> Table:
    return Table(
        name="agreement",
        columns=("segments", "share that is right"),
        rows=tuple(
            (f"{each / BINS:.1f} to {(each + 1) / BINS:.1f}", (float(count), share))
            for each, (count, share) in enumerate(_bins(agreed, right))
        ),
        note="Rows are agreement (IoU); right is a truth of the segment's class at IoU >= .5.",
    )


def _curve(agreed: _Floats, right: _Flags) -> tuple[Curve, ...]:
    bins = enumerate(_bins(agreed, right))
    points = [((each + 0.5) / BINS, share) for each, (_, share) in bins if share is not None]
    x, y = zip(*points, strict=True)
    return (Curve("agreement", "agreement (IoU)", "share that is right", tuple(x), tuple(y)),)

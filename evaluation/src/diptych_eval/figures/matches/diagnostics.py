"""Charts and tables of what answers get right and wrong, at IoU .5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...model import Dataset
from ...results import Curve, Table, Value
from .arrays import RECALL_THRESHOLDS, Arrays
from .confusion import confusion_matrix
from .outcomes import Outcome, outcome, quality
from .overlaps import Overlaps
from .scores import F1, GRID, Calibration, calibration, f1_over_score
from .tide import KINDS, Errors, tide_errors

_NO_ANSWER = "the model gave no answer that counts"
_NOTHING = "the pictures show no object: there is nothing to find"


@dataclass(frozen=True)
class Diagnosis:
    """What is made of matches, beside AP and AR."""

    values: Mapping[str, Value] = field(default_factory=dict)
    curves: tuple[Curve, ...] = ()
    tables: tuple[Table, ...] = ()
    per_picture: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def diagnose(
    dataset: Dataset, compared: Sequence[Overlaps], arrays: Arrays, prefix: str
) -> Diagnosis:
    """Give ``F1``, ``F1-threshold``, ``ECE``, ``TIDE-AP50`` under ``prefix``, charts and tables.

    ``per_picture`` has ``PQ`` of answers with at least the score that gives the best F1.
    """
    found = [outcome(each) for each in compared]
    scores, calibrated = f1_over_score(found), calibration(found)
    errors = tide_errors(compared)
    threshold = scores.threshold if scores else 0.0
    tables = [_confusion(dataset, compared, prefix, threshold)]
    curves = _precision_recall(arrays, prefix)
    if scores:
        curves += _over_score(scores, prefix)
    if calibrated:
        curves.append(_calibration(calibrated, prefix))
    if errors:
        tables.append(_tide(errors, prefix))
    return Diagnosis(
        values=_values(found, scores, calibrated, errors, prefix),
        curves=tuple(curves),
        tables=tuple(tables),
        per_picture={f"{prefix}/PQ": {each.name: quality(each, threshold) for each in found}},
    )


def _values(
    found: Sequence[Outcome],
    scores: F1 | None,
    calibrated: Calibration | None,
    errors: Errors | None,
    prefix: str,
) -> dict[str, Value]:
    wanted = sum(each.wanted for each in found)
    answers = sum(int((~each.ignored).sum()) for each in found)
    threshold = scores.threshold if scores and answers else None
    mean = sum(quality(each, threshold or 0.0) for each in found) / len(found) if found else None
    at = f"answers of a score of at least {threshold or 0:.3f} are kept: where F1 is best"
    return {
        f"{prefix}/F1": Value(scores.best if scores else None, wanted, at if scores else _NOTHING),
        f"{prefix}/F1-threshold": Value(threshold, answers, _why(scores, answers)),
        f"{prefix}/ECE": Value(
            calibrated.error if calibrated else None, answers, "" if calibrated else _NO_ANSWER
        ),
        f"{prefix}/PQ": Value(mean, len(found), at if found else "no picture was answered"),
        f"{prefix}/TIDE-AP50": Value(
            errors.ap if errors else None,
            wanted,
            "the mean over classes with an object or an answer" if errors else _NOTHING,
        ),
    }


def _precision_recall(arrays: Arrays, prefix: str) -> list[Curve]:
    curves = []
    for iou in (0.5, 0.75):
        precision = arrays.curve(iou)
        if precision is not None:
            name = f"{prefix} precision over recall at IoU {iou}"
            x = tuple(map(float, RECALL_THRESHOLDS))
            curves.append(Curve(name, "recall", "precision", x, precision))
    return curves


def _over_score(scores: F1, prefix: str) -> list[Curve]:
    x = tuple(map(float, GRID))
    best = (scores.threshold, scores.best, f"F1 {scores.best:.3f} at {scores.threshold:.2f}")
    lines = {"F1": scores.f1, "precision": scores.precision, "recall": scores.recall}
    return [
        Curve(
            f"{prefix} {name} over score",
            "least score kept",
            name,
            x,
            tuple(map(float, line)),
            (best,) if name == "F1" else (),
        )
        for name, line in lines.items()
    ]


def _calibration(calibrated: Calibration, prefix: str) -> Curve:
    marks = tuple(
        (x, y, f"{count} answers")
        for x, y, count in zip(calibrated.scores, calibrated.right, calibrated.counts, strict=True)
    )
    return Curve(
        f"{prefix} calibration",
        "score",
        "share that is right",
        calibrated.scores,
        calibrated.right,
        marks,
    )


def _confusion(
    dataset: Dataset, compared: Sequence[Overlaps], prefix: str, threshold: float
) -> Table:
    names = [each.name for each in dataset.categories]
    matrix = confusion_matrix(compared, [each.id for each in dataset.categories], threshold)
    rows = zip([*names, "(nothing there)"], matrix.tolist(), strict=True)
    return Table(
        name=f"{prefix} confusion",
        columns=(*names, "(missed)"),
        rows=tuple((name, tuple(map(float, row))) for name, row in rows),
        note=(
            "Rows are truths, columns what they are called at IoU .5; answers of a score of at "
            f"least {threshold:.3f}, where F1 is best."
        ),
    )


def _tide(errors: Errors, prefix: str) -> Table:
    rows = [(kind, (errors.gained[kind], float(errors.counts[kind]))) for kind in KINDS]
    special = [("FP", (errors.gained["FP"], None)), ("FN", (errors.gained["FN"], None))]
    meaning = "; ".join(f"{kind}: {text}" for kind, text in KINDS.items())
    return Table(
        name=f"{prefix} TIDE errors",
        columns=("AP50 gained", "count"),
        rows=(*rows, *special),
        note=(
            f"AP50 gained if the error were mended. {meaning}; FP: all wrong answers; FN: all "
            "objects not found."
        ),
    )


def _why(scores: F1 | None, answers: int) -> str:
    if scores is None:
        return _NOTHING
    return "" if answers else _NO_ANSWER

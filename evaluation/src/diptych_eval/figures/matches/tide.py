"""What kinds of errors cost how much AP at IoU .5, as TIDE counts them.

Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020
(https://arxiv.org/abs/2008.08115); the order of the tests, of equal scores and of the mean over
classes is that of its program tidecv, so that figures are the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .overlaps import Overlaps

RIGHT_IOU = 0.5
BACKGROUND_IOU = 0.1
MAX_ANSWERS = 100
"""A picture, of all classes together: tidecv's limit, where AP's is per class."""

KINDS = {
    "Cls": "the place is right, the class is not",
    "Loc": "the class is right, the overlap is .1 to .5",
    "Both": "wrong in class and place",
    "Dupe": "the object was found before, with a higher score",
    "Bkg": "nothing is there",
    "Miss": "no answer comes near the object",
}
_Point = tuple[int, float, bool]
"""Class, score, whether it is right."""


@dataclass(frozen=True)
class Errors:
    """TIDE's table."""

    ap: float
    """At IoU .5, the mean over classes with an object or an answer: not pycocotools' AP50, which
    leaves out classes without an object."""
    gained: Mapping[str, float]
    """Kind of error to the AP gained if no answer had it; also ``FP``: if no answer were wrong, and
    ``FN``: if no object were missed."""
    counts: Mapping[str, int]


@dataclass
class _Error:
    kind: str
    before: _Point | None
    """``None`` where the answer was not counted (a crowd is there), or where there is none."""
    after: Callable[[], _Point | None]


@dataclass
class _Object:
    category: int
    used: bool = False
    best: tuple[float, int] | None = None
    """Score and index of the best answer that would find it, were it better."""


@dataclass
class _Run:
    points: list[_Point] = field(default_factory=list)
    errors: list[_Error] = field(default_factory=list)
    wanted: Counter[int] = field(default_factory=Counter)
    missed: Counter[int] = field(default_factory=Counter)
    """Objects that no answer takes, by class; ``Miss`` counts those no answer comes near."""
    lost: list[int] = field(default_factory=list)


def tide_errors(compared: Iterable[Overlaps]) -> Errors | None:
    """Sort errors into kinds and say what each costs; ``None`` without an object."""
    run = _Run()
    for picture in compared:
        _sort_picture(run, picture)
    if not run.wanted:
        return None
    base = _mean_ap(run.points, run.wanted)
    right = [each for each in run.points if each[2]]
    gained = {}
    for kind in KINDS:
        mended = [_mended(error, kind) for error in run.errors]
        wanted = run.wanted - Counter(run.lost) if kind == "Miss" else run.wanted
        # A negative gain is an artefact of sampling recall at 101 points: tidecv calls it 0.
        points = [each for each in mended if each is not None] + right
        gained[kind] = max(_mean_ap(points, wanted) - base, 0.0)
    wrong = [error.before for error in run.errors if error.before is not None]
    perfect = [(category, 0.0, False) for category, _, _ in wrong]
    perfect += [(category, 1.0, True) for category, _, _ in right]
    gained["FP"] = _mean_ap(perfect, run.wanted) - base
    gained["FN"] = _mean_ap(wrong + right, run.wanted - run.missed) - base
    counts = Counter(error.kind for error in run.errors)
    counts["Miss"] = len(run.lost)
    return Errors(base, gained, {kind: counts[kind] for kind in KINDS})


def _sort_picture(run: _Run, picture: Overlaps) -> None:
    crowds = picture.crowds
    objects = [_Object(int(each)) for each in picture.truth_categories[~crowds]]
    run.wanted.update(each.category for each in objects)
    most = slice(MAX_ANSWERS)
    iou = picture.iou[most][:, ~crowds]
    same = picture.categories[most, None] == picture.truth_categories[None, ~crowds]
    takes = _take(iou * same)
    for index in takes.values():
        objects[index].used = True
    inside = (picture.iou[most][:, crowds] > RIGHT_IOU) & (
        picture.categories[most, None] == picture.truth_categories[None, crowds]
    )
    kinds = _kinds(iou, same, np.array([each.used for each in objects], bool))
    for answer in range(len(iou)):
        category, score = int(picture.categories[answer]), float(picture.scores[answer])
        if answer in takes:
            run.points.append((category, score, True))
            continue
        before = None if inside[answer].any() else (category, score, False)
        if before is not None:
            run.points.append(before)
        kind, near = kinds[answer]
        after: Callable[[], _Point | None] = _nothing
        found = None if near is None else objects[near]
        if found is not None and not found.used:
            if found.best is None or found.best[0] < score:
                found.best = score, answer
            mended = found.category if kind == "Cls" else category
            after = _if_best(found, answer, (mended, score, True))
        run.errors.append(_Error(kind, before, after))
    for each in objects:
        if not each.used:
            run.missed[each.category] += 1
            if each.best is None:
                run.lost.append(each.category)


def _take(iou: NDArray[np.float64]) -> dict[int, int]:
    """Let answers take the object of their class that they overlap most, best score first."""
    free = iou.copy()
    takes = {}
    for answer in range(len(iou) if iou.size else 0):
        index = int(free[answer].argmax())
        if free[answer, index] >= RIGHT_IOU:
            takes[answer] = index
            free[:, index] = 0
    return takes


def _kinds(
    iou: NDArray[np.float64], same: NDArray[np.bool_], used: NDArray[np.bool_]
) -> list[tuple[str, int | None]]:
    """Say what is wrong with each answer, if it takes no object, and which object it is near."""
    if not iou.size:
        return [("Bkg", None)] * len(iou)
    own, others = iou * same, iou * ~same
    near_own, near_others = own.argmax(axis=1).tolist(), others.argmax(axis=1).tolist()
    best = (own, others, own * used, iou)
    kinds: list[tuple[str, int | None]] = []
    for answer, (of_own, of_others, of_used, of_any) in enumerate(
        zip(*(each.max(axis=1).tolist() for each in best), strict=True)
    ):
        if BACKGROUND_IOU <= of_own <= RIGHT_IOU:
            kinds.append(("Loc", near_own[answer]))
        elif of_others >= RIGHT_IOU:
            kinds.append(("Cls", near_others[answer]))
        elif of_used >= RIGHT_IOU:
            kinds.append(("Dupe", None))
        else:
            kinds.append(("Bkg" if of_any <= BACKGROUND_IOU else "Both", None))
    return kinds


def _nothing() -> None:
    """An error that mending takes away."""


def _if_best(found: _Object, answer: int, point: _Point) -> Callable[[], _Point | None]:
    """Let only the best of the answers near an object find it."""
    return lambda: point if found.best is not None and found.best[1] == answer else None


def _mended(error: _Error, kind: str) -> _Point | None:
    return error.after() if error.kind == kind else error.before


def _mean_ap(points: Iterable[_Point], wanted: Mapping[int, int]) -> float:
    by_class: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for category, score, right in points:
        by_class[category].append((score, right))
    present = {*by_class, *(each for each, count in wanted.items() if count)}
    if not present:
        return 0.0
    return sum(_ap(by_class[each], wanted.get(each, 0)) for each in present) / len(present)


def _ap(points: list[tuple[float, bool]], wanted: int) -> float:
    if not wanted or not points:
        return 0.0
    scores, right = np.array([each[0] for each in points]), np.array([each[1] for each in points])
    hits = np.cumsum(right[np.argsort(-scores, kind="stable")])
    precision = hits / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(hits / wanted, np.arange(101) / 100, side="left")
    return float(best[at[at < len(best)]].sum()) / 101

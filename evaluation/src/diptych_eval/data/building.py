"""From what the readers found to a data set: ids, classes, tasks, checks that all formats share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from diptych import Mask

from ..model import Category, Dataset, EvaluationTask, Picture, Truth
from .classes import plain
from .errors import DatasetError, Findings
from .geometry import Xywh, box_of
from .pictures import Frame, read_header
from .turning import turned_truth


@dataclass
class FoundObject:
    """A labelled object as its file has it."""

    label: str
    """What errors call it, such as ``"annotation 7"``."""
    category: str
    box: Xywh | None = None
    area: float | None = None
    mask: Mask | None = None
    crowd: bool = False
    keypoints: tuple[float, ...] = ()


@dataclass
class FoundPicture:
    """A picture with its objects, in the pixels of ``frame``."""

    name: str
    path: Path
    frame: Frame
    objects: list[FoundObject] = field(default_factory=list)
    semantic: Path | None = None


@dataclass(frozen=True)
class Reading:
    """How a data set is to be read, and where to say what was strange."""

    findings: Findings
    images: Path | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    crowd: str = "ignore"
    exif: str = "auto"


def build_pictures(
    *,
    name: str,
    format: str,
    root: Path,
    categories: Sequence[Category],
    pictures: Iterable[FoundPicture],
    reading: Reading,
    semantic_names: Mapping[int, str] | None = None,
    ignore_label: int = 255,
) -> Dataset:
    """A data set of pictures.

    Args:
        categories: in the order of the file; their ids are given anew.
        semantic_names: value in the semantic PNGs to a category's name, ``""`` for background.
    """
    findings = reading.findings
    renamed = _renaming(categories, reading)
    found = sorted(pictures, key=lambda each: each.name)
    final = _with_keypoints(_categories(categories, renamed), renamed, found, findings)
    ids = {each.name: each.id for each in final}
    made = _pictures(found, {old: ids[new] for old, new in renamed.items()}, reading)
    truths = [truth for picture in made for truth in picture.truths]
    if findings.problems:
        pass  # what follows would only repeat them
    elif not made:
        findings.problem(root, "", "a data set with pictures", "none")
    elif not truths:
        findings.problem(root, "", "at least one labelled object", f"none on {len(made)} pictures")
    else:
        _say_crowds(truths, root, reading)
        _say_unlabelled(final, truths, findings)
        _say_same_bytes(made, findings)
    return Dataset(
        name=name,
        format=format,
        root=root,
        tasks=_tasks(made, truths, findings),
        categories=tuple(final),
        pictures=tuple(made),
        ignore_label=ignore_label,
        semantic_classes={
            value: ids[renamed[each]] if each else 0
            for value, each in (semantic_names or {}).items()
        },
        sha256=canonical_sha256(final, made),
    )


def canonical_sha256(categories: Sequence[Category], pictures: Sequence[Picture]) -> str:
    """SHA-256 of all truths by names of pictures and classes: no ids, paths or order of objects."""
    names = {each.id: each.name for each in categories}
    digest = hashlib.sha256()
    for picture in pictures:
        head = [picture.name, picture.height, picture.width]
        truths = sorted(
            json.dumps(
                [
                    names[truth.category_id],
                    [round(each, 4) for each in truth.box],
                    round(truth.area, 4),
                    truth.crowd,
                    [round(each, 4) for each in truth.keypoints],
                    None if truth.mask is None else _hash(truth.mask),
                ]
            )
            for truth in picture.truths
        )
        digest.update(json.dumps([head, truths]).encode())
        if picture.semantic is not None:
            digest.update(hashlib.sha256(picture.semantic.read_bytes()).digest())
    return digest.hexdigest()


def _hash(mask: Mask) -> str:
    return hashlib.sha256(mask.counts.astype("<u4").tobytes()).hexdigest()


def _renaming(categories: Sequence[Category], reading: Reading) -> dict[str, str]:
    """Every name of the file to the one that it gets; names of one class become one."""
    wanted = {plain(old): new for old, new in reading.mapping.items()}
    known = {plain(each.name) for each in categories}
    for old, new in reading.mapping.items():
        if plain(new) in wanted and plain(new) != plain(old):
            expected = "a name that no other --map renames"
            reading.findings.problem(None, f"--map {old}", expected, repr(new))
        if plain(old) not in known:
            names = ", ".join(each.name for each in categories) or "none"
            expected = f"a class of the data set ({names})"
            reading.findings.problem(None, f"--map {old}", expected, repr(old))
    first: dict[str, str] = {}
    renamed: dict[str, str] = {}
    for each in categories:
        # A class that has the new name already lends its spelling.
        target = wanted.get(plain(each.name), each.name)
        own = next((c.name for c in categories if plain(c.name) == plain(target)), target)
        final = first.setdefault(plain(target), own)
        if each.name != final and plain(each.name) == plain(final):
            reading.findings.warn(
                "Some classes have names that differ only in spelling; they are read as one.",
                f"{final!r} and {each.name!r}",
            )
        renamed[each.name] = final
    return renamed


def _categories(categories: Sequence[Category], renamed: Mapping[str, str]) -> list[Category]:
    made: dict[str, Category] = {}
    for each in categories:
        name = renamed[each.name]
        if name not in made:
            made[name] = Category(len(made) + 1, name, each.keypoints)
        elif each.keypoints and not made[name].keypoints:
            made[name] = replace(made[name], keypoints=each.keypoints)
    return list(made.values())


def _with_keypoints(
    categories: Sequence[Category],
    renamed: Mapping[str, str],
    pictures: Sequence[FoundPicture],
    findings: Findings,
) -> list[Category]:
    """The categories; those that do not name the key points of their objects get numbers."""
    points = {each.name: each.keypoints for each in categories}
    for picture in pictures:
        for item in picture.objects:
            name, count = renamed[item.category], len(item.keypoints) // 3
            if count and not points[name]:
                findings.warn("Some classes have key points without names; numbered.", name)
                points[name] = tuple(f"point {number}" for number in range(count))
            elif count and count != len(points[name]):
                expected = f"{len(points[name])}, as others of {name} have"
                place = f"{picture.name}, {item.label}, keypoints"
                findings.problem(None, place, expected, str(count))
    return [replace(each, keypoints=points[each.name]) for each in categories]


def _pictures(
    found: Sequence[FoundPicture], ids: Mapping[str, int], reading: Reading
) -> list[Picture]:
    made: list[Picture] = []
    count = 0
    for number, each in enumerate(found, 1):
        truths = []
        for item in each.objects:
            truth = _truth(item, count + 1, ids[item.category], each, reading)
            if truth is not None:
                truths.append(truth)
                count += 1
        if each.semantic is not None:
            _check_semantic(each, each.semantic, reading.findings)
        turned = each.frame.turn >= 5
        height, width = each.frame.height, each.frame.width
        size = (width, height) if turned else (height, width)
        made.append(Picture(number, each.name, each.path, *size, tuple(truths), each.semantic))
    return made


def _check_semantic(picture: FoundPicture, file: Path, findings: Findings) -> None:
    try:
        size = read_header(file).stored
    except DatasetError as error:
        findings.add(error)
        return
    wanted = picture.frame.height, picture.frame.width
    if size != wanted:
        expected = f"{wanted[0]} x {wanted[1]}, as {picture.name}"
        findings.problem(file, "height x width", expected, f"{size[0]} x {size[1]}")
    elif picture.frame.turn != 1:
        got = "those of a picture that EXIF turns; take the orientation out of the picture"
        findings.problem(file, "", "classes of pixels of a picture that is not turned", got)


def _truth(
    item: FoundObject, number: int, category_id: int, picture: FoundPicture, reading: Reading
) -> Truth | None:
    findings = reading.findings
    place = f"{picture.name}, {item.label}"
    around = None if item.mask is None else box_of(item.mask)
    box = item.box
    if box is not None and not (box[2] > 0 and box[3] > 0):
        box = None
        if around is not None:
            text = "Some boxes have a side of 0 or less; the box around the mask is taken."
            findings.warn(text, place)
    box = box or around
    if box is None:
        # Nothing can overlap it; COCO would count it as missed for ever.
        findings.warn("Some objects have neither a box nor a mask with an area; left out.", place)
        return None
    if item.mask is not None and around is None:
        findings.warn("Some objects have a mask without a pixel, which no answer can match.", place)
    _say_outside(box, picture.frame, place, findings)
    area = item.area
    if area is None:
        area = float(item.mask.area) if item.mask is not None else box[2] * box[3]
    crowd = item.crowd and reading.crowd == "ignore"
    truth = Truth(number, category_id, box, area, item.mask, crowd, item.keypoints)
    return turned_truth(truth, picture.frame)


def _say_outside(box: Xywh, frame: Frame, place: str, findings: Findings) -> None:
    right, bottom = box[0] + box[2], box[1] + box[3]
    if box[0] >= frame.width or box[1] >= frame.height or right <= 0 or bottom <= 0:
        got = f"{tuple(box)} in {frame.height} x {frame.width} (height x width)"
        findings.problem(None, f"{place}, box", "to touch its picture", got)
    elif box[0] < -1 or box[1] < -1 or right > frame.width + 1 or bottom > frame.height + 1:
        findings.warn(
            "Some boxes leave their picture by more than a pixel; read as they are.", place
        )


def _tasks(
    pictures: Sequence[Picture], truths: Sequence[Truth], findings: Findings
) -> frozenset[EvaluationTask]:
    tasks = {EvaluationTask.BOXES}
    masks = sum(truth.mask is not None for truth in truths)
    if masks:
        tasks.add(EvaluationTask.PROMPTED)
    if masks and masks == len(truths):
        tasks |= {EvaluationTask.INSTANCES, EvaluationTask.SEMANTIC}
    elif masks:
        findings.warn(
            f"{len(truths) - masks:,} of {len(truths):,} objects have no mask, so that masks are "
            "not compared, only boxes and prompts."
        )
    if any(truth.visible_keypoints for truth in truths):
        tasks.add(EvaluationTask.KEYPOINTS)
    if any(picture.semantic is not None for picture in pictures):
        tasks.add(EvaluationTask.SEMANTIC)
    return frozenset(tasks)


def _say_crowds(truths: Sequence[Truth], root: Path, reading: Reading) -> None:
    if all(truth.crowd for truth in truths):
        reading.findings.problem(
            root,
            "",
            "objects that are no crowd",
            f"iscrowd 1 on all {len(truths)}: none would count, and AP would be undefined; "
            "--crowd instance reads them as single objects",
        )


def _say_unlabelled(
    categories: Sequence[Category], truths: Sequence[Truth], findings: Findings
) -> None:
    used = {truth.category_id for truth in truths}
    for each in categories:
        if each.id not in used:
            findings.warn("Some classes have no object and are in no mean.", each.name)
        elif all(truth.crowd for truth in truths if truth.category_id == each.id):
            text = "Some classes have crowds only, which never count, and are in no mean."
            findings.warn(text, each.name)


def _say_same_bytes(pictures: Sequence[Picture], findings: Findings) -> None:
    by_size: dict[int, list[Picture]] = {}
    for each in pictures:
        by_size.setdefault(each.path.stat().st_size, []).append(each)
    for same in by_size.values():
        seen: dict[bytes, str] = {}
        for each in same if len(same) > 1 else ():
            with each.path.open("rb") as file:
                key = hashlib.file_digest(file, "sha256").digest()
            if key in seen:
                text = "Some pictures have the same bytes as another one, so they count twice."
                findings.warn(text, f"{each.name} and {seen[key]}")
            seen.setdefault(key, each.name)

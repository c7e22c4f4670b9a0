"""One annotation of a COCO json, checked key by key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diptych import Mask

from ...model import Category
from ..building import FoundObject, FoundPicture
from ..errors import Findings
from ..geometry import Xywh, empty_mask, numbers, rasterise, short, split_degenerate
from ..pictures import Frame


class _Refused(Exception):
    """A key of an annotation that cannot be read."""

    def __init__(self, key: str, expected: str, got: str) -> None:
        super().__init__(key)
        self.key, self.expected, self.got = key, expected, got


def read_annotation(
    entry: Mapping[str, Any],
    label: str,
    category: Category,
    picture: FoundPicture,
    file: Path,
    findings: Findings,
) -> FoundObject | None:
    """An annotation as an object of its picture; ``None`` after noting a problem."""
    place = f"{picture.name}, {label}"
    try:
        return FoundObject(
            label=label,
            category=category.name,
            box=_box(entry),
            area=_area(entry, place, findings),
            mask=_mask(entry.get("segmentation"), picture.frame, place, findings),
            crowd=_crowd(entry, place, findings),
            keypoints=_keypoints(entry, category, place, findings),
        )
    except _Refused as error:
        findings.problem(file, f"{place}, {error.key}", error.expected, error.got)
        return None


def _numbers(value: Any, key: str) -> list[float]:
    try:
        return numbers(value)
    except ValueError as error:
        expected, _, got = str(error).partition(", got ")
        raise _Refused(key, expected, got) from error


def _box(entry: Mapping[str, Any]) -> Xywh | None:
    value = entry.get("bbox")
    if value is None or value == []:
        return None
    box = _numbers(value, "bbox")
    if len(box) != 4:
        raise _Refused("bbox", "x, y, width and height", short(value))
    return box[0], box[1], box[2], box[3]


def _area(entry: Mapping[str, Any], place: str, findings: Findings) -> float | None:
    value = entry.get("area")
    if value is None:
        text = "Some objects have no area; that of the mask is taken, else of the box."
        findings.warn(text, place)
        return None
    area = _numbers([value], "area")[0]
    if area < 0:
        raise _Refused("area", "0 or more", short(value))
    return area


def _crowd(entry: Mapping[str, Any], place: str, findings: Findings) -> bool:
    value = entry.get("iscrowd")
    if value is None:
        findings.warn("Some objects have no iscrowd; they are read as single objects.", place)
        return False
    if value not in (0, 1):
        raise _Refused("iscrowd", "0 or 1", short(value))
    if entry.get("ignore") and not value:
        findings.warn("Some objects say ignore, which COCO does not read; they count.", place)
    return bool(value)


def _mask(value: Any, frame: Frame, place: str, findings: Findings) -> Mask | None:
    if value is None or value == []:
        return None
    if isinstance(value, dict):
        return _run_lengths(value, frame)
    if not isinstance(value, list):
        raise _Refused("segmentation", "polygons or run lengths", short(value))
    if not isinstance(value[0], list):
        findings.warn("Some polygons are not in a list of polygons; read as one.", place)
        value = [value]
    polygons = [_polygon(each, frame) for each in value]
    whole, dropped = split_degenerate(polygons)
    if dropped:
        text = "Some polygons have fewer than three corners and no area; left out."
        findings.warn(text, place, count=dropped)
    return rasterise(whole, frame.height, frame.width)


def _polygon(value: Any, frame: Frame) -> list[float]:
    points = _numbers(value, "segmentation")
    if len(points) % 2:
        raise _Refused("segmentation", "x and y in turn", f"{len(points)} numbers")
    for values, side, axis in ((points[::2], frame.width, "x"), (points[1::2], frame.height, "y")):
        low, high = min(values, default=0), max(values, default=0)
        # Farther out is of another picture or size; and COCO's code walks along every pixel.
        if low < -side - 1 or high > 2 * side + 1:
            worst = low if low < -side - 1 else high
            raise _Refused("segmentation", f"{axis} near 0 to {side}", f"{worst:g}")
    return points


def _run_lengths(value: Mapping[str, Any], frame: Frame) -> Mask:
    counts, size = value.get("counts"), value.get("size")
    wanted = [frame.height, frame.width]
    if size != wanted:
        raise _Refused("segmentation", f"size {wanted} (height, width)", short(size))
    try:
        if isinstance(counts, str):
            return Mask.from_coco(counts, (frame.height, frame.width))
        lengths = _numbers(counts, "segmentation")
        if any(not each.is_integer() for each in lengths):
            raise _Refused("segmentation", "whole run lengths", short(counts))
        if not lengths:
            return empty_mask(frame.height, frame.width)
        return Mask.from_counts([int(each) for each in lengths], (frame.height, frame.width))
    except (ValueError, OverflowError) as error:
        expected = f"run lengths of {frame.height} x {frame.width} pixels"
        raise _Refused("segmentation", expected, str(error)) from error


def _keypoints(
    entry: Mapping[str, Any], category: Category, place: str, findings: Findings
) -> tuple[float, ...]:
    value = entry.get("keypoints")
    if value is None or value == []:
        return ()
    points = _numbers(value, "keypoints")
    if len(points) % 3:
        raise _Refused("keypoints", "x, y and visibility of each", f"{len(points)} numbers")
    if category.keypoints and len(points) != 3 * len(category.keypoints):
        expected = f"{len(category.keypoints)} points, as the category has"
        raise _Refused("keypoints", expected, f"{len(points) // 3}")
    if any(each not in (0, 1, 2) for each in points[2::3]):
        raise _Refused("keypoints", "visibility 0, 1 or 2", short(points[2::3]))
    stated = entry.get("num_keypoints")
    if stated is not None and stated != sum(each > 0 for each in points[2::3]):
        text = "Some objects say another num_keypoints than they have; it is counted."
        findings.warn(text, place)
    return tuple(points)

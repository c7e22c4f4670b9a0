"""The lines of a YOLO label file: boxes, polygons, or boxes with key points."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..building import FoundObject, FoundPicture
from ..errors import DatasetError, Findings
from ..files import read_text
from ..geometry import rasterise
from ..pictures import Frame

_SLACK = 0.01  # what rounding leaves outside; Ultralytics allows the same


@dataclass(frozen=True)
class KeypointShape:
    """How a line says key points."""

    count: int
    numbers: int
    """2: x and y; 3: visibility, too."""


def read_lines(
    file: Path,
    names: Mapping[int, str],
    keypoints: KeypointShape | None,
    picture: FoundPicture,
    findings: Findings,
) -> list[FoundObject]:
    """The objects of a label file; lines that cannot be read are noted."""
    try:
        lines = read_text(file).splitlines()
    except DatasetError as error:
        findings.add(error)
        return []
    objects: list[FoundObject] = []
    seen: set[tuple[str, ...]] = set()
    for number, line in enumerate(lines, 1):
        words = tuple(line.split())
        if not words:
            continue
        if words in seen:
            findings.warn("Some label lines are there twice; read once.", f"{file.name}:{number}")
            continue
        seen.add(words)
        try:
            values = _values(words)
            category = _category(values[0], names)
            found = _found(values[1:], keypoints, picture, findings)
        except _Line as error:
            findings.problem(file, f"line {number}", error.expected, error.got)
            continue
        found.label, found.category = f"line {number}", category
        objects.append(found)
    return objects


class _Line(Exception):
    """A line that cannot be read."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(expected)
        self.expected, self.got = expected, got


def _values(words: tuple[str, ...]) -> list[float]:
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise _Line("numbers only", str(error)) from error
    if not all(math.isfinite(each) for each in values):
        raise _Line("finite numbers", " ".join(words)[:60])
    return values


def _category(value: float, names: Mapping[int, str]) -> str:
    if not value.is_integer() or int(value) not in names:
        raise _Line(f"a class from {min(names)} to {max(names)}", f"{value:g}")
    return names[int(value)]


def _found(
    values: list[float], keypoints: KeypointShape | None, picture: FoundPicture, findings: Findings
) -> FoundObject:
    frame = picture.frame
    width, height = frame.width, frame.height
    if keypoints is not None and len(values) == 4 + keypoints.count * keypoints.numbers:
        found = _box(_shares(values[:4]), frame)
        found.keypoints = _keypoints(values[4:], keypoints, frame)
        return found
    if len(values) == 4:
        return _box(_shares(values), frame)
    if len(values) == 5:
        raise _Line(
            "class, x, y, width and height", "six numbers, as predictions with a score have"
        )
    if len(values) < 6 or len(values) % 2:
        raise _Line(
            "a class, then a box of 4 numbers or 3 corners or more", f"{len(values)} numbers"
        )
    shares = _shares(values)
    points = [share * (height if n % 2 else width) for n, share in enumerate(shares)]
    left, right = min(points[::2]), max(points[::2])
    top, bottom = min(points[1::2]), max(points[1::2])
    findings.warn(
        "Outlines of YOLO cannot have holes: a ring is labelled as a disc, "
        "which correct masks overlap less.",
        picture.name,
    )
    mask = rasterise([points], height, width)
    return FoundObject("", "", (left, top, right - left, bottom - top), None, mask)


def _shares(values: list[float]) -> list[float]:
    worst = max(values, key=lambda each: abs(each - 0.5))
    if not -_SLACK <= worst <= 1 + _SLACK:
        raise _Line("coordinates from 0 to 1, as shares of width and height", f"{worst:g}")
    return [min(max(each, 0.0), 1.0) for each in values]


def _box(shares: list[float], frame: Frame) -> FoundObject:
    x, y, width, height = shares
    box = ((x - width / 2) * frame.width, (y - height / 2) * frame.height)
    return FoundObject("", "", (*box, width * frame.width, height * frame.height))


def _keypoints(values: list[float], shape: KeypointShape, frame: Frame) -> tuple[float, ...]:
    made: list[float] = []
    for start in range(0, len(values), shape.numbers):
        x, y = values[start : start + 2]
        seen = values[start + 2] if shape.numbers == 3 else float(bool(x or y)) * 2
        if seen not in (0, 1, 2):
            raise _Line("visibility 0, 1 or 2", f"{seen:g}")
        made += [x * frame.width, y * frame.height, seen] if seen else [0.0, 0.0, 0.0]
    return tuple(made)

"""Pictures made small, and masks made outlines: what the report shows of a picture."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from diptych import Mask

from ..model import Clip, Dataset, Picture
from ..results import Answer

LEAST_SCORE = 0.5
_MOST_SHAPES = 60
_SIZES = ((560, 72), (560, 50), (420, 50), (320, 45), (240, 40), (160, 35))
_TOLERANCE = 0.6  # pixels of the small picture, by which an outline may be off


@dataclass(frozen=True)
class Small:
    """A picture made small, as a data URI."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Shape:
    """One object on a small picture: an SVG path, and what is said of it."""

    path: str
    color: int
    label: str
    filled: bool = True


@dataclass(frozen=True)
class Subject:
    """What is shown of a picture or clip, before it is made small."""

    path: Path
    height: int
    width: int
    frame: int | None = None
    """Index of the frame shown of a clip."""


def subject_of(found: Picture | Clip) -> Subject:
    """Choose what to show: of a clip the labelled frame in the middle."""
    if isinstance(found, Picture):
        return Subject(found.path, found.height, found.width)
    labelled = sorted(found.labels) or [0]
    frame = labelled[len(labelled) // 2]
    return Subject(found.frames[frame], found.height, found.width, frame)


def small_picture(subject: Subject, most_bytes: int) -> Small | None:
    """Make a picture small enough for so many bytes of text; ``None`` if nothing is.

    Raises ``OSError`` for a file that cannot be read as a picture, ``ValueError`` for one whose
    size is not that of the truth.
    """
    with Image.open(subject.path) as opened:
        opened.draft("RGB", (_SIZES[0][0], _SIZES[0][0]))
        turned = ImageOps.exif_transpose(opened)
        sides = (subject.width, subject.height)
        # Truth may stand on the pixels as they are stored; its size tells.
        image = turned if _same_shape(turned.size, sides) else opened
        if not _same_shape(image.size, sides):
            got = f"{image.width} x {image.height}"
            raise ValueError(f"expected {sides[0]} x {sides[1]} pixels, got {got}")
        rgb = image.convert("RGB")
    fit = 0.0
    for side, quality in _SIZES:
        scale = min(1.0, side / max(sides))
        width, height = (max(1, round(each * scale)) for each in sides)
        # After the first try it is known how many bytes its pixels take.
        if fit and fit * width * height > 3 * most_bytes and side > _SIZES[-1][0]:
            continue
        rgb = rgb.resize((width, height), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        rgb.save(file, "WEBP", quality=quality, method=2)
        uri = "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode("ascii")
        if len(uri) <= most_bytes:
            return Small(uri, width, height)
        fit = len(uri) / (width * height)
    return None


def _same_shape(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether sizes are the same but for a decoder that made one smaller by a whole factor."""
    return abs(size[0] * other[1] - size[1] * other[0]) <= max(*size, *other)


@dataclass(frozen=True)
class Drawn:
    """An object in pixels of the picture itself."""

    color: int
    label: str
    mask: Mask | None = None
    box: Sequence[float] | None = None
    points: Sequence[float] = ()

    def shape(self, subject: Subject, small: Small) -> Shape:
        """Draw it on a small picture."""
        x, y = small.width / subject.width, small.height / subject.height
        dots = _dots(self.points, x, y)
        if self.mask is not None:
            return Shape(_outline(self.mask, small) + dots, self.color, self.label)
        if dots:
            return Shape(dots, self.color, self.label)
        left, top, width, height = self.box or (0, 0, 0, 0)
        path = f"M{left * x:.1f} {top * y:.1f}h{width * x:.1f}v{height * y:.1f}h{-width * x:.1f}z"
        return Shape(path, self.color, self.label, filled=False)


def truth_shapes(found: Picture | Clip, subject: Subject, names: Mapping[int, str]) -> list[Drawn]:
    """List what is labelled."""
    if isinstance(found, Clip):
        known = found.labels.get(subject.frame or 0, {})
        return [Drawn(each, f"object {key}", mask=mask) for each, (key, mask) in _numbered(known)]
    return [
        Drawn(
            truth.category_id,
            names.get(truth.category_id, "object") + (", crowd" if truth.crowd else ""),
            mask=truth.mask,
            box=truth.box,
            points=truth.keypoints,
        )
        for truth in found.truths
    ]


def answer_shapes(answer: Answer, subject: Subject, names: Mapping[int, str]) -> list[Drawn]:
    """List what a model answered, the surest first: from ``LEAST_SCORE`` on, or the ten surest."""
    if "frames" in answer.value:
        known = answer.value["frames"].get(str(subject.frame), {})
        masks = {int(key): _mask(rle) for key, rle in known.items()}
        return [Drawn(each, f"object {key}", mask=mask) for each, (key, mask) in _numbered(masks)]
    segments = sorted(answer.value.get("segments", ()), key=lambda each: -each.get("score", 0))
    sure = [each for each in segments if each.get("score", 0) >= LEAST_SCORE]
    return [_answered(each, index, names) for index, each in enumerate(sure or segments[:10])]


def _numbered(masks: Mapping[int, Mask]) -> Iterator[tuple[int, tuple[int, Mask]]]:
    return ((key, (key, masks[key])) for key in sorted(masks))


def _answered(segment: Mapping[str, Any], index: int, names: Mapping[int, str]) -> Drawn:
    category = segment.get("category_id", 0)
    label = f"{names.get(category, 'object')} {segment.get('score', 0):.2f}"
    rle = segment.get("segmentation")
    return Drawn(
        category or index,
        label,
        mask=None if rle is None else _mask(rle),
        box=segment.get("bbox"),
        points=tuple(segment.get("keypoints", ())),
    )


def _mask(rle: Mapping[str, Any]) -> Mask:
    return Mask.from_coco(rle["counts"], tuple(rle["size"]))


def shapes(raw: Sequence[Drawn], subject: Subject, small: Small) -> list[Shape]:
    """Draw objects on a small picture; those that vanish at its size are left out."""
    drawn = (each.shape(subject, small) for each in raw[:_MOST_SHAPES])
    return [each for each in drawn if each.path]


def _dots(points: Sequence[float], x: float, y: float) -> str:
    triples = zip(points[::3], points[1::3], points[2::3], strict=True)
    return "".join(f"M{px * x - 2:.1f} {py * y:.1f}h4" for px, py, seen in triples if seen > 0)


def _outline(mask: Mask, small: Small) -> str:
    height, width = mask.size
    rows = ((np.arange(small.height) + 0.5) * height / small.height).astype(np.intp)
    columns = ((np.arange(small.width) + 0.5) * width / small.width).astype(np.intp)
    made = Mask.from_array(mask.to_array()[np.ix_(rows, columns)])
    rings = (_simplified(ring) for ring in made.to_polygons())
    return "".join(_path(ring) for ring in rings if len(ring) > 2)


def _path(ring: NDArray[np.float32]) -> str:
    # Steps from point to point are shorter than places.
    points = np.rint(ring).astype(int)
    steps = np.diff(points, axis=0)
    moves = " ".join(f"{x},{y}" for x, y in steps.tolist() if x or y)
    return f"M{points[0][0]},{points[0][1]}l{moves}z" if moves else ""


def _simplified(ring: NDArray[np.float32]) -> NDArray[np.float32]:
    """Leave out corners that are hardly off the line (Douglas and Peucker, 1973)."""
    closed = np.concatenate((ring, ring[:1]))
    kept = np.zeros(len(closed), bool)
    far = int(np.argmax(((closed - closed[0]) ** 2).sum(1)))
    kept[[0, far, -1]] = True
    open_parts = [(0, far), (far, len(closed) - 1)]
    while open_parts:
        first, last = open_parts.pop()
        if last - first < 2:
            continue
        between = closed[first + 1 : last] - closed[first]
        line = closed[last] - closed[first]
        length = max(float(np.hypot(*line)), 1e-9)
        off = np.abs(between[:, 0] * line[1] - between[:, 1] * line[0]) / length
        most = int(np.argmax(off))
        if off[most] > _TOLERANCE:
            kept[first + 1 + most] = True
            open_parts += [(first, first + 1 + most), (first + 1 + most, last)]
    return closed[:-1][kept[:-1]]


def found_in(dataset: Dataset, name: str) -> Picture | Clip | None:
    """Find a picture or clip by its name."""
    everything: tuple[Picture | Clip, ...] = (*dataset.pictures, *dataset.clips)
    return next((each for each in everything if each.name == name), None)

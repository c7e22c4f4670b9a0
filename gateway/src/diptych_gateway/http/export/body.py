"""The JSON body of an export, read and checked: it may be no answer of ours."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    FailFast,
    Field,
    RootModel,
    Tag,
    ValidationError,
)

from diptych import Box, Keypoint, Mask, Segment
from diptych.formats import FORMATS, Picture
from diptych_runtime.engine import Reason, ServiceError, invalid

from ..options import refusal

MAX_PICTURES = 2000
MAX_SEGMENTS = 10_000
MAX_PIXELS = 128_000_000
"""Of one picture: more than any camera has."""
MAX_DRAWN_PIXELS = 2_000_000_000
"""Of everything that is drawn pixel by pixel: 160 masks of 12 million pixels, 24 of 81. Drawing so
many takes some ten seconds of one processor."""
MAX_RINGS = 20_000
"""Of all masks, for formats with polygons: noise has a hole at every third pixel, and each takes a
millisecond."""
_MAX_COUNTS = (
    4 * 1024 * 1024
)  # of the run lengths of one mask; each takes 33 bytes while it is read
_MARKS = {"[": 100_000, "{": 30_000, '"': 600_000, ",": 1_000_000}
"""More than so many segments have. A value takes a tenth of a microsecond to read, and none comes
without one of these."""

_READS = ConfigDict(
    extra="ignore", strict=True, allow_inf_nan=False, frozen=True, use_attribute_docstrings=True
)
# Unknown names are kept, and the first is told: an error for each took 33 s for 700,000 of them.
_TAKES = ConfigDict(
    **{**_READS, "extra": "allow"}, json_schema_extra={"additionalProperties": False}
)
_Number = Annotated[float, Field(ge=-1e9, le=1e9)]
_Text = Annotated[str, Field(max_length=1000)]


def _list(kind: Any, most: int) -> Any:
    return Annotated[tuple[kind, ...], FailFast(), Field(max_length=most)]


class _Rle(BaseModel):
    model_config = _READS

    size: tuple[int, int]
    counts: Annotated[str, Field(max_length=_MAX_COUNTS)]


class _Png(BaseModel):
    model_config = _READS

    png: str


class _Polygons(RootModel[_list(_list(_Number, 400_000), 20_000)]):  # type: ignore[misc]
    """Rings of x and y in turn; holes turn the other way than outlines."""

    model_config = ConfigDict(strict=True, frozen=True)


def _kind(value: Any) -> str | None:
    if isinstance(value, list):
        return "polygons"
    kinds = [key for key in ("counts", "png") if isinstance(value, dict) and key in value]
    return kinds[0] if len(kinds) == 1 else None


_Mask = Annotated[
    Annotated[_Rle, Tag("counts")]
    | Annotated[_Png, Tag("png")]
    | Annotated[_Polygons, Tag("polygons")],
    Discriminator(
        _kind,
        custom_error_type="mask_kind",
        custom_error_message="expected polygons, or an object with one of counts and png",
    ),
]


class ExportSize(BaseModel):
    """Of the picture that coordinates refer to, in pixels."""

    model_config = _READS

    height: Annotated[int, Field(ge=1, le=MAX_PIXELS)]
    width: Annotated[int, Field(ge=1, le=MAX_PIXELS)]


class ExportSegment(BaseModel):
    """What an export needs of a segment; its other fields may be there."""

    model_config = _READS

    score: Annotated[float, Field(ge=0, le=1)]
    category_id: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    label: _Text = ""
    bbox: tuple[_Number, _Number, _Number, _Number] | None = None
    """Used where there is no `box`."""
    box: tuple[_Number, _Number, _Number, _Number] | None = None
    segmentation: _Mask | None = None
    keypoints: _list(_Number, 3000) = ()  # type: ignore[valid-type]
    keypoint_names: _list(_Text, 1000) = ()  # type: ignore[valid-type]
    keypoint_scores: _list(_Number, 1000) = ()  # type: ignore[valid-type]

    @property
    def is_run_lengths(self) -> bool:
        """Whether its mask, if it has one, need not be drawn to be read."""
        return self.segmentation is None or isinstance(self.segmentation, _Rle)

    def segment(self, size: tuple[int, int]) -> Segment:
        """Make what the SDK calls it; raises ``ValueError`` for what is no mask of this size."""
        mask = self._mask(size)
        return Segment(
            score=self.score,
            box=self._box(),
            mask=mask,
            label=self.label,
            category_id=self.category_id,
            area=mask.area if mask else 0,
            keypoints=tuple(
                Keypoint(name, x, y, score)
                for name, x, y, score in zip(
                    self.keypoint_names,
                    self.keypoints[::3],
                    self.keypoints[1::3],
                    self.keypoint_scores,
                    strict=True,
                )
            ),
        )

    def _box(self) -> Box | None:
        if self.box is not None:
            return Box(*self.box)
        if self.bbox is None or not (self.bbox[2] and self.bbox[3]):
            return None
        x, y, width, height = self.bbox
        return Box(x, y, x + width, y + height)

    def _mask(self, size: tuple[int, int]) -> Mask | None:
        found = self.segmentation
        if found is None:
            return None
        if isinstance(found, _Rle):
            _check_size(found.size, size)  # or the counts would be held against another one
            return Mask.from_coco(found.counts, size)
        if isinstance(found, _Png):
            mask = Mask.from_png(base64.b64decode(found.png, validate=True))
            _check_size(mask.size, size)  # before any of its pixels is drawn
            return mask
        return Mask.from_polygons(found.root, size)


def _check_size(found: tuple[int, int], size: tuple[int, int]) -> None:
    if found != size:
        raise ValueError(
            f"mask: expected the picture's {size[1]} x {size[0]} pixels, "
            f"got {found[1]} x {found[0]}"
        )


class ExportAnswer(BaseModel):
    """One model's answer as `/api/segment` gave it, or an outcome's `result`."""

    model_config = _READS

    image_size: ExportSize
    segments: _list(ExportSegment, MAX_SEGMENTS)  # type: ignore[valid-type]
    model_id: _Text = ""


class ExportPicture(BaseModel):
    """A picture and what was found in it."""

    model_config = _TAKES

    name: _Text
    """Of its file, with folders if it has any."""
    answer: ExportAnswer
    width: int | None = None
    """What the picture has, if it is to be checked that the answer is of that size."""
    height: int | None = None


def _known(name: str) -> str:
    if name not in FORMATS:
        raise ValueError(f"expected one of {', '.join(FORMATS)}, got {name[:100]!r}")
    return name


class ExportBody(BaseModel):
    """What is to be written."""

    model_config = _TAKES

    format: Annotated[str, AfterValidator(_known)]
    """One of those that `GET /api/export` lists."""
    pictures: Annotated[
        tuple[ExportPicture, ...], FailFast(), Field(min_length=1, max_length=MAX_PICTURES)
    ]
    tolerance: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """How far a polygon may be from the outline of its mask, in pixels; 0 follows the pixels."""


FIELDS = frozenset(
    name
    for model in (ExportBody, ExportPicture, ExportAnswer, ExportSize, ExportSegment, _Rle, _Png)
    for name in model.model_fields
)


def read_body(text: bytes) -> tuple[ExportBody, list[Picture]]:
    """Read what is to be written. Megabytes take a while.

    Raises:
        ServiceError: it cannot be used; its violations say what and why.
    """
    _check_marks(text)
    try:
        body = ExportBody.model_validate_json(text)
    except ValidationError as error:
        raise refusal(error, FIELDS, Reason.OPTION_INVALID, "body") from error
    for where, model in (("", body), *_named("pictures", body.pictures)):
        for name in model.model_extra or {}:
            path = f"{where}{name[:100]}"
            raise invalid(Reason.OPTION_INVALID, path, "Extra inputs are not permitted")
    if sum(len(picture.answer.segments) for picture in body.pictures) > MAX_SEGMENTS:
        raise invalid(
            Reason.OPTION_INVALID, "pictures", f"expected at most {MAX_SEGMENTS} segments, got more"
        )
    pictures = []
    left, rings = MAX_DRAWN_PIXELS, MAX_RINGS
    for number, sent in enumerate(body.pictures):
        where = f"pictures[{number}]"
        size = _size(sent, where)
        drawn = sum(not one.is_run_lengths for one in sent.answer.segments) * size[0] * size[1]
        left = _spend(left, drawn)
        segments = [_segment(one, size, where, at) for at, one in enumerate(sent.answer.segments)]
        left = _spend(left, _drawn(body.format, segments, size))
        if FORMATS[body.format].polygons:
            rings -= sum(one.mask.rings_at_most for one in segments if one.mask)
            if rings < 0:
                raise _too_much(f"masks with at most {MAX_RINGS} outlines and holes")
        pictures.append(Picture(sent.name, size[1], size[0], segments, sent.answer.model_id))
    return body, pictures


def _named(name: str, models: Sequence[BaseModel]) -> Iterator[tuple[str, BaseModel]]:
    yield from ((f"{name}[{number}].", model) for number, model in enumerate(models))


def _check_marks(text: bytes) -> None:
    for mark, most in _MARKS.items():
        if (count := text.count(mark.encode())) > most:
            wanted = f"expected JSON with at most {most} {mark}, got {count}"
            raise invalid(Reason.OPTION_INVALID, "pictures", wanted)


def _size(sent: ExportPicture, where: str) -> tuple[int, int]:
    found = sent.answer.image_size
    if found.width * found.height > MAX_PIXELS:
        text = f"expected at most {MAX_PIXELS} pixels, got {found.width} x {found.height}"
        raise invalid(Reason.OPTION_INVALID, f"{where}.answer.image_size", text)
    for name in ("width", "height"):
        of_picture, of_answer = getattr(sent, name), getattr(found, name)
        if of_picture not in (None, of_answer):
            text = f"expected that of the answer, {of_answer}, got {of_picture}"
            raise invalid(Reason.OPTION_INVALID, f"{where}.{name}", text)
    return found.height, found.width


def _segment(sent: ExportSegment, size: tuple[int, int], where: str, at: int) -> Segment:
    try:
        return sent.segment(size)
    except ValueError as error:
        path = f"{where}.answer.segments[{at}]"
        raise invalid(Reason.OPTION_INVALID, path, str(error)[:500]) from error


def _drawn(name: str, segments: Sequence[Segment], size: tuple[int, int]) -> int:
    draws: Literal["nothing", "objects", "pictures"] = FORMATS[name].draws
    masks = [segment.mask for segment in segments if segment.mask]
    if draws == "nothing" or not masks:
        return 0
    if draws == "pictures":
        return len(masks) * size[0] * size[1]
    boxes = [mask.box for mask in masks]
    return int(sum((b.x_max - b.x_min) * (b.y_max - b.y_min) for b in boxes if b))


def _spend(left: int, pixels: int) -> int:
    if pixels > left:
        raise _too_much(f"masks that are at most {MAX_DRAWN_PIXELS} pixels together")
    return left - pixels


def _too_much(wanted: str) -> ServiceError:
    return ServiceError(
        Reason.IMAGE_TOO_LARGE,
        f"pictures: expected {wanted}, got more: take fewer pictures at a time, or a format that "
        "keeps run lengths, such as coco",
    )

"""Requests and what stands in them: options, prompts and masks, as messages and back."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

from google.protobuf.message import Message

from .._arguments import BoxLike, PointLike, RequestOptions, make_box, make_options, make_point
from .._types.geometry import Box, Point
from .._types.prompts import (
    AutomaticOptions,
    LowResLogits,
    MaskEncoding,
    OutputOptions,
    Prompt,
    Task,
)
from ..masks.mask import Mask
from ..segment import v1 as pb
from .fields import SMALL_BYTES, check_fields

__all__ = [
    "BoxLike",
    "PointLike",
    "RequestOptions",
    "automatic_message",
    "box_message",
    "encoding_value",
    "image_by_bytes",
    "image_by_digest",
    "logits_message",
    "make_box",
    "make_options",
    "make_point",
    "mask_message",
    "output_message",
    "prompt_message",
    "read_automatic",
    "read_box",
    "read_encoding",
    "read_logits",
    "read_mask",
    "read_output",
    "read_prompt",
    "read_request",
    "read_size",
    "read_task",
    "segment_request",
    "take_image",
    "task_value",
]

_MODEL_ID = bytes((pb.SegmentRequest.MODEL_ID_FIELD_NUMBER << 3 | 2,))
_IMAGE = bytes((pb.SegmentRequest.IMAGE_FIELD_NUMBER << 3 | 2,))
_ENCODED = bytes((pb.Image.ENCODED_FIELD_NUMBER << 3 | 2,))
_LARGE_BYTES = 64 * 1024  # below it a copy takes less than looking
_TASK_VALUES = {task: pb.Task.Value(f"TASK_{task.name}") for task in Task}
_TASKS = {value: task for task, value in _TASK_VALUES.items()}
_ENCODING_VALUES = {
    encoding: pb.MaskEncoding.Value(f"MASK_ENCODING_{encoding.name}") for encoding in MaskEncoding
}
_ENCODINGS = {value: encoding for encoding, value in _ENCODING_VALUES.items()}
_ENCODINGS[pb.MaskEncoding.MASK_ENCODING_UNSPECIFIED] = MaskEncoding.COCO_RLE
_FOREGROUND = pb.PointLabel.POINT_LABEL_FOREGROUND
_BACKGROUND = pb.PointLabel.POINT_LABEL_BACKGROUND
_AUTOMATIC_FIELDS = {option.name: option.name for option in dataclasses.fields(AutomaticOptions)}
_AUTOMATIC_FIELDS["min_mask_region_area"] = "min_mask_region_area_px"
_NO_OPTIONS = AutomaticOptions()

M = TypeVar("M", bound=Message)


def image_by_bytes(encoded: bytes) -> pb.Image:
    """The image itself, as the bytes of its file."""
    return pb.Image(encoded=encoded)


def image_by_digest(sha256: bytes) -> pb.Image:
    """The digest of an image that the server should hold, 32 bytes."""
    return pb.Image(sha256=sha256)


def read_checked(message_type: type[M], raw: bytes) -> M:
    """Read a message of a stranger; a large one is looked at first, as ``check_fields`` says.

    Raises:
        DecodeError: the bytes are no such message, or one of far too many fields.
    """
    if len(raw) > SMALL_BYTES:
        check_fields(raw, message_type)
    return message_type.FromString(raw)


def read_request(raw: bytes) -> tuple[pb.SegmentRequest, bytes | memoryview]:
    """Read a serialised ``SegmentRequest`` and take the file of its image out of it.

    Protobuf copies a file when it parses a message, and once more when the field is read. A large
    one that stands where every library writes it is left where it is instead.

    Returns:
        The request, with an empty file where one was, and the file, which may look into ``raw``.

    Raises:
        DecodeError: the bytes are no such message, or one of far too many fields.
    """
    if span := _large_file(raw):
        start, file, end = span
        request = read_checked(pb.SegmentRequest, raw[:start] + raw[end:])
        if not request.HasField("image"):  # of several images the parts of all would count
            request.image.encoded = b""
            return request, memoryview(raw)[file:end]
    request = read_checked(pb.SegmentRequest, raw)
    return request, take_image(request)


def read_size(raw: bytes) -> int:
    """Count the bytes that ``read_request`` reads: all but a file that it leaves where it is."""
    _, file, end = _large_file(raw) or (0, 0, 0)
    return len(raw) - (end - file)


def _large_file(raw: bytes) -> tuple[int, int, int] | None:
    """Find the file of the image in a serialised ``SegmentRequest``.

    Returns:
        Where the field ``image`` begins, where the file does, and where both end; ``None`` for a
        small file, and where anything but the model's id stands before or beside it.
    """
    start = 0
    if raw[:1] == _MODEL_ID:
        size, start = _varint(raw, 1)
        start += size
    if raw[start : start + 1] != _IMAGE:
        return None
    size, inside = _varint(raw, start + 1)
    end = inside + size
    if raw[inside : inside + 1] != _ENCODED:
        return None
    size, file = _varint(raw, inside + 1)
    return (start, file, end) if _LARGE_BYTES <= size == end - file <= len(raw) - file else None


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """Read a number of at most four bytes; returns it and where it ends."""
    number = 0
    for index, byte in enumerate(raw[at : at + 4]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number, at + index + 1
    return 0, len(raw)


def take_image(request: pb.SegmentRequest) -> bytes:
    """Take the file of the image out of a request, which keeps an empty one in its place.

    Returns:
        The file; empty if the request has none.
    """
    encoded = request.image.encoded
    if encoded:
        request.image.encoded = b""
    return encoded


def segment_request(options: RequestOptions, image: pb.Image) -> pb.SegmentRequest:
    """What ``SegmentService.Segment`` takes."""
    return pb.SegmentRequest(
        model_id=options.model_id,
        image=image,
        task=_TASK_VALUES[options.task],
        prompts=[prompt_message(prompt) for prompt in options.prompts],
        output=output_message(options.output),
        automatic=automatic_message(options.automatic) if options.automatic else None,
    )


def task_value(task: Task) -> pb.Task.ValueType:
    """The enum value of a task."""
    return _TASK_VALUES[task]


def read_task(value: int) -> Task | None:
    """The task of an enum value; ``None`` if it is unspecified or unknown."""
    return _TASKS.get(value)  # type: ignore[call-overload, no-any-return]


def encoding_value(encoding: MaskEncoding) -> pb.MaskEncoding.ValueType:
    """The enum value of an encoding."""
    return _ENCODING_VALUES[encoding]


def read_encoding(value: int) -> MaskEncoding | None:
    """The encoding of an enum value, COCO RLE if it is unspecified; ``None`` if it is unknown."""
    return _ENCODINGS.get(value)  # type: ignore[call-overload, no-any-return]


def output_message(output: OutputOptions) -> pb.OutputOptions:
    """What an answer is to hold."""
    return pb.OutputOptions(
        min_score=output.min_score,
        max_segments=output.max_segments,
        mask_encoding=_ENCODING_VALUES[output.mask_encoding],
        all_candidates=output.all_candidates,
        low_res_logits=output.low_res_logits,
        category_ids=output.category_ids,
    )


def read_output(message: pb.OutputOptions) -> OutputOptions:
    """Options as sent; what is unset stays ``None``.

    Raises:
        ValueError: the encoding is unknown.
    """
    encoding = read_encoding(message.mask_encoding)
    if encoding is None:
        raise ValueError(f"expected one of the encodings, got {message.mask_encoding}")
    return OutputOptions(
        min_score=message.min_score if message.HasField("min_score") else None,
        max_segments=message.max_segments if message.HasField("max_segments") else None,
        mask_encoding=encoding,
        all_candidates=message.all_candidates,
        low_res_logits=message.low_res_logits,
        category_ids=tuple(message.category_ids),
    )


def automatic_message(options: AutomaticOptions) -> pb.AutomaticOptions:
    """Every option that is not ``None``."""
    message = pb.AutomaticOptions()
    for name, field in _AUTOMATIC_FIELDS.items():
        value = getattr(options, name)
        if value is not None:
            setattr(message, field, value)
    return message


def read_automatic(
    message: pb.AutomaticOptions, default: AutomaticOptions = _NO_OPTIONS
) -> AutomaticOptions:
    """Options as sent, the rest from ``default``."""
    return AutomaticOptions(
        **{
            name: getattr(message, field)
            if message.HasField(field)  # type: ignore[arg-type]
            else getattr(default, name)
            for name, field in _AUTOMATIC_FIELDS.items()
        }
    )


def prompt_message(prompt: Prompt) -> pb.ObjectPrompt:
    """One wanted object."""
    return pb.ObjectPrompt(
        points=[_point_message(point) for point in prompt.points],
        box=None if prompt.box is None else box_message(prompt.box),
        mask=None if prompt.mask is None else _mask_prompt_message(prompt.mask),
    )


def read_prompt(message: pb.ObjectPrompt, size: tuple[int, int]) -> Prompt:
    """One wanted object on an image of ``size`` (height, width).

    Raises:
        ValueError: the mask cannot be decoded, is empty or has another size.
    """
    return Prompt(
        points=tuple(_read_point(point) for point in message.points),
        box=read_box(message.box) if message.HasField("box") else None,
        mask=_read_mask_prompt(message.mask, size) if message.HasField("mask") else None,
    )


def _point_message(point: Point) -> pb.PointPrompt:
    label = _FOREGROUND if point.positive else _BACKGROUND
    return pb.PointPrompt(x_px=point.x, y_px=point.y, label=label)


def _read_point(message: pb.PointPrompt) -> Point:
    return Point(message.x_px, message.y_px, message.label == _FOREGROUND)


def _mask_prompt_message(mask: Mask | LowResLogits) -> pb.MaskPrompt:
    if isinstance(mask, LowResLogits):
        return pb.MaskPrompt(low_res_logits=logits_message(mask))
    # Whoever knows the picture's size may refuse to draw a PNG.
    encoding = MaskEncoding.COCO_RLE if mask.undecoded_png is None else MaskEncoding.PNG
    size = pb.ImageSize(height_px=mask.size[0], width_px=mask.size[1])
    return pb.MaskPrompt(mask=mask_message(mask, encoding), image_size=size)


def _read_mask_prompt(message: pb.MaskPrompt, size: tuple[int, int]) -> Mask | LowResLogits:
    if message.WhichOneof("source") == "low_res_logits":
        return read_logits(message.low_res_logits)
    if message.HasField("image_size"):
        _check_size((message.image_size.height_px, message.image_size.width_px), size)
    mask = read_mask(message.mask, size)
    if mask is None:
        raise ValueError("expected COCO RLE or PNG, got nothing")
    if not mask.area:  # decodes it, so a PNG with broken pixels shows here
        raise ValueError("expected at least one pixel, got none")
    return mask


def box_message(box: Box) -> pb.BoundingBox:
    """A box, its edges in pixels."""
    return pb.BoundingBox(
        x_min_px=box.x_min, y_min_px=box.y_min, x_max_px=box.x_max, y_max_px=box.y_max
    )


def read_box(message: pb.BoundingBox) -> Box:
    """The box as sent: its edges may be in any order and need not be finite."""
    return Box(message.x_min_px, message.y_min_px, message.x_max_px, message.y_max_px)


def logits_message(logits: LowResLogits) -> pb.LowResLogits:
    """A mask before the threshold."""
    return pb.LowResLogits(height=logits.height, width=logits.width, float16_le=logits.float16_le)


def read_logits(message: pb.LowResLogits) -> LowResLogits:
    """The logits as sent: sides and bytes need not fit together."""
    return LowResLogits(message.height, message.width, message.float16_le)


def mask_message(mask: Mask, encoding: MaskEncoding = MaskEncoding.COCO_RLE) -> pb.Mask:
    """A mask in the encoding asked for, which is not ``NONE``."""
    if encoding is MaskEncoding.PNG:
        return pb.Mask(png=mask.to_png())
    if encoding is MaskEncoding.POLYGONS:
        message = pb.Mask()
        message.polygons.SetInParent()  # an empty mask is an empty list of rings, not an unset one
        for ring in mask.to_polygons():
            message.polygons.rings.add(xy_px=ring.ravel().tolist())
        return message
    return pb.Mask(coco_rle=mask.to_coco())


def read_mask(message: pb.Mask, size: tuple[int, int]) -> Mask | None:
    """A mask of an image of ``size`` (height, width); ``None`` if there is none.

    Masks sent as PNG or polygons are decoded on first use, and raise ``ValueError`` then if they
    are broken. Pixels on the outline of polygons may differ from the mask that they were made of.

    Raises:
        ValueError: it is broken, or of another size.
    """
    encoding = message.WhichOneof("encoding")
    if encoding == "coco_rle":
        return Mask.from_coco(message.coco_rle, size)
    if encoding == "polygons":
        return Mask.from_polygons([ring.xy_px for ring in message.polygons.rings], size)
    if encoding is None:
        return None
    mask = Mask.from_png(message.png)
    _check_size(mask.size, size)
    return mask


def _check_size(sent: tuple[int, int], size: tuple[int, int]) -> None:
    if sent != size:
        raise ValueError(
            f"expected the size of the picture, {size[1]} x {size[0]}, got {sent[1]} x {sent[0]}"
        )

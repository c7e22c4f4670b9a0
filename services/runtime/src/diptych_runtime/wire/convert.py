"""Between wire messages and domain types: the only module here that reads or fills both.

Reading expects messages that passed ``checks``.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration

from diptych import (
    AutomaticOptions,
    Box,
    LowResLogits,
    Mask,
    MaskEncoding,
    OutputOptions,
    Point,
    Prompt,
    PromptKind,
    Segment,
    Task,
)
from diptych.segment import v1 as pb

from ..engine.video import TrackedObject

_E = TypeVar("_E", bound=enum.Enum)
_MANY_VALUES = 64  # more than an enum has; others come from clients, who may send any number
_AUTOMATIC_WIRE = {"min_mask_region_area": "min_mask_region_area_px"}


def task_to_wire(task: Task) -> pb.Task.ValueType:
    """The enum value of a task."""
    return pb.Task.Value(f"TASK_{task.name}")


@functools.lru_cache(_MANY_VALUES)
def task_from_wire(value: int) -> Task | None:
    """The task of an enum value; ``None`` if unspecified or unknown."""
    return _from_enum(Task, pb.Task.Name, "TASK_", value)


def prompt_kind_to_wire(kind: PromptKind) -> pb.PromptKind.ValueType:
    """The enum value of a kind of prompt."""
    return pb.PromptKind.Value(f"PROMPT_KIND_{kind.name}")


@functools.lru_cache(_MANY_VALUES)
def encoding_from_wire(value: int) -> MaskEncoding | None:
    """The encoding of an enum value, COCO RLE if unspecified; ``None`` if unknown."""
    if value == pb.MaskEncoding.MASK_ENCODING_UNSPECIFIED:
        return MaskEncoding.COCO_RLE
    return _from_enum(MaskEncoding, pb.MaskEncoding.Name, "MASK_ENCODING_", value)


def _from_enum(kind: type[_E], name_of: Callable[[Any], str], prefix: str, value: int) -> _E | None:
    try:
        return kind[name_of(value).removeprefix(prefix)]
    except (KeyError, ValueError):
        return None


def prompt_from_wire(prompt: pb.ObjectPrompt, size: tuple[int, int]) -> Prompt:
    """One prompt for a picture of ``size`` (height, width).

    Raises:
        ValueError: the mask cannot be decoded, is empty or has another size.
    """
    points = tuple(
        Point(p.x_px, p.y_px, p.label == pb.PointLabel.POINT_LABEL_FOREGROUND)
        for p in prompt.points
    )
    box = _box_from_wire(prompt.box) if prompt.HasField("box") else None
    mask: Mask | LowResLogits | None = None
    if prompt.mask.WhichOneof("source") == "low_res_logits":
        logits = prompt.mask.low_res_logits
        mask = LowResLogits(logits.height, logits.width, logits.float16_le)
    elif prompt.HasField("mask"):
        mask = mask_from_wire(prompt.mask.mask, size)
    return Prompt(points, box, mask)


def mask_from_wire(mask: pb.Mask, size: tuple[int, int]) -> Mask:
    """A mask of a picture of ``size`` (height, width).

    Raises:
        ValueError: the mask cannot be decoded, is empty or has another size.
    """
    if mask.WhichOneof("encoding") == "png":
        decoded = Mask.from_png(mask.png)
    else:
        decoded = Mask.from_coco(mask.coco_rle, size)
    if decoded.size != size:
        raise ValueError(
            f"expected the size of the picture, {size[1]} x {size[0]}, "
            f"got {decoded.size[1]} x {decoded.size[0]}"
        )
    if not decoded.area:  # decodes it, so a PNG with broken pixels shows here
        raise ValueError("mask: expected at least one pixel, got none")
    return decoded


def output_from_wire(output: pb.OutputOptions) -> OutputOptions:
    """Options as sent; what is unset stays ``None``."""
    encoding = encoding_from_wire(output.mask_encoding)
    assert encoding is not None
    return OutputOptions(
        min_score=output.min_score if output.HasField("min_score") else None,
        max_segments=output.max_segments if output.HasField("max_segments") else None,
        mask_encoding=encoding,
        all_candidates=output.all_candidates,
        low_res_logits=output.low_res_logits,
        category_ids=tuple(output.category_ids),
    )


def automatic_from_wire(
    message: pb.AutomaticOptions, default: AutomaticOptions
) -> AutomaticOptions:
    """Options as sent, the rest from ``default``."""
    values = {}
    for name, fallback in vars(default).items():
        wire = _AUTOMATIC_WIRE.get(name, name)
        values[name] = getattr(message, wire) if message.HasField(wire) else fallback  # type: ignore[arg-type]
    return AutomaticOptions(**values)


def automatic_to_wire(options: AutomaticOptions) -> pb.AutomaticOptions:
    """The message with every option that is not ``None``."""
    fields: Mapping[str, Any] = {
        _AUTOMATIC_WIRE.get(name, name): value
        for name, value in vars(options).items()
        if value is not None
    }
    return pb.AutomaticOptions(**fields)


def segment_to_wire(segment: Segment, encoding: MaskEncoding) -> pb.Segment:
    """One segment, its mask in the encoding asked for."""
    wire = pb.Segment(
        score=segment.score,
        label=segment.label,
        category_id=segment.category_id,
        area_px=segment.area,
        prompt_index=segment.prompt_index,
        candidate_index=segment.candidate_index,
        stability_score=segment.stability_score,
        source_iou=segment.source_iou,
    )
    if segment.mask is not None and encoding is not MaskEncoding.NONE:
        wire.mask.CopyFrom(_mask_to_wire(segment.mask, encoding))
    if segment.box is not None:
        wire.box.CopyFrom(_box_to_wire(segment.box))
    for point in segment.keypoints:
        wire.keypoints.add(name=point.name, x_px=point.x, y_px=point.y, score=point.score)
    if segment.low_res_logits is not None:
        logits = segment.low_res_logits
        wire.low_res_logits.CopyFrom(
            pb.LowResLogits(height=logits.height, width=logits.width, float16_le=logits.float16_le)
        )
    return wire


def tracked_to_wire(tracked: TrackedObject, encoding: MaskEncoding) -> pb.VideoSegment:
    """One object on one frame; a hidden one has neither mask nor box."""
    return pb.VideoSegment(
        object_id=tracked.object_id,
        segment=segment_to_wire(tracked.segment, encoding),
        presence=tracked.presence,
    )


def _mask_to_wire(mask: Mask, encoding: MaskEncoding) -> pb.Mask:
    if encoding is MaskEncoding.PNG:
        return pb.Mask(png=mask.to_png())
    if encoding is MaskEncoding.POLYGONS:
        wire = pb.Mask()
        wire.polygons.SetInParent()  # an empty mask is an empty list of rings, not an unset one
        for ring in mask.to_polygons():
            wire.polygons.rings.add(xy_px=[float(v) for point in ring for v in point])
        return wire
    return pb.Mask(coco_rle=mask.to_coco())


def _box_to_wire(box: Box) -> pb.BoundingBox:
    return pb.BoundingBox(
        x_min_px=box.x_min, y_min_px=box.y_min, x_max_px=box.x_max, y_max_px=box.y_max
    )


def _box_from_wire(box: pb.BoundingBox) -> Box:
    return Box(box.x_min_px, box.y_min_px, box.x_max_px, box.y_max_px)


def duration(seconds: float) -> Duration:
    """A duration; negative ones, from clocks read in the wrong order, become 0."""
    whole, nanoseconds = divmod(max(int(seconds * 1e9), 0), 1_000_000_000)
    return Duration(seconds=whole, nanos=nanoseconds)

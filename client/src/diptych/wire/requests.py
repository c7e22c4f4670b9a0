"""Requests: from what a caller says to wire messages."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from .._images import EncodedImage
from .._options import Ask
from .._types.prompts import AutomaticOptions, Box, LowResLogits, OutputOptions, Point, Prompt
from ..segment import v1 as pb

_AUTOMATIC_FIELDS = {"min_mask_region_area": "min_mask_region_area_px"}


def image_by_bytes(image: EncodedImage) -> pb.Image:
    """The picture itself."""
    return pb.Image(encoded=image.data)


def image_by_digest(image: EncodedImage) -> pb.Image:
    """The digest of a picture that the server should hold."""
    return pb.Image(sha256=image.sha256)


def segment_request(ask: Ask, image: pb.Image) -> pb.SegmentRequest:
    """What ``SegmentService.Segment`` takes."""
    return pb.SegmentRequest(
        model_id=ask.model_id,
        image=image,
        task=pb.Task.Value(f"TASK_{ask.task.name}"),
        prompts=[object_prompt(prompt) for prompt in ask.prompts],
        output=output_options(ask.output),
        automatic=_automatic(ask.automatic) if ask.automatic else None,
    )


def compare_request(
    ask: Ask, image: pb.Image, models: Sequence[str], match_iou: float | None
) -> pb.CompareRequest:
    """What ``GatewayService.Compare`` takes."""
    return pb.CompareRequest(
        request=segment_request(ask, image), model_ids=list(models), match_iou=match_iou
    )


def stream_compare_request(
    ask: Ask, image: pb.Image, models: Sequence[str], match_iou: float | None
) -> pb.StreamCompareRequest:
    """What ``GatewayService.StreamCompare`` takes."""
    return pb.StreamCompareRequest(compare=compare_request(ask, image, models, match_iou))


def object_prompt(prompt: Prompt) -> pb.ObjectPrompt:
    """One wanted object."""
    return pb.ObjectPrompt(
        points=[_point(point) for point in prompt.points],
        box=None if prompt.box is None else _box(prompt.box),
        mask=None if prompt.mask is None else _mask_prompt(prompt),
    )


def _point(point: Point) -> pb.PointPrompt:
    label = (
        pb.PointLabel.POINT_LABEL_FOREGROUND
        if point.positive
        else pb.PointLabel.POINT_LABEL_BACKGROUND
    )
    return pb.PointPrompt(x_px=point.x, y_px=point.y, label=label)


def _box(box: Box) -> pb.BoundingBox:
    return pb.BoundingBox(
        x_min_px=box.x_min, y_min_px=box.y_min, x_max_px=box.x_max, y_max_px=box.y_max
    )


def _mask_prompt(prompt: Prompt) -> pb.MaskPrompt:
    mask = prompt.mask
    if isinstance(mask, LowResLogits):
        return pb.MaskPrompt(
            low_res_logits=pb.LowResLogits(
                height=mask.height, width=mask.width, float16_le=mask.float16_le
            )
        )
    assert mask is not None
    return pb.MaskPrompt(mask=pb.Mask(coco_rle=mask.to_coco()))


def output_options(output: OutputOptions) -> pb.OutputOptions:
    """What an answer is to hold."""
    return pb.OutputOptions(
        min_score=output.min_score,
        max_segments=output.max_segments,
        mask_encoding=pb.MaskEncoding.Value(f"MASK_ENCODING_{output.mask_encoding.name}"),
        all_candidates=output.all_candidates,
        low_res_logits=output.low_res_logits,
        category_ids=output.category_ids,
    )


def _automatic(options: AutomaticOptions) -> pb.AutomaticOptions:
    message = pb.AutomaticOptions()
    for option in dataclasses.fields(options):
        value = getattr(options, option.name)
        if value is not None:
            setattr(message, _AUTOMATIC_FIELDS.get(option.name, option.name), value)
    return message

"""The border between messages and what is compared: answers in, agreements out."""

from __future__ import annotations

import math

import diptych
from diptych import Box, Mask
from diptych.segment import v1 as pb
from diptych.wire.comparison import agreement_message
from diptych.wire.requests import read_box, read_mask

from .agreement import Agreement, Answer, Basis, Found

_MAX_PX = 1 << 28  # far above any image that a service accepts
_BASES = {Basis.MASK: "mask-iou", Basis.BOX: "box-iou", Basis.PROMPT: "prompt"}


def to_answer(response: pb.SegmentResponse, *, with_masks: bool) -> Answer:
    """Read what a model found, as far as it is compared.

    Raises:
        ValueError: a mask or box is broken, or does not fit the image.
    """
    size = (response.image_size.height_px, response.image_size.width_px)
    if min(size) <= 0 or size[0] * size[1] > _MAX_PX:
        raise ValueError(f"expected the size of an image, got {size}")
    return Answer(size, tuple(_found(s, size, with_masks) for s in response.segments))


def to_message(
    agreement: Agreement, *, model_id_a: str, model_id_b: str, basis: Basis
) -> pb.Agreement:
    """Fill the message of an agreement."""
    return agreement_message(
        diptych.Agreement(
            model_id_a=model_id_a,
            model_id_b=model_id_b,
            basis=_BASES[basis],
            matches=agreement.matches,
            only_a=agreement.only_a,
            only_b=agreement.only_b,
            mean_match_iou=agreement.mean_match_iou,
            foreground_iou=agreement.foreground_iou,
        )
    )


def _found(segment: pb.Segment, size: tuple[int, int], with_masks: bool) -> Found:
    return Found(
        mask=_mask(segment.mask, size) if with_masks else None,
        box=_box(segment.box) if segment.HasField("box") else None,
        prompt_index=segment.prompt_index if segment.HasField("prompt_index") else None,
        candidate_index=segment.candidate_index if segment.HasField("candidate_index") else None,
    )


def _mask(message: pb.Mask, size: tuple[int, int]) -> Mask | None:
    mask = read_mask(message, size)
    if mask is not None:
        _ = mask.counts  # PNG and polygons are decoded on first use: now, once, not in each pair
    return mask


def _box(message: pb.BoundingBox) -> Box:
    box = read_box(message)
    if not all(map(math.isfinite, box.xyxy)):
        raise ValueError(f"expected finite edges of a box, got {box.xyxy}")
    return box

"""The border between messages and agreements; of answers, ``redraw`` reads those to a cascade."""

from __future__ import annotations

import math

from diptych import Box, Mask
from diptych.segment import v1 as pb

from .agreement import Agreement, Answer, Basis, Found

_MAX_PX = 1 << 28  # far above any image that a service accepts
_BASES = {
    Basis.MASK: pb.AgreementBasis.AGREEMENT_BASIS_MASK_IOU,
    Basis.BOX: pb.AgreementBasis.AGREEMENT_BASIS_BOX_IOU,
    Basis.PROMPT: pb.AgreementBasis.AGREEMENT_BASIS_PROMPT,
}


def to_answer(response: pb.SegmentResponse, *, with_masks: bool) -> Answer:
    """What a model found, as far as it is compared.

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
    """An agreement as it is sent."""
    return pb.Agreement(
        model_id_a=model_id_a,
        model_id_b=model_id_b,
        basis=_BASES[basis],
        matches=[
            pb.Match(index_a=m.index_a, index_b=m.index_b, iou=m.iou) for m in agreement.matches
        ],
        only_a=agreement.only_a,
        only_b=agreement.only_b,
        mean_match_iou=agreement.mean_match_iou,
        foreground_iou=agreement.foreground_iou,
    )


def _found(segment: pb.Segment, size: tuple[int, int], with_masks: bool) -> Found:
    return Found(
        mask=_mask(segment.mask, size) if with_masks and segment.HasField("mask") else None,
        box=_box(segment.box) if segment.HasField("box") else None,
        prompt_index=segment.prompt_index if segment.HasField("prompt_index") else None,
        candidate_index=segment.candidate_index if segment.HasField("candidate_index") else None,
    )


def _mask(mask: pb.Mask, size: tuple[int, int]) -> Mask | None:
    read = _read_mask(mask, size)
    if read is not None:
        if read.size != size:
            raise ValueError(f"expected a mask of {size}, got {read.size}")
        _ = read.counts  # PNG and polygons are decoded on first use: now, once, not in each pair
    return read


def _read_mask(mask: pb.Mask, size: tuple[int, int]) -> Mask | None:
    encoding = mask.WhichOneof("encoding")
    if encoding == "coco_rle":
        return Mask.from_coco(mask.coco_rle, size)
    if encoding == "png":
        return Mask.from_png(mask.png)
    if encoding == "polygons":
        # Pixels on an outline may differ from the mask that the model found, so overlaps of
        # polygons are close to those of the masks, not equal.
        return Mask.from_polygons([list(ring.xy_px) for ring in mask.polygons.rings], size)
    return None


def _box(box: pb.BoundingBox) -> Box:
    edges = (box.x_min_px, box.y_min_px, box.x_max_px, box.y_max_px)
    if not all(map(math.isfinite, edges)):
        raise ValueError(f"expected finite edges of a box, got {edges}")
    return Box(*edges)

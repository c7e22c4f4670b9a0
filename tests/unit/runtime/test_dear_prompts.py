"""Masks that would take too much to read are refused before the first of them is."""

from __future__ import annotations

import struct

import pytest
from harness.engine import HarnessEngine

from diptych import Mask
from diptych.segment import v1 as pb
from diptych_runtime.engine import Reason, ServiceError
from diptych_runtime.settings import RuntimeSettings
from diptych_runtime.wire.cards import build_card
from diptych_runtime.wire.checks import check_request
from diptych_runtime.wire.prompt_checks import check_prompts
from diptych_runtime.wire.video_checks import check_event

CARD = build_card(HarnessEngine().load(), RuntimeSettings())
MOST_RLE = 4 * 1024 * 1024


def asked(*masks: pb.Mask) -> pb.SegmentRequest:
    """A request with these masks as prompts."""
    request = pb.SegmentRequest(image=pb.Image(encoded=b"x"))
    request.task = pb.Task.TASK_PROMPTED_SEGMENTATION
    for mask in masks:
        request.prompts.add().mask.mask.CopyFrom(mask)
    return request


def test_run_lengths_of_all_masks_together_are_bounded() -> None:
    half = pb.Mask(coco_rle=b"0" * (MOST_RLE // 2))
    check_request(asked(half, half), b"x", CARD)
    with pytest.raises(ServiceError, match=f"{MOST_RLE} bytes in all, got {MOST_RLE + 1}") as said:
        check_request(asked(half, half, pb.Mask(coco_rle=b"0")), b"x", CARD)
    assert said.value.reason is Reason.PROMPT_INVALID


def test_run_lengths_of_a_video_prompt_are_bounded() -> None:
    request = pb.SegmentVideoRequest(seq=2)
    request.prompt.prompt.mask.mask.coco_rle = b"0" * MOST_RLE
    check_event(request, CARD)
    request.prompt.prompt.mask.mask.coco_rle += b"0"
    with pytest.raises(ServiceError, match="bytes in all"):
        check_event(request, CARD)


def png_header(height: int, width: int) -> pb.Mask:
    """A PNG of one bit a pixel that ends after its header."""
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return pb.Mask(png=b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + head + bytes(4))


def test_pixels_of_all_png_masks_together_are_bounded() -> None:
    begun: list[None] = []

    def between() -> None:
        begun.append(None)

    mask = png_header(7000, 7000)
    with pytest.raises(ServiceError, match="256000000 pixels in all, got 294000000"):
        check_prompts(asked(*[mask] * 6), (7000, 7000), None, between=between)
    assert not begun
    with pytest.raises(ServiceError, match="does not decode"):
        check_prompts(asked(*[mask] * 5), (7000, 7000), None, between=between)
    assert len(begun) == 5


def test_small_png_masks_are_as_many_as_prompts() -> None:
    mask = pb.Mask(png=Mask.from_counts([1, 3], (2, 2)).to_png())
    assert len(check_prompts(asked(*[mask] * 256), (2, 2), None)) == 256

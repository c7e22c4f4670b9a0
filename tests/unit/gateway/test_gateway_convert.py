from __future__ import annotations

import numpy as np
import pytest

from diptych import Mask, Match
from diptych.segment import v1 as pb
from diptych_gateway.compare.agreement import Agreement, Basis
from diptych_gateway.compare.wire import to_answer, to_message

SIZE = (20, 30)


def some_mask() -> Mask:
    pixels = np.zeros(SIZE, bool)
    pixels[3:15, 4:25] = True
    pixels[6:9, 8:12] = False
    return Mask.from_array(pixels)


def response(*segments: pb.Segment) -> pb.SegmentResponse:
    size = pb.ImageSize(height_px=SIZE[0], width_px=SIZE[1])
    return pb.SegmentResponse(image_size=size, segments=segments)


def encodings() -> list[pb.Mask]:
    mask = some_mask()
    rings = [pb.Ring(xy_px=ring.ravel().tolist()) for ring in mask.to_polygons()]
    return [
        pb.Mask(coco_rle=mask.to_coco()),
        pb.Mask(png=mask.to_png()),
        pb.Mask(polygons=pb.Polygons(rings=rings)),
    ]


@pytest.mark.parametrize("encoded", encodings(), ids=["coco", "png", "polygons"])
def test_masks_of_every_encoding(encoded: pb.Mask) -> None:
    answer = to_answer(response(pb.Segment(mask=encoded)), with_masks=True)
    assert answer.size == SIZE
    assert answer.found[0].mask == some_mask()


def test_what_is_unset_is_none() -> None:
    box = pb.BoundingBox(x_min_px=1, y_min_px=2, x_max_px=3, y_max_px=4)
    answer = to_answer(
        response(
            pb.Segment(),
            pb.Segment(prompt_index=0, candidate_index=0, box=box, mask=encodings()[0]),
        ),
        with_masks=False,
    )
    bare, full = answer.found
    assert (bare.mask, bare.box, bare.prompt_index, bare.candidate_index) == (None,) * 4
    assert full.mask is None
    assert full.box is not None
    assert full.box.xyxy == (1, 2, 3, 4)
    assert (full.prompt_index, full.candidate_index) == (0, 0)


def other_size() -> bytes:
    return Mask.from_array(np.ones((5, 5), bool)).to_png()


@pytest.mark.parametrize(
    "broken",
    [
        pb.Mask(coco_rle=b"\xff\xfe"),
        pb.Mask(coco_rle=Mask.from_array(np.ones((5, 5), bool)).to_coco()),
        pb.Mask(png=b"no PNG"),
        pb.Mask(png=other_size()),
        pb.Mask(png=some_mask().to_png()[:-20]),
        pb.Mask(polygons=pb.Polygons(rings=[pb.Ring(xy_px=[1, 2, 3])])),
        pb.Mask(polygons=pb.Polygons(rings=[pb.Ring(xy_px=[1, 2, 3, 4, float("nan"), 6])])),
    ],
)
def test_broken_masks_are_refused(broken: pb.Mask) -> None:
    with pytest.raises(ValueError, match=r"expected"):
        to_answer(response(pb.Segment(mask=broken)), with_masks=True)


@pytest.mark.parametrize("size", [(0, 0), (-1, 5), (2**31 - 1, 2**31 - 1)])
def test_absurd_sizes_are_refused(size: tuple[int, int]) -> None:
    absurd = pb.SegmentResponse(image_size=pb.ImageSize(height_px=size[0], width_px=size[1]))
    with pytest.raises(ValueError, match="size of an image"):
        to_answer(absurd, with_masks=True)


def test_boxes_that_are_no_numbers_are_refused() -> None:
    box = pb.BoundingBox(x_max_px=float("inf"))
    with pytest.raises(ValueError, match="finite"):
        to_answer(response(pb.Segment(box=box)), with_masks=True)


def test_agreements_are_filled_in() -> None:
    agreement = Agreement((Match(1, 2, 0.5),), (0, 3), (4,), 0.5, None)
    message = to_message(agreement, model_id_a="a", model_id_b="b", basis=Basis.BOX)
    assert message == pb.Agreement(
        model_id_a="a",
        model_id_b="b",
        basis=pb.AgreementBasis.AGREEMENT_BASIS_BOX_IOU,
        matches=[pb.Match(index_a=1, index_b=2, iou=0.5)],
        only_a=[0, 3],
        only_b=[4],
        mean_match_iou=0.5,
    )
    assert not message.HasField("foreground_iou")

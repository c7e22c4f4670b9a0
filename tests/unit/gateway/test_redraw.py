"""From two answers to one: boxes, overlaps, encodings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from diptych import Box, Mask, MaskEncoding, Segment, SegmentResult, ServerError
from diptych.segment import v1 as pb
from diptych_gateway.cascade.redraw import best_answers, box_prompts, combined, read
from diptych_gateway.compare.agreement import StoppedError

SIZE = (7, 9)
PIXELS = arrays.arrays(np.bool_, SIZE)
RLE = MaskEncoding.COCO_RLE


def answer(*segments: Segment, size: tuple[int, int] = SIZE) -> SegmentResult:
    return SegmentResult("a", segments, size)


def made(pixels: np.ndarray, **fields: object) -> Segment:
    mask = Mask.from_array(pixels)
    return Segment(score=0.5, box=mask.box, mask=mask, area=mask.area, **fields)  # type: ignore[arg-type]


@given(PIXELS, PIXELS)
def test_the_overlap_is_that_of_the_pixels(before: np.ndarray, after: np.ndarray) -> None:
    reply = combined(answer(made(before)), {0: made(after)}, [], RLE, lambda: False)
    (segment,) = reply.segments
    either = (before | after).sum()
    expected = (before & after).sum() / either if either else 0.0
    assert segment.source_iou == pytest.approx(expected)
    assert (Mask.from_coco(segment.mask.coco_rle, SIZE).to_array() == after).all()


def test_a_box_stays_where_nothing_is_outlined() -> None:
    found = Segment(0.5, Box(1, 1, 4, 3), Mask.from_array(np.zeros(SIZE, bool)), "cat", 17)
    assert [*box_prompts(answer(found))] == [0]
    reply = combined(answer(found), {0: made(np.zeros(SIZE, bool))}, [], RLE, lambda: False)
    assert read(reply.SerializeToString()).segments[0].box == found.box


@given(st.tuples(*[st.floats(-20, 20) for _ in range(4)]))
def test_boxes_for_prompts_are_inside_the_picture(edges: tuple[float, ...]) -> None:
    height, width = SIZE
    x0, x1 = sorted(edges[:2])
    y0, y1 = sorted(edges[2:])
    prompts = box_prompts(answer(Segment(score=1.0, box=Box(x0, y0, x1, y1)), Segment(score=1.0)))
    assert set(prompts) <= {0}
    shown = min(x1, width) - max(x0, 0), min(y1, height) - max(y0, 0)
    assert bool(prompts) == (min(shown) > 0)
    for prompt in prompts.values():
        assert prompt.box is not None
        assert 0 <= prompt.box.x_min < prompt.box.x_max <= width
        assert 0 <= prompt.box.y_min < prompt.box.y_max <= height


def test_other_candidates_and_the_order_of_answers_do_not_matter() -> None:
    full, none = np.ones(SIZE, bool), np.zeros(SIZE, bool)
    second, worse, first = (
        made(full, prompt_index=1, candidate_index=0),
        made(none, prompt_index=0, candidate_index=1),
        made(none, prompt_index=0, candidate_index=0),
    )
    assert best_answers(answer(second, worse, first), 2, SIZE) == [first, second]
    with pytest.raises(ValueError, match=r"none for \[2\]"):
        best_answers(answer(second, worse, first), 3, SIZE)
    with pytest.raises(ValueError, match="image"):
        best_answers(answer(second, first, size=(5, 5)), 2, SIZE)


def test_it_ends_when_nobody_waits() -> None:
    asked = iter([False, True])
    found = answer(*[made(np.ones(SIZE, bool))] * 3)
    with pytest.raises(StoppedError):
        combined(found, {}, [], RLE, lambda: next(asked))


def test_a_broken_mask_is_noticed_when_it_is_read() -> None:
    response = pb.SegmentResponse(image_size=pb.ImageSize(height_px=7, width_px=9))
    response.segments.add().mask.coco_rle = b"nonsense"
    with pytest.raises(ServerError, match="COCO run lengths"):
        read(response.SerializeToString())

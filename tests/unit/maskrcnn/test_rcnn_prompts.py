"""Prompts: the heads run on the very box, points choose among the detections."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from rcnn_cases import as_image, ask, finish, job, scene, truth
from torchvision.models.detection.roi_heads import maskrcnn_inference, paste_masks_in_image
from torchvision.models.detection.transform import resize_boxes

from diptych import Box, LowResLogits, Mask, Point, Prompt, Segment, Task
from diptych_maskrcnn.categories import DEMO
from diptych_maskrcnn.engine import MaskRcnnEngine
from diptych_maskrcnn.network import detect as detect_module
from diptych_runtime.engine import Pixels, Reason, ServiceError

PROMPTED = Task.PROMPTED_SEGMENTATION


def prompt(
    engine: MaskRcnnEngine, pixels: Pixels, *prompts: Prompt, **output: Any
) -> list[Segment]:
    return ask(engine, pixels, PROMPTED, prompts, **output)


def detections(engine: MaskRcnnEngine, pixels: Pixels) -> list[Segment]:
    return ask(engine, pixels, Task.INSTANCE_SEGMENTATION, min_score=0.0)


def inside(mask: Mask, x: float, y: float) -> bool:
    return bool(mask.to_array()[int(y), int(x)])


def middle(mask: Mask) -> Point:
    """A pixel well inside a mask."""
    array = np.pad(mask.to_array(), 1)
    while True:
        smaller = array.copy()
        for axis in (0, 1):
            for way in (-1, 1):
                smaller &= np.roll(array, way, axis)
        if not smaller.any():
            break
        array = smaller
    y, x = np.argwhere(array)[0] - 1
    return Point(float(x) + 0.5, float(y) + 0.5)


def by_hand(module: Any, pixels: Pixels, boxes: np.ndarray) -> list[tuple[int, float, np.ndarray]]:
    """Label, score and mask of boxes that torchvision's own heads are handed."""
    size = pixels.shape[:2]
    with torch.inference_mode():
        images, _ = module.transform([as_image(pixels)])
        levels = module.backbone(images.tensors)
        given = torch.from_numpy(boxes)
        inner = resize_boxes(given, size, images.image_sizes[0])
        heads = module.roi_heads
        crops = heads.box_head(heads.box_roi_pool(levels, [inner], images.image_sizes))
        scores, labels = heads.box_predictor(crops)[0].softmax(-1)[:, 1:].max(-1)
        labels = labels + 1
        crops = heads.mask_head(heads.mask_roi_pool(levels, [inner], images.image_sizes))
        (maps,) = maskrcnn_inference(heads.mask_predictor(crops), [labels])
        wholes = paste_masks_in_image(maps, given, size)[:, 0] > 0.5
    return list(zip(labels.tolist(), scores.tolist(), wholes.numpy(), strict=True))


@pytest.mark.parametrize("name", ["scene-0", "wide", "tall", "photo"])
def test_box_equals_the_heads_on_that_very_box(
    engine: MaskRcnnEngine, stock_mask: Any, photos: dict[str, Pixels], name: str
) -> None:
    pixels = photos[name]
    height, width = pixels.shape[:2]
    rng = np.random.default_rng(3)
    corners = np.sort(rng.uniform(0, 1, (6, 2, 2)), axis=1) * [width, height]
    boxes = np.concatenate([corners.reshape(6, 4), [[0, 0, width, height]]]).astype(np.float32)
    prompts = [Prompt(box=Box(*map(float, box))) for box in boxes]
    segments = prompt(engine, pixels, *prompts)
    assert [s.prompt_index for s in segments] == list(range(7))
    assert {s.candidate_index for s in segments} == {0}
    for segment, (label, score, whole) in zip(
        segments, by_hand(stock_mask, pixels, boxes), strict=True
    ):
        assert segment.category_id == label
        assert segment.label == DEMO[label]
        assert segment.score == pytest.approx(score, abs=1e-6)
        assert segment.mask is not None
        assert segment.mask.iou(Mask.from_array(whole)) >= 0.999 or not whole.any()
        assert segment.area == whole.sum()
        assert segment.box == segment.mask.box


def test_boxes_around_objects_get_their_class_and_shape(engine: MaskRcnnEngine) -> None:
    objects = truth(2)
    prompts = [Prompt(box=mask.box) for _, mask in objects]
    segments = prompt(engine, scene(2), *prompts)
    assert [s.label for s in segments] == [name for name, _ in objects]
    assert all(
        s.mask is not None and s.mask.iou(mask) > 0.6
        for s, (_, mask) in zip(segments, objects, strict=True)
    )


def test_background_box_gets_its_best_real_class(engine: MaskRcnnEngine) -> None:
    (segment,) = prompt(engine, scene(0), Prompt(box=Box(0, 0, 20, 20)), min_score=0.9)
    assert segment.score < 0.2
    assert segment.category_id in DEMO
    assert segment.label == DEMO[segment.category_id]


def test_category_filter_limits_the_choice_of_a_box(engine: MaskRcnnEngine) -> None:
    name, mask = truth(2)[0]
    star = next(label for label, known in DEMO.items() if known == "star")
    (segment,) = prompt(engine, scene(2), Prompt(box=mask.box), category_ids=(star,))
    assert (name, segment.label) == ("cross", "star")
    (segment,) = prompt(engine, scene(2), Prompt(box=mask.box), category_ids=(99,))
    assert (segment.score, segment.area, segment.label) == (0.0, 0, "")


def test_point_chooses_the_best_detection_that_covers_it(engine: MaskRcnnEngine) -> None:
    found = detections(engine, scene(2))
    for _, mask in truth(2):
        point = middle(mask)
        expected = [s for s in found if s.mask and inside(s.mask, point.x, point.y)]
        (segment,) = prompt(engine, scene(2), Prompt(points=(point,)))
        assert expected
        assert (segment.score, segment.box, segment.label) == (
            expected[0].score,
            expected[0].box,
            expected[0].label,
        )
        assert segment.mask is not None
        assert expected[0].mask is not None
        assert segment.mask.iou(expected[0].mask) >= 0.999


def test_all_candidates_are_all_detections_that_cover_it(engine: MaskRcnnEngine) -> None:
    found = detections(engine, scene(0))
    points = [Point(float(x), float(y)) for x in range(5, 250, 20) for y in range(5, 250, 20)]
    counts = []
    segments = prompt(
        engine,
        scene(0),
        *(Prompt(points=(p,)) for p in points),
        all_candidates=True,
        max_segments=1000,
    )
    for index, point in enumerate(points):
        mine = [s for s in segments if s.prompt_index == index]
        expected = [s for s in found if s.mask and inside(s.mask, point.x, point.y)]
        counts.append(len(expected))
        assert [s.candidate_index for s in mine] == list(range(max(len(expected), 1)))
        assert [s.score for s in mine] == ([s.score for s in expected] or [0.0])
    assert max(counts) >= 2
    assert 0 in counts


def best_by_hand(found: list[Segment], asked: Prompt) -> list[Segment]:
    """Those that have the first foreground point, if any has; of them those right about most."""
    positive = [p for p in asked.points if p.positive]

    def has(segment: Segment, point: Point) -> bool:
        return segment.mask is not None and inside(segment.mask, point.x, point.y)

    def right(segment: Segment) -> int:
        return sum(has(segment, point) == point.positive for point in asked.points)

    left = [s for s in found if any(has(s, point) for point in positive)]
    left = [s for s in left if has(s, positive[0])] or left
    most = max(map(right, left), default=0)
    return [s for s in left if right(s) == most]


def test_points_choose_what_agrees_best_with_them(engine: MaskRcnnEngine) -> None:
    found = detections(engine, scene(0))
    rng = np.random.default_rng(18)
    asked = [
        Prompt(points=tuple(Point(*xy, positive=index % 3 < 2) for index, xy in enumerate(drawn)))
        for drawn in rng.uniform(0, 255, (60, 5, 2)).tolist()
    ]
    segments = prompt(engine, scene(0), *asked, all_candidates=True, max_segments=1000)
    expected = [best_by_hand(found, one) for one in asked]
    for index, best in enumerate(expected):
        mine = [s for s in segments if s.prompt_index == index]
        assert [s.score for s in mine] == ([s.score for s in best] or [0.0])
        assert [s.box for s in mine] == ([s.box for s in best] or [None])
    assert {min(len(best), 2) for best in expected} == {0, 1, 2}


def test_clicks_that_contradict_each_other_keep_what_the_first_one_meant(
    engine: MaskRcnnEngine,
) -> None:
    objects = [middle(mask) for _, mask in truth(2)]
    on, other = objects[3:5]
    off = Point(on.x, on.y, positive=False)
    beside = Point(on.x + 1, on.y, positive=False)
    alone, *series = prompt(
        engine,
        scene(2),
        *(
            Prompt(points=points)
            for points in ((on,), (on, beside), (on, off), (off, on), (on, other))
        ),
    )
    assert alone.area
    assert all((s.mask, s.score) == (alone.mask, alone.score) for s in series)
    (turned,) = prompt(engine, scene(2), Prompt(points=(other, on)))
    assert turned.area
    assert turned.mask != alone.mask


def test_a_first_point_on_nothing_leaves_the_word_to_the_others(engine: MaskRcnnEngine) -> None:
    on = middle(truth(2)[3][1])
    nowhere = Point(1, 1)
    alone, after = prompt(
        engine, scene(2), Prompt(points=(on,)), Prompt(points=(nowhere, on)), min_score=0.0
    )
    assert after.mask == alone.mask


def test_a_background_point_takes_another_detection_of_the_same_place(
    engine: MaskRcnnEngine,
) -> None:
    found = detections(engine, scene(0))
    on = middle(truth(0)[2][1])
    first, second, *_ = (s for s in found if s.mask and inside(s.mask, on.x, on.y))
    assert first.mask is not None
    assert second.mask is not None
    y, x = np.argwhere(first.mask.to_array() & ~second.mask.to_array())[0]
    off = Point(float(x), float(y), positive=False)
    (taken,) = prompt(engine, scene(0), Prompt(points=(on, off)))
    assert taken.mask != first.mask
    assert taken.area


def test_points_on_nothing_match_nothing(engine: MaskRcnnEngine) -> None:
    points = (Point(1, 1), Point(1, 255), middle(truth(2)[3][1]))
    asked = Prompt(points=(*points[:2], Point(points[2].x, points[2].y, positive=False)))
    (segment,) = prompt(engine, scene(2), asked, min_score=1.0)
    assert segment.mask is not None
    assert segment.mask.size == scene(2).shape[:2]
    assert (segment.score, segment.area, segment.box, segment.label, segment.category_id) == (
        *(0.0, 0, None, ""),
        0,
    )
    assert (segment.prompt_index, segment.candidate_index) == (0, 0)


def test_points_on_the_far_edges_are_inside(engine: MaskRcnnEngine) -> None:
    height, width = scene(0).shape[:2]
    corner = Prompt(points=(Point(float(width), float(height)),))
    assert len(prompt(engine, scene(0), corner)) == 1


def test_a_box_decides_over_its_points(engine: MaskRcnnEngine) -> None:
    box = Box(20, 30, 120, 140)
    point = Point(200.0, 200.0)
    both = prompt(engine, scene(0), Prompt(box=box, points=(point,)))
    assert both == prompt(engine, scene(0), Prompt(box=box))


def test_answers_come_in_the_order_of_the_prompts(engine: MaskRcnnEngine) -> None:
    objects = truth(2)
    mixed = [
        Prompt(points=(middle(mask),)) if index % 2 else Prompt(box=mask.box)
        for index, (_, mask) in enumerate(objects)
    ]
    segments = prompt(engine, scene(2), *mixed, max_segments=1)
    assert [s.prompt_index for s in segments] == list(range(len(objects)))
    for index, asked in enumerate(mixed):
        (alone,) = prompt(engine, scene(2), asked)
        assert segments[index].label == alone.label
        assert segments[index].score == pytest.approx(alone.score, abs=1e-6)


def test_limit_leaves_out_candidates_but_no_prompt(engine: MaskRcnnEngine) -> None:
    centre = middle(truth(0)[2][1])
    prompts = [Prompt(points=(centre,)), Prompt(points=(centre,))]
    features = engine.embed(scene(0), "mask")
    every, _ = finish(engine, features, job(PROMPTED, prompts, all_candidates=True))
    per_prompt = len(every.segments) // 2
    assert per_prompt >= 2
    few, _ = finish(engine, features, job(PROMPTED, prompts, all_candidates=True, max_segments=3))
    assert [(s.prompt_index, s.candidate_index) for s in few.segments] == [(0, 0), (0, 1), (1, 0)]
    assert few.omitted == len(every.segments) - 3
    one, _ = finish(engine, features, job(PROMPTED, prompts, all_candidates=True, max_segments=1))
    assert [(s.prompt_index, s.candidate_index) for s in one.segments] == [(0, 0), (1, 0)]


def test_mask_prompts_are_refused_by_name(engine: MaskRcnnEngine) -> None:
    mask = truth(0)[0][1]
    logits = LowResLogits.from_numpy(np.zeros((4, 4)))
    prompts = [Prompt(box=Box(0, 0, 9, 9)), Prompt(mask=mask), Prompt(mask=logits)]
    with pytest.raises(ServiceError) as caught:
        prompt(engine, scene(0), *prompts)
    assert caught.value.reason is Reason.PROMPT_UNSUPPORTED
    assert [v.field for v in caught.value.violations] == ["prompts[1].mask", "prompts[2].mask"]


def test_many_boxes_go_in_batches(engine: MaskRcnnEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detect_module, "HEAD_BATCH", 4)
    boxes = [Prompt(box=Box(i, i, i + 60, i + 50)) for i in range(10)]
    features = engine.embed(scene(0), "mask")
    answer, pauses = finish(engine, features, job(PROMPTED, boxes))
    assert [s.prompt_index for s in answer.segments] == list(range(10))
    assert pauses == 3

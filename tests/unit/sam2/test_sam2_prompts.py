"""Prompted segmentation gives the masks of ``SAM2ImagePredictor`` on the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from diptych import Box, LowResLogits, Mask, OutputOptions, Point, Prompt, Task
from diptych_runtime.engine import Job, Reason, ServiceError

SAME = 0.999
SCENES = range(6)


def iou(ours: Mask, theirs: Any) -> float:
    """Two empty masks agree."""
    expected = Mask.from_array(np.asarray(theirs) > 0)
    return ours.iou(expected) if ours.area or expected.area else 1.0


def spread(size: tuple[int, int]) -> list[Point]:
    """A few points spread over a picture of this height and width."""
    height, width = size
    return [Point(width * x, height * y) for x, y in ((0.3, 0.35), (0.52, 0.5), (0.71, 0.66))]


def pictures(scene: Any, wide: Any, photo: Any) -> dict[str, Any]:
    return {**{f"scene {n}": scene(n) for n in SCENES}, "wide": wide, "photo": photo}


def test_a_lone_point_takes_the_best_of_three(
    scene: Any, wide: Any, photo: Any, stock: Any, prompted: Any
) -> None:
    areas = []
    for name, pixels in pictures(scene, wide, photo).items():
        predictor = stock(pixels)
        for point in spread(pixels.shape[:2]):
            (ours,) = prompted(pixels, Prompt(points=(point,)))
            masks, quality, _ = predictor.predict(np.array([[point.x, point.y]]), np.array([1]))
            best = int(quality.argmax())
            assert iou(ours.mask, masks[best]) >= SAME, name
            assert ours.score == pytest.approx(quality[best], abs=1e-5)
            areas.append(ours.area)
    assert min(areas) > 0
    assert len(set(areas)) > 10


def test_all_candidates_are_the_three_masks_best_first(
    scene: Any, wide: Any, photo: Any, stock: Any, prompted: Any
) -> None:
    for pixels in pictures(scene, wide, photo).values():
        predictor = stock(pixels)
        point = spread(pixels.shape[:2])[1]
        ours = prompted(pixels, Prompt(points=(point,)), all_candidates=True)
        masks, quality, _ = predictor.predict(np.array([[point.x, point.y]]), np.array([1]))
        order = quality.argsort()[::-1]
        assert [segment.candidate_index for segment in ours] == [0, 1, 2]
        assert [segment.score for segment in ours] == pytest.approx(quality[order], abs=1e-5)
        for segment, mask in zip(ours, masks[order], strict=True):
            assert iou(segment.mask, mask) >= SAME


def test_boxes_and_several_points_take_the_single_mask(
    scene: Any, wide: Any, photo: Any, stock: Any, prompted: Any
) -> None:
    areas = []
    for name, pixels in pictures(scene, wide, photo).items():
        height, width = pixels.shape[:2]
        box = Box(width * 0.2, height * 0.25, width * 0.6, height * 0.8)
        points = (Point(width * 0.4, height * 0.5), Point(width * 0.9, height * 0.1, False))
        coordinates = np.array([[point.x, point.y] for point in points])
        labels = np.array([1, 0])
        predictor = stock(pixels)
        cases = [
            (Prompt(box=box), {"box": np.array(box.xyxy)}),
            (Prompt(points=points), {"point_coords": coordinates, "point_labels": labels}),
            (
                Prompt(points=points, box=box),
                {"point_coords": coordinates, "point_labels": labels, "box": np.array(box.xyxy)},
            ),
        ]
        for prompt, arguments in cases:
            (ours,) = prompted(pixels, prompt)
            masks, quality, _ = predictor.predict(**arguments, multimask_output=False)
            assert iou(ours.mask, masks[0]) >= SAME, name
            assert ours.score == pytest.approx(quality[0], abs=1e-5)
            areas.append(ours.area)
    assert np.count_nonzero(areas) >= 20


def test_logits_of_an_answer_refine_it(scene: Any, photo: Any, stock: Any, prompted: Any) -> None:
    areas = []
    for pixels in (scene(1), scene(3), photo):
        height, width = pixels.shape[:2]
        box = Box(width * 0.2, height * 0.25, width * 0.6, height * 0.8)
        point = Point(width * 0.4, height * 0.5)
        predictor = stock(pixels)
        (first,) = prompted(pixels, Prompt(points=(point,)), low_res_logits=True)
        assert first.low_res_logits is not None
        logits = first.low_res_logits.to_numpy()[None]
        assert np.abs(logits).max() <= 32
        at = {"point_coords": np.array([[point.x, point.y]]), "point_labels": np.array([1])}
        cases = [
            (Prompt(mask=first.low_res_logits), {}),
            (Prompt(points=(point,), mask=first.low_res_logits), at),
            (Prompt(box=box, mask=first.low_res_logits), {"box": np.array(box.xyxy)}),
        ]
        for prompt, arguments in cases:
            (ours,) = prompted(pixels, prompt)
            masks, *_ = predictor.predict(**arguments, mask_input=logits, multimask_output=False)
            assert iou(ours.mask, masks[0]) >= SAME
            areas.append(ours.area)
    assert np.count_nonzero(areas) >= 8


def test_low_res_logits_are_what_stock_returns(scene: Any, stock: Any, prompted: Any) -> None:
    pixels = scene(2)
    point = spread((256, 256))[0]
    ours = prompted(pixels, Prompt(points=(point,)), all_candidates=True, low_res_logits=True)
    _, quality, logits = stock(pixels).predict(np.array([[point.x, point.y]]), np.array([1]))
    for segment, expected in zip(ours, logits[quality.argsort()[::-1]], strict=True):
        np.testing.assert_allclose(segment.low_res_logits.to_numpy(), expected, atol=2e-2)


def test_a_full_mask_becomes_the_logits_of_the_video_path(
    scene: Any, wide: Any, photo: Any, demo_model: Any, stock: Any, prompted: Any
) -> None:
    for pixels in (scene(0), wide, photo):
        height, width = pixels.shape[:2]
        y, x = np.mgrid[:height, :width]
        disc = (x / width - 0.45) ** 2 + (y / height - 0.5) ** 2 < 0.04
        (ours,) = prompted(pixels, Prompt(mask=Mask.from_array(disc)))
        logits = _video_logits(demo_model, disc)
        masks, *_ = stock(pixels).predict(mask_input=logits, multimask_output=False)
        assert ours.area > 0
        assert iou(ours.mask, masks[0]) >= SAME


def test_a_full_mask_is_refined_by_points_and_a_box(
    scene: Any, wide: Any, photo: Any, demo_model: Any, stock: Any, prompted: Any
) -> None:
    """Also by points that only say where the object is not."""
    for name, pixels in {"scene": scene(0), "wide": wide, "photo": photo}.items():
        height, width = pixels.shape[:2]
        y, x = np.mgrid[:height, :width]
        disc = (x / width - 0.45) ** 2 + (y / height - 0.5) ** 2 < 0.04
        mask = Mask.from_array(disc)
        box = Box(width * 0.2, height * 0.25, width * 0.6, height * 0.8)
        points = (Point(width * 0.4, height * 0.5), Point(width * 0.9, height * 0.1, False))
        predictor, logits = stock(pixels), _video_logits(demo_model, disc)
        for prompt in (
            Prompt(points=points, mask=mask),
            Prompt(points=points[1:], mask=mask),
            Prompt(points=points[:1], mask=mask),
            Prompt(box=box, mask=mask),
            Prompt(points=points[1:], box=box, mask=mask),
        ):
            (ours,) = prompted(pixels, prompt)
            masks, quality, _ = predictor.predict(
                point_coords=np.array([[p.x, p.y] for p in prompt.points])
                if prompt.points
                else None,
                point_labels=np.array([p.positive for p in prompt.points])
                if prompt.points
                else None,
                box=np.array(prompt.box.xyxy) if prompt.box else None,
                mask_input=logits,
                multimask_output=False,
            )
            assert ours.area > 0
            assert iou(ours.mask, masks[0]) >= SAME, name
            assert ours.score == pytest.approx(quality[0], abs=1e-5)


def test_a_background_click_corrects_the_logits_of_an_answer(
    scene: Any, photo: Any, stock: Any, prompted: Any
) -> None:
    """A box, then one click, and another: as the package, fed with its own last logits."""
    for pixels in (scene(1), scene(3), photo):
        height, width = pixels.shape[:2]
        box = Box(width * 0.2, height * 0.25, width * 0.6, height * 0.8)
        predictor = stock(pixels)
        (ours,) = prompted(pixels, Prompt(box=box), low_res_logits=True)
        _, _, theirs = predictor.predict(box=np.array(box.xyxy), multimask_output=False)
        first = ours.area
        clicks: list[Point] = []
        for x, y in ((0.3, 0.4), (0.5, 0.7)):
            clicks.append(Point(width * x, height * y, positive=False))
            asked = Prompt(points=tuple(clicks), mask=ours.low_res_logits)
            (ours,) = prompted(pixels, asked, low_res_logits=True)
            masks, _, theirs = predictor.predict(
                point_coords=np.array([[p.x, p.y] for p in clicks]),
                point_labels=np.zeros(len(clicks)),
                mask_input=theirs,
                multimask_output=False,
            )
            assert iou(ours.mask, masks[0]) >= SAME
        assert ours.area != first


def _video_logits(model: Any, mask: Any) -> Any:
    """``(1, 64, 64)``: what the sam2 package itself makes of a mask on a video frame."""
    square = torch.nn.functional.interpolate(
        torch.from_numpy(mask)[None, None].float(),
        (model.image_size, model.image_size),
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )
    side = model.image_size // 16
    channels = model.hidden_dim
    features = torch.zeros(1, channels, side, side)
    high_res = [
        torch.zeros(1, channels // 8, 4 * side, 4 * side),
        torch.zeros(1, channels // 4, 2 * side, 2 * side),
    ]
    with torch.inference_mode():
        low_res, *_ = model._use_mask_as_output(features, high_res, (square >= 0.5).float())
    return low_res[0].numpy()


def test_many_prompts_of_all_kinds_answer_as_each_alone(scene: Any, prompted: Any) -> None:
    pixels = scene(4)
    points = [Prompt(points=(Point(x, y),)) for x in range(20, 250, 40) for y in range(20, 250, 60)]
    boxes = [Prompt(box=Box(x, 40, x + 60, 140)) for x in range(0, 180, 30)]
    several = [Prompt(points=(Point(60, 60), Point(200, 200, False)))]
    disc = Mask.from_crop(np.ones((50, 60), bool), 90, 100, size=(256, 256))
    prompts = [*points[:11], *boxes, *several, Prompt(mask=disc), *points[11:]]
    together = prompted(pixels, *prompts)
    assert [segment.prompt_index for segment in together] == list(range(len(prompts)))
    assert {segment.candidate_index for segment in together} == {0}
    for segment, prompt in zip(together, prompts, strict=True):
        (alone,) = prompted(pixels, prompt)
        assert iou(segment.mask, alone.mask.to_array()) >= SAME
        assert segment.score == pytest.approx(alone.score, abs=1e-5)


def test_boxes_and_areas_are_those_of_the_masks(scene: Any, prompted: Any) -> None:
    for segment in prompted(scene(5), Prompt(points=(Point(128, 128),)), all_candidates=True):
        assert segment.box == segment.mask.box
        assert segment.area == segment.mask.area == segment.mask.to_array().sum()
        assert 0 <= segment.score <= 1


def test_answers_to_prompts_are_never_dropped(scene: Any, prompted: Any) -> None:
    prompts = [Prompt(points=(Point(20 * n, 128),)) for n in range(1, 6)]
    assert len(prompted(scene(0), *prompts, min_score=1.0, max_segments=1)) == len(prompts)


def test_further_candidates_make_room_for_the_best_of_each_prompt(
    scene: Any, engine: Any, finish: Any
) -> None:
    """As with Mask R-CNN: the worst of them are left out, and counted."""
    pixels = scene(0)
    prompts = tuple(Prompt(points=(Point(60 * n, 128),)) for n in range(1, 4))
    answers = {}
    for most in (1, 5, None):
        output = OutputOptions(all_candidates=True, max_segments=most)
        job = Job(Task.PROMPTED_SEGMENTATION, prompts, output, None)
        answers[most], _ = finish(engine.segment(engine.embed(pixels, "image"), None, job))
    whole = answers[None].segments
    assert (len(whole), answers[None].omitted) == (9, 0)
    assert answers[1].segments == tuple(s for s in whole if s.candidate_index == 0)
    further = sorted((s.score for s in whole if s.candidate_index), reverse=True)
    kept = [s for s in answers[5].segments if s.candidate_index]
    assert sorted((s.score for s in kept), reverse=True) == further[:2]
    assert [answers[most].omitted for most in (1, 5)] == [6, 4]


def test_logits_of_another_size_are_refused(scene: Any, prompted: Any) -> None:
    wrong = LowResLogits.from_numpy(np.zeros((256, 256), np.float32))
    with pytest.raises(ServiceError, match="expected 64 x 64, got 256 x 256") as caught:
        prompted(scene(0), Prompt(points=(Point(9, 9),)), Prompt(mask=wrong))
    assert caught.value.reason is Reason.PROMPT_INVALID
    assert caught.value.violations[0].field == "prompts[1].mask.low_res_logits"


def test_a_prompt_without_anything_is_refused(scene: Any, prompted: Any) -> None:
    with pytest.raises(ServiceError, match="expected points, a box or a mask"):
        prompted(scene(0), Prompt())

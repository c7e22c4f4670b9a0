"""The automatic mode gives the masks of ``SAM2AutomaticMaskGenerator`` on the same weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from sam2 import automatic_mask_generator as stock_module
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sam2.utils.amg import MaskData, area_from_rle, rle_to_mask
from skimage import measure

from diptych import AutomaticOptions, Mask, OutputOptions, Task
from diptych_runtime.engine import Job

SAME = 0.999
label: Any = measure.label
LOOSE = {"pred_iou_thresh": 0.6, "stability_score_thresh": 0.7}


def assert_same(ours: Sequence[Any], theirs: Sequence[dict[str, Any]]) -> None:
    assert len(ours) == len(theirs)
    scores = [segment.score for segment in ours]
    assert scores == sorted(scores, reverse=True)
    left = list(ours)
    for record in theirs:
        expected = Mask.from_array(record["segmentation"])
        # Records of one point can share a score, so the best match stands for the same place.
        best = max(left, key=lambda segment: segment.mask.iou(expected))
        left.remove(best)
        assert best.mask.iou(expected) >= SAME
        assert best.score == pytest.approx(record["predicted_iou"], abs=1e-4)
        assert best.stability_score == pytest.approx(record["stability_score"], abs=1e-3)
        assert best.area == best.mask.area
        x, y, width, height = record["bbox"]
        assert best.box.xyxy == pytest.approx((x, y, x + width + 1, y + height + 1), abs=1)


@pytest.mark.parametrize(
    ("options", "at_least"),
    [
        ({"points_per_side": 8, **LOOSE}, 4),
        ({"points_per_side": 12, "pred_iou_thresh": 0.8, "stability_score_thresh": 0.85}, 4),
        ({"points_per_side": 8, "box_nms_thresh": 1.0, **LOOSE}, 20),
        ({"points_per_side": 8, "stability_score_offset": 0.3, **LOOSE}, 4),
        ({"points_per_side": 8, "multimask_output": False, **LOOSE}, 4),
        ({"points_per_side": 6, "use_m2m": True, **LOOSE}, 4),
        ({"points_per_side": 6, "crop_n_layers": 1, **LOOSE}, 4),
        (
            {
                "points_per_side": 8,
                "crop_n_layers": 1,
                "crop_n_points_downscale_factor": 2,
                "crop_overlap_ratio": 0.2,
                "crop_nms_thresh": 0.5,
                **LOOSE,
            },
            4,
        ),
    ],
    ids=["loose", "tidy", "no-nms", "offset", "single", "m2m", "crops", "crop-options"],
)
def test_same_masks_as_stock(
    options: dict[str, Any],
    at_least: int,
    scene: Any,
    automatic: Any,
    stock_automatic: Any,
) -> None:
    found = 0
    for number in (0, 7):
        ours = automatic(scene(number), **options).segments
        assert_same(ours, stock_automatic(scene(number), **options))
        found += sum(segment.area > 0 for segment in ours)
    assert found >= at_least


def test_same_masks_on_wide_pictures_and_photographs(
    wide: Any, photo: Any, automatic: Any, stock_automatic: Any
) -> None:
    options = {"points_per_side": 8, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.5}
    found = 0
    for pixels in (wide, photo):
        ours = automatic(pixels, **options).segments
        assert_same(ours, stock_automatic(pixels, **options))
        found += len(ours)
    assert found >= 6


def test_thresholds_of_zero_keep_everything(
    scene: Any, automatic: Any, stock_automatic: Any
) -> None:
    options = {"points_per_side": 3, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
    ours = automatic(scene(2), box_nms_thresh=1.0, **options).segments
    theirs = stock_automatic(scene(2), box_nms_thresh=1.0, **options)
    assert len(ours) == len(theirs)
    assert all(np.isfinite(segment.stability_score) for segment in ours)


def test_small_regions_are_removed_as_stock_removes_them(
    scene: Any, photo: Any, automatic: Any, stock_automatic: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stock_module, "remove_small_regions", _remove_small_regions)
    options = {"points_per_side": 8, "pred_iou_thresh": 0.3, "stability_score_thresh": 0.4}
    changed = 0
    # On photographs the demo weights see ragged masks, which is what this needs.
    for pixels in (scene(0), photo):
        ours = automatic(pixels, min_mask_region_area=60, **options).segments
        before = {segment.mask for segment in automatic(pixels, **options).segments}
        records = stock_automatic(pixels, output_mode="uncompressed_rle", **options)
        expected = _cleaned_by_stock(records, min_area=60, nms_thresh=0.7)
        assert len(ours) == len(expected)
        for mask in expected:
            assert max(segment.mask.iou(mask) for segment in ours) >= SAME
        changed += sum(segment.mask not in before for segment in ours)
    assert changed >= 4


def _cleaned_by_stock(
    records: Sequence[dict[str, Any]], *, min_area: int, nms_thresh: float
) -> list[Mask]:
    """``SAM2AutomaticMaskGenerator.postprocess_small_regions``, which nothing in sam2 calls."""
    found = MaskData(
        rles=[record["segmentation"] for record in records],
        boxes=torch.tensor([record["bbox"] for record in records]),
    )
    cleaned = SAM2AutomaticMaskGenerator.postprocess_small_regions(found, min_area, nms_thresh)
    assert all(area_from_rle(rle) > 0 for rle in cleaned["rles"])
    return [Mask.from_array(rle_to_mask(rle)) for rle in cleaned["rles"]]


def _remove_small_regions(mask: Any, area_thresh: float, mode: str) -> tuple[Any, bool]:
    """The sam2 package's function of this name with scikit-image in the place of OpenCV."""
    holes = mode == "holes"
    regions = label(holes ^ mask, connectivity=2)
    areas = np.bincount(regions.ravel())[1:]
    small = [number + 1 for number, area in enumerate(areas) if area < area_thresh]
    if not small:
        return mask, False
    if holes:
        return mask | np.isin(regions, small), True
    keep = [n for n in range(1, len(areas) + 1) if n not in small] or [int(areas.argmax()) + 1]
    return np.isin(regions, keep), True


def test_output_options_cut_the_answer(scene: Any, automatic: Any) -> None:
    options = {"points_per_side": 8, **LOOSE}
    everything = automatic(scene(0), **options)
    assert everything.omitted == 0
    assert len(everything.segments) >= 3
    floor = everything.segments[1].score
    kept = automatic(scene(0), output=OutputOptions(min_score=floor), **options)
    assert kept.segments == tuple(s for s in everything.segments if s.score >= floor)
    cut = automatic(scene(0), output=OutputOptions(max_segments=1), **options)
    assert cut.segments == everything.segments[:1]
    assert cut.omitted == len(everything.segments) - 1


def test_detection_is_the_boxes_of_the_masks(scene: Any, automatic: Any) -> None:
    options = {"points_per_side": 8, **LOOSE}
    masks = automatic(scene(1), **options).segments
    boxes = automatic(scene(1), task=Task.OBJECT_DETECTION, **options).segments
    assert [segment.mask for segment in boxes] == [None] * len(masks)
    assert [segment.box for segment in boxes] == [segment.mask.box for segment in masks]
    assert {(segment.label, segment.category_id) for segment in boxes} == {("", 0)}


def test_logits_are_those_of_the_masks(scene: Any, automatic: Any) -> None:
    output = OutputOptions(low_res_logits=True)
    segments = automatic(scene(1), output=output, points_per_side=8, **LOOSE).segments
    assert segments
    for segment in segments:
        logits = torch.from_numpy(segment.low_res_logits.to_numpy())[None, None]
        full = torch.nn.functional.interpolate(logits, (256, 256), mode="bilinear")[0, 0]
        assert segment.mask.iou(Mask.from_array(full.numpy() > 0)) > 0.99


def test_steps_come_often_and_crops_are_decoded_only_when_asked_for(
    scene: Any, engine: Any, finish: Any
) -> None:
    pixels = scene(0)
    features = engine.embed(pixels, "image")
    decoded = []

    def decode() -> Any:
        decoded.append(1)
        return pixels

    def steps(**options: Any) -> int:
        job = Job(Task.INSTANCE_SEGMENTATION, (), OutputOptions(), AutomaticOptions(**options))
        _, count = finish(engine.segment(features, decode, job))
        return int(count)

    # 256 points are 4 batches, each of which yields after the decoder and after the masks.
    assert steps(points_per_side=16) >= 8
    assert not decoded
    assert steps(points_per_side=4, crop_n_layers=1) >= 4 + 5
    assert len(decoded) == 1
    batches = -(-64 * 3 // 64)
    assert steps(points_per_side=8, use_m2m=True) >= 1 + batches


def test_pictures_of_few_pixels_have_no_empty_crops(automatic: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (17, 16, 3), dtype=np.uint8)
    answer = automatic(pixels, points_per_side=1, crop_n_layers=2, crop_n_points_downscale_factor=8)
    assert all(segment.mask.size == (17, 16) for segment in answer.segments)

"""The fast tier: bfloat16 inside, the same objects outside."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from agreement import FLOORS, Agreement, Labelled
from rcnn_cases import ask, scene, truth

from diptych import Box, Prompt, Segment, Task
from diptych_maskrcnn.engine import MaskRcnnEngine
from diptych_maskrcnn.network.pyramid import Pyramid
from diptych_maskrcnn.settings import EngineSettings
from diptych_runtime.engine import LoadedModel

SCENES = Path(__file__).parents[3] / "demo-weights"
COUNT = 40
MASKS = Task.INSTANCE_SEGMENTATION


@pytest.fixture(scope="module")
def fast() -> tuple[MaskRcnnEngine, LoadedModel]:
    made = MaskRcnnEngine(EngineSettings(device="cpu", threads=1, tier="fast"))
    return made, made.load()


def test_says_what_it_is(fast: tuple[MaskRcnnEngine, LoadedModel]) -> None:
    assert (fast[1].tier, fast[1].dtype) == ("fast", "bfloat16")


def test_parameters_do_not_depend_on_the_tier(
    fast: tuple[MaskRcnnEngine, LoadedModel], loaded: tuple[MaskRcnnEngine, LoadedModel]
) -> None:
    assert fast[1].parameter_count == loaded[1].parameter_count


def test_finds_what_the_exact_tier_finds(
    fast: tuple[MaskRcnnEngine, LoadedModel],
    engine: MaskRcnnEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(SCENES))
    scenes = importlib.import_module("scenes")
    agreement = Agreement()
    for seed in range(scenes.HELD_OUT, scenes.HELD_OUT + COUNT):
        pixels = scenes.scene(seed).image
        agreement.add(*(labelled(ask(one, pixels, MASKS)) for one in (fast[0], engine)))
    assert agreement.theirs > 2 * COUNT
    assert agreement.meets(FLOORS["fast"]), agreement


def labelled(segments: Sequence[Segment]) -> list[Labelled]:
    return [(one.label, one.mask) for one in segments if one.mask]


def test_features_are_held_in_half_the_memory(
    fast: tuple[MaskRcnnEngine, LoadedModel], engine: MaskRcnnEngine
) -> None:
    pyramids = [one.embed(scene(0), "mask").payload for one in (fast[0], engine)]
    sizes = []
    for pyramid in pyramids:
        assert isinstance(pyramid, Pyramid)
        sizes.append(sum(level.nbytes for level in pyramid.levels.values()))
    assert 2 * sizes[0] == sizes[1]


def test_boxes_scores_and_masks_are_made_in_float32(
    fast: tuple[MaskRcnnEngine, LoadedModel],
) -> None:
    network = fast[0]._networks["mask"].module
    pyramid = fast[0].embed(scene(0), "mask").payload
    assert isinstance(pyramid, Pyramid)
    levels = list(pyramid.levels.values())
    box = [torch.tensor([[20.0, 20, 120, 120]])]
    heads = network.roi_heads
    with torch.inference_mode():
        objectness, deltas = network.rpn.head(levels)
        crops = heads.box_roi_pool(pyramid.levels, box, [pyramid.resized])
        logits, regression = heads.box_predictor(heads.box_head(crops))
        crops = heads.mask_roi_pool(pyramid.levels, box, [pyramid.resized])
        masks = heads.mask_predictor(heads.mask_head(crops))
    assert {level.dtype for level in levels} == {torch.bfloat16}
    made = (*objectness, *deltas, logits, regression, masks)
    assert {value.dtype for value in made} == {torch.float32}


def test_prompts_and_people_work_too(
    fast: tuple[MaskRcnnEngine, LoadedModel], engine: MaskRcnnEngine
) -> None:
    (name, mask) = max(truth(1), key=lambda one: one[1].area)
    assert mask.box is not None
    prompts = [Prompt(box=Box(*mask.box.xyxy))]
    (boxed,) = ask(fast[0], scene(1), Task.PROMPTED_SEGMENTATION, prompts, min_score=0.0)
    assert boxed.label == name
    assert boxed.mask is not None
    assert boxed.mask.iou(mask) > 0.6
    people = [ask(one, scene(3), Task.KEYPOINT_DETECTION) for one in (fast[0], engine)]
    assert len(people[0]) == len(people[1]) >= 1
    places = [[(p.x, p.y) for p in found[0].keypoints] for found in people]
    assert np.median(np.linalg.norm(np.subtract(*places), axis=1)) < 2

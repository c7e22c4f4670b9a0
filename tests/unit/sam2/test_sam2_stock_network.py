"""The network of the package's own modules, behind the same interface as the quick one."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from diptych import (
    AutomaticOptions,
    Box,
    LowResLogits,
    Mask,
    OutputOptions,
    Point,
    Prompt,
    Segment,
    Task,
)
from diptych_runtime.engine import (
    Answer,
    BatchItem,
    Job,
    LoadError,
    Pixels,
    Tier,
    TrackedObject,
    VideoOptions,
)
from diptych_sam2.engine import Sam2Engine, create
from diptych_sam2.masks import LOGIT_LIMIT
from diptych_sam2.network.build import build_model
from diptych_sam2.network.image import ImageFeatures, PromptBatch, to_square
from diptych_sam2.network.parts import assemble
from diptych_sam2.network.quick.replace import quick_parts
from diptych_sam2.network.stock import StockDecoder, StockEncoder
from diptych_sam2.settings import EngineSettings, NetworkChoice
from diptych_sam2.weights.checkpoints import choose

SCENES = Path(__file__).parents[3] / "demo-weights"
SAME = 0.999
CPU = torch.device("cpu")
POINT = Prompt(points=(Point(60, 70),))
TWO = Prompt(points=(Point(60, 70), Point(120, 90, positive=False)))
BOX = Prompt(box=Box(30, 40, 150, 160))
BOX_AND_POINT = Prompt(points=(Point(90, 90),), box=Box(30, 40, 150, 160))
LOOSE = {"points_per_side": 8, "pred_iou_thresh": 0.6, "stability_score_thresh": 0.7}


def loaded(network: NetworkChoice, tier: Tier) -> Sam2Engine:
    engine = Sam2Engine(
        EngineSettings(device="cpu", threads=1, tier=tier.value, sam_2_network=network)
    )
    engine.load()
    return engine


@pytest.fixture(scope="module")
def of_package() -> Sam2Engine:
    return loaded("stock", Tier.EXACT)


@pytest.fixture(scope="module")
def of_package_fast() -> Sam2Engine:
    return loaded("stock", Tier.FAST)


@pytest.fixture(scope="module")
def answered(finish: Any) -> Callable[..., Answer]:
    """The answer of an engine to prompts on an image, or to the automatic mode."""

    def of(engine: Sam2Engine, pixels: Pixels, *prompts: Prompt, **options: Any) -> Answer:
        features = engine.embed(pixels, "image")
        if prompts:
            job = Job(Task.PROMPTED_SEGMENTATION, prompts, OutputOptions(**options), None)
        else:
            automatic = AutomaticOptions(**options)
            job = Job(Task.INSTANCE_SEGMENTATION, (), OutputOptions(), automatic)
        answer: Answer
        answer, _ = finish(engine.segment(features, lambda: pixels, job))
        return answer

    return of


def iou(one: Mask | None, other: Mask | None) -> float:
    """Two masks without pixels agree."""
    assert one is not None
    assert other is not None
    return one.iou(other) if one.area or other.area else 1.0


def assert_same(ours: Answer, theirs: Answer) -> None:
    assert len(ours.segments) == len(theirs.segments) > 0
    for one, other in zip(ours.segments, theirs.segments, strict=True):
        assert iou(one.mask, other.mask) >= SAME
        assert one.score == pytest.approx(other.score, abs=1e-4)
        assert (one.prompt_index, one.candidate_index) == (
            other.prompt_index,
            other.candidate_index,
        )


def guess_of(answer: Answer) -> LowResLogits:
    logits = answer.segments[0].low_res_logits
    assert logits is not None
    return logits


def test_the_setting_chooses_the_network(of_package: Sam2Engine, engine: Sam2Engine) -> None:
    chosen, default = of_package._network, engine._network
    assert chosen is not None
    assert default is not None
    assert isinstance(chosen._parts.decoder, StockDecoder)
    assert isinstance(chosen._parts.encoder, StockEncoder)
    assert not isinstance(default._parts.decoder, StockDecoder)
    model = chosen._parts.model
    own = (model.sam_mask_decoder, model.memory_attention, model.memory_encoder, model)
    assert {type(module).__module__.partition(".")[0] for module in own} == {"sam2"}


def test_the_environment_chooses_and_the_software_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIPTYCH_DEVICE", "cpu")
    assert "network" not in create().load().software
    monkeypatch.setenv("DIPTYCH_SAM_2_NETWORK", "stock")
    assert create().load().software.endswith("sam2 1.1.0, stock network")


@pytest.mark.parametrize("output", [{}, {"all_candidates": True}], ids=["best", "all"])
def test_prompts_answer_as_with_the_quick_network(
    engine: Sam2Engine,
    of_package: Sam2Engine,
    answered: Any,
    scene: Any,
    wide: Pixels,
    output: dict[str, Any],
) -> None:
    for pixels in (scene(0), scene(3), wide):
        prompts = (POINT, TWO, BOX, BOX_AND_POINT, *([POINT] * 20))
        both = [answered(one, pixels, *prompts, **output) for one in (of_package, engine)]
        assert_same(*both)
        guess = guess_of(answered(engine, pixels, POINT, low_res_logits=True))
        full = both[1].segments[0].mask
        refined = (Prompt(mask=guess), Prompt(points=POINT.points, mask=guess), Prompt(mask=full))
        assert_same(*(answered(one, pixels, *refined, **output) for one in (of_package, engine)))


def raw_logits(engine: Sam2Engine, pixels: Pixels, point: tuple[float, float]) -> Any:
    """``(3, h, w)`` clipped logits of a point, which answers hold in float16 only."""
    network, features = engine._network, engine.embed(pixels, "image").payload
    assert network is not None
    assert isinstance(features, ImageFeatures)
    square = to_square(torch.tensor([[point]]), features.size, network.image_size)
    prompts = PromptBatch(square, torch.ones(1, 1, dtype=torch.int32), None)
    logits = network.decode(features, prompts, multimask=True).logits[0]
    return logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT).numpy()


def test_prompts_answer_as_the_packages_predictor(
    of_package: Sam2Engine, answered: Any, scene: Any, wide: Pixels, stock: Any
) -> None:
    for pixels in (scene(0), scene(3), wide):
        predictor = stock(pixels)
        answer = answered(of_package, pixels, POINT, all_candidates=True)
        masks, quality, logits = predictor.predict(
            np.array([[60.0, 70.0]]), np.array([1]), multimask_output=True
        )
        found = raw_logits(of_package, pixels, (60.0, 70.0))
        np.testing.assert_allclose(found, logits, atol=2e-5, rtol=0)
        order = (-quality).argsort(kind="stable")
        for segment, mask, iou_wanted in zip(
            answer.segments, masks[order], quality[order], strict=True
        ):
            assert segment.score == pytest.approx(iou_wanted, abs=1e-6)
            assert iou(segment.mask, Mask.from_array(mask > 0)) >= SAME


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"crop_n_layers": 1, "min_mask_region_area": 50},
        {"use_m2m": True},
        {"multimask_output": False},
    ],
    ids=["plain", "crops", "refined", "single"],
)
def test_the_automatic_mode_finds_the_same(
    engine: Sam2Engine, of_package: Sam2Engine, answered: Any, scene: Any, options: dict[str, Any]
) -> None:
    given = LOOSE | options
    assert_same(*(answered(one, scene(0), **given) for one in (of_package, engine)))


def test_the_automatic_mode_finds_what_the_packages_generator_finds(
    of_package: Sam2Engine, answered: Any, scene: Any, stock_automatic: Any
) -> None:
    records = stock_automatic(scene(0), **LOOSE)
    found = answered(of_package, scene(0), **LOOSE).segments
    assert len(found) == len(records) > 3
    for segment, record in zip(found, records, strict=True):
        assert iou(segment.mask, Mask.from_array(record["segmentation"])) >= SAME
        assert segment.score == pytest.approx(record["predicted_iou"], abs=1e-5)


def test_several_jobs_are_answered_as_each_alone(
    of_package: Sam2Engine, answered: Any, scene: Any, wide: Pixels
) -> None:
    images = [scene(0), wide, scene(0)]
    held = [of_package.embed(pixels, "image") for pixels in images[:2]]
    items = [
        BatchItem(
            features,
            lambda: images[0],
            Job(Task.PROMPTED_SEGMENTATION, (prompt,), OutputOptions(), None),
            lambda: True,
        )
        for features, prompt in ((held[0], POINT), (held[1], POINT), (held[0], POINT))
    ]
    found = dict(entry for entry in of_package.segment_batch(items) if entry is not None)
    assert sorted(found) == [0, 1, 2]
    for index, pixels in enumerate(images):
        answer = found[index]
        assert isinstance(answer, Answer)
        assert_same(answer, answered(of_package, pixels, POINT))


def test_features_count_all_memory_they_keep(of_package: Sam2Engine, scene: Any) -> None:
    features = of_package.embed(scene(0), "image")
    # 128 channels at 16x16, 16 at 64x64 and 32 at 32x32, float32.
    assert features.nbytes == 4 * (128 * 16**2 + 16 * 64**2 + 32 * 32**2)


@pytest.fixture(scope="module")
def shots() -> Iterator[list[tuple[Pixels, Any]]]:
    """Images and labels of a scene whose objects stay in sight."""
    sys.path.insert(0, str(SCENES))
    yield importlib.import_module("scenes").clip(5, 10, speed=5)
    sys.path.remove(str(SCENES))


def followed(engine: Sam2Engine, shots: Any, finish: Any) -> list[TrackedObject]:
    """Two objects from the first frame on, one corrected by a mask in the middle, and a third that
    is prompted on an earlier frame."""
    options = VideoOptions(OutputOptions(), track_all=False, max_objects=4, held_frames=4)
    session = engine.open_session(options)
    found = []
    for number, (pixels, labels) in enumerate(shots):
        answer, _ = finish(session.add_frame(number, pixels))
        if number == 0:
            for object_id in (1, 2):
                box = Mask.from_array(labels == object_id).box
                finish(session.prompt(object_id, 0, Prompt(box=box)))
        if number == 6:
            box = Mask.from_array(shots[5][1] == 3).box
            finish(session.prompt(3, 5, Prompt(box=box)))
            finish(session.prompt(1, 6, Prompt(mask=Mask.from_array(labels == 1))))
        found += answer.objects
    session.close()
    assert len(found) > 2 * len(shots) - 4
    return found


def masks_of(objects: list[TrackedObject]) -> list[Segment]:
    return [one.segment for one in objects if one.segment.mask is not None]


def test_a_clip_is_followed_as_with_the_quick_network(
    engine: Sam2Engine, of_package: Sam2Engine, shots: Any, finish: Any
) -> None:
    ours, theirs = (followed(one, shots, finish) for one in (engine, of_package))
    ious = []
    for one, other in zip(ours, theirs, strict=True):
        assert one.object_id == other.object_id
        assert one.presence == pytest.approx(other.presence, abs=1e-3)
        if one.segment.mask is None or other.segment.mask is None:
            assert one.segment.mask is other.segment.mask
        else:
            ious.append(iou(one.segment.mask, other.segment.mask))
    assert len(ious) > len(shots)
    assert fmean(ious) >= SAME
    # A pixel beside the threshold may go either way, and small masks have a thousand.
    assert min(ious) >= 0.99


def test_the_fast_tier_rounds_and_finds_nearly_the_same(
    of_package: Sam2Engine,
    of_package_fast: Sam2Engine,
    answered: Any,
    scene: Any,
    shots: Any,
    finish: Any,
) -> None:
    network = of_package_fast._network
    assert network is not None
    assert network._parts.dtype is torch.bfloat16
    prompts = (POINT, BOX, BOX_AND_POINT)
    exact, fast = (
        answered(one, scene(3), *prompts, low_res_logits=True)
        for one in (of_package, of_package_fast)
    )
    for one, other in zip(fast.segments, exact.segments, strict=True):
        assert iou(one.mask, other.mask) >= 0.95
        assert one.score == pytest.approx(other.score, abs=0.05)
    both = [raw_logits(one, scene(3), (60.0, 70.0)) for one in (of_package, of_package_fast)]
    assert 1e-3 < np.abs(both[0] - both[1]).mean() < 0.5
    refined = Prompt(points=POINT.points, mask=guess_of(exact))
    pairs = [answered(one, scene(3), refined) for one in (of_package, of_package_fast)]
    assert iou(*(one.segments[0].mask for one in pairs)) >= 0.95
    everything = [answered(one, scene(0), **LOOSE) for one in (of_package, of_package_fast)]
    assert all(one.segments for one in everything)
    ours, theirs = (masks_of(followed(one, shots, finish)) for one in (of_package, of_package_fast))
    assert fmean(iou(a.mask, b.mask) for a, b in zip(ours, theirs, strict=True)) >= 0.95


def test_stock_serves_what_the_quick_network_cannot(tmp_path: Path) -> None:
    chosen = choose(EngineSettings())
    tree = OmegaConf.load(chosen.config)
    tree.model.memory_attention.layer.activation = "gelu"
    config = tmp_path / "gelu.yaml"
    OmegaConf.save(tree, config)
    state = chosen.weights.read_state()
    with pytest.raises(ValueError, match="ReLU"):
        quick_parts(build_model(config, state), torch.float32)
    with pytest.raises(LoadError, match=r"ReLU, got gelu; with DIPTYCH_SAM_2_NETWORK=stock"):
        assemble(build_model(config, state), CPU)
    assert assemble(build_model(config, state), CPU, network="stock").decoder

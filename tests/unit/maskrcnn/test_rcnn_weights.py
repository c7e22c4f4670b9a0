"""Which weights are loaded, what the engine says of itself, and what it says when it cannot."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rcnn_cases import ask, check_parity, scene, stock
from safetensors.torch import load_file, save_file
from torchvision.models.detection import (
    KeypointRCNN,
    fasterrcnn_mobilenet_v3_large_320_fpn,
    maskrcnn_resnet50_fpn_v2,
)
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

import diptych_maskrcnn
from diptych import Task
from diptych.segment import v1 as pb
from diptych_maskrcnn.engine import MaskRcnnEngine
from diptych_maskrcnn.network.build import build_keypoint, build_mask
from diptych_maskrcnn.settings import EngineSettings
from diptych_maskrcnn.weights.load import KEYPOINT_WEIGHTS, MASK_WEIGHTS
from diptych_maskrcnn.weights.official import COCO_V1, COCO_V2, KEYPOINT_COCO
from diptych_runtime.engine import LoadedModel, LoadError, Reason, ServiceError
from diptych_runtime.settings import RuntimeSettings
from diptych_runtime.wire.cards import build_card
from diptych_torch.card import read_card
from diptych_torch.weights import BundledWeights, WeightsSetting, parameter_count

BUNDLED = Path(diptych_maskrcnn.__file__).parent / "weights"
FILES = "a .safetensors, .pth, .pt or .ckpt file"
NAMES = [f"kind {number}" for number in range(1, 9)]


def settings(**values: Any) -> EngineSettings:
    return EngineSettings(**{"device": "cpu", "keypoint_weights": "off", **values})


def load(**values: Any) -> tuple[MaskRcnnEngine, LoadedModel]:
    engine = MaskRcnnEngine(settings(**values))
    return engine, engine.load()


def refusal(**values: Any) -> str:
    with pytest.raises(LoadError) as caught:
        load(**values)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def tuned(tmp_path: Path) -> Path:
    """A fine-tuned file: the demo network's, its classes called otherwise."""
    path = tmp_path / "tuned.safetensors"
    path.write_bytes((BUNDLED / "mask-demo.safetensors").read_bytes())
    (tmp_path / "tuned.classes.txt").write_text("\n".join(NAMES) + "\n")
    return path


def test_demo_model_describes_itself(loaded: tuple[MaskRcnnEngine, LoadedModel]) -> None:
    model = loaded[1]
    assert [weights.name for weights in model.weights] == ["demo", "keypoint-demo"]
    for weights, name in zip(model.weights, ("mask-demo", "keypoint-demo"), strict=True):
        content = (BUNDLED / f"{name}.safetensors").read_bytes()
        assert weights.sha256 == hashlib.sha256(content).digest()
        assert weights.size_bytes == len(content)
        assert weights.url == ""
    assert model.weights[1].tasks == (Task.KEYPOINT_DETECTION,)
    assert set(model.weights[0].tasks) | set(model.weights[1].tasks) == set(model.tasks)
    assert (model.device, model.dtype, model.tier) == ("cpu", "float32", "exact")
    assert dict(model.categories)[8] == "person"
    assert [v.name for v in model.variants] == ["coco-v1", "coco-v2"]
    assert len(model.keypoint_names) == 17
    assert {i for edge in model.keypoint_edges for i in edge} == set(range(17))


def test_card_is_complete_and_says_what_demo_weights_are(
    loaded: tuple[MaskRcnnEngine, LoadedModel],
) -> None:
    card = build_card(loaded[1], RuntimeSettings())
    assert card.id == "mask-rcnn"
    assert list(card.prompt_kinds) == [
        pb.PromptKind.PROMPT_KIND_POINT,
        pb.PromptKind.PROMPT_KIND_BOX,
    ]
    assert "nothing about photographs" in card.weights_overview
    assert card.weights_overview.strip() in card.overview
    assert "demo" not in card.architecture.overview
    assert "nothing about photographs" in card.limitations[0]
    assert card.licenses.code
    assert card.licenses.weights
    assert card.licenses.published
    assert {metric.name for metric in card.metrics} >= {"mask AP50", "PCK@0.1"}
    assert all(metric.source for metric in card.metrics)
    assert card.parameter_count == loaded[1].parameter_count > 3_000_000


@pytest.mark.parametrize("names", [["coco-v1", "keypoint-coco"], ["coco-v2"], ["file"]])
def test_every_choice_of_weights_has_a_card(
    loaded: tuple[MaskRcnnEngine, LoadedModel], names: list[str]
) -> None:
    card = build_card(
        replace(loaded[1], card=read_card("diptych_maskrcnn", names)), RuntimeSettings()
    )
    assert "demo weights" not in card.overview
    assert card.weights_overview
    assert bool(card.metrics) == (names != ["file"])
    assert card.licenses.weights


def test_the_card_says_what_the_architecture_is_and_what_its_code_is_licensed_as() -> None:
    fields = read_card("diptych_maskrcnn", ["coco-v2"])
    told = fields["architecture"]["overview"]
    for fact in ("FAIR", "mask branch in parallel", "RoIAlign instead of RoIPool", "Detectron2"):
        assert fact in told
    uses = " ".join(use["text"] for use in fields["architecture"]["applications"])
    for use in ("Medical imaging", "Driving", "Inspection", "Detectron2"):
        assert use in uses
    assert all(use["source"] for use in fields["architecture"]["applications"])
    stated = {
        s["source"].rsplit("/", 1)[-1]: s["license"] for s in fields["licenses"]["statements"]
    }
    assert stated == {
        "vision": "BSD-3-Clause",
        "Detectron": "Apache-2.0",
        "detectron2": "Apache-2.0",
        "maskrcnn-benchmark": "MIT",
        "Mask_RCNN": "MIT",
    }
    assert "MIT" in fields["licenses"]["note"]
    assert not fields["foundation"]


@pytest.mark.parametrize(
    ("setting", "build"), [(MASK_WEIGHTS, build_mask), (KEYPOINT_WEIGHTS, build_keypoint)]
)
def test_parameters_of_bundled_weights_are_those_of_the_network(
    setting: WeightsSetting, build: Any
) -> None:
    bundled = setting.choices["demo"]
    assert isinstance(bundled, BundledWeights)
    module = build(setting.choose("demo").read_state()).module
    assert bundled.parameter_count == parameter_count(module)


def test_published_weights_list_the_others_as_variants(tuned: Path) -> None:
    chosen = MASK_WEIGHTS.choose(str(tuned))
    assert [v.name for v in MASK_WEIGHTS.variants(chosen)] == ["demo", "coco-v1", "coco-v2"]
    chosen = replace(chosen, section="coco-v2")
    assert [v.name for v in MASK_WEIGHTS.variants(chosen)] == ["demo", "coco-v1"]


def test_own_weights_are_not_taken_for_those_whose_name_they_bear(tuned: Path) -> None:
    tuned = tuned.rename(tuned.with_name("coco-v1.safetensors"))
    tuned.with_name("tuned.classes.txt").rename(tuned.with_name("coco-v1.classes.txt"))
    _, model = load(mask_rcnn_weights=str(tuned))
    card = build_card(model, RuntimeSettings())
    assert card.display_name == "Mask R-CNN (own weights)"
    assert not card.metrics
    assert [v.name for v in model.variants] == ["demo", "coco-v1", "coco-v2"]


def test_keypoints_can_be_switched_off(tuned: Path) -> None:
    engine, model = load(mask_rcnn_weights="demo")
    assert Task.KEYPOINT_DETECTION not in model.tasks
    assert model.keypoint_names == ()
    with pytest.raises(ServiceError) as caught:
        engine.features_kind(Task.KEYPOINT_DETECTION)
    assert caught.value.reason is Reason.TASK_UNSUPPORTED


@pytest.mark.parametrize(
    ("weights", "keypoints"),
    [("demo", "demo"), ("coco-v1", "coco"), ("coco-v2", "coco"), ("a.pth", "off")],
)
def test_keypoints_follow_the_detector(weights: str, keypoints: str) -> None:
    assert EngineSettings(mask_rcnn_weights=weights).keypoint_choice == keypoints


def test_fine_tuned_file_with_its_classes(tuned: Path, stock_mask: Any) -> None:
    engine, model = load(mask_rcnn_weights=str(tuned), keypoint_weights="demo")
    assert model.categories == tuple(enumerate(NAMES, 1))
    assert model.weights[0].name == "tuned"
    segments = ask(engine, scene(0), Task.INSTANCE_SEGMENTATION, min_score=0.0)
    assert check_parity(segments, stock(stock_mask, scene(0))) >= 0.999
    assert segments[0].label == f"kind {segments[0].category_id}"
    people = ask(engine, scene(0), Task.KEYPOINT_DETECTION)
    assert {(person.label, person.category_id) for person in people} == {("person", 0)}


@pytest.mark.parametrize(
    "content",
    [
        ["background", *NAMES],
        {"0": "__background__", **{str(i): name for i, name in enumerate(NAMES, 1)}},
        {"categories": [{"id": i, "name": name} for i, name in enumerate(NAMES, 1)]},
    ],
)
def test_class_list_as_json(tuned: Path, content: object) -> None:
    tuned.with_suffix(".classes.txt").unlink()
    tuned.with_suffix(".classes.json").write_text(json.dumps(content))
    _, model = load(mask_rcnn_weights=str(tuned))
    assert model.categories == tuple(enumerate(NAMES, 1))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("classes.txt", "one\ntwo\n", "has 2 names, tuned.safetensors has 8 labels"),
        ("classes.txt", "", "labels 1 to 8"),
        ("classes.json", '{"categories": [{"id": 9, "name": "x"}]}', "labels 1 to 8"),
        ("classes.json", '{"categories": [{"id": 0, "name": "x"}]}', "(0 is the background)"),
        ("classes.json", '{"0": "one", "1": "two"}', "(0 is the background)"),
        ("classes.json", '{"names": []}', "is not a list of names, names by label"),
        ("classes.json", "{", "is not a list of names, names by label"),
    ],
)
def test_class_list_that_does_not_fit(tuned: Path, name: str, text: str, expected: str) -> None:
    tuned.with_suffix(".classes.txt").unlink()
    tuned.with_suffix(f".{name}").write_text(text)
    assert expected in refusal(mask_rcnn_weights=str(tuned))


def test_missing_class_list_is_named(tuned: Path) -> None:
    tuned.with_suffix(".classes.txt").unlink()
    message = refusal(mask_rcnn_weights=str(tuned))
    assert "tuned.classes.txt" in message
    assert "tuned.classes.json" in message


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"mask_rcnn_weights": "coco-v1"}, "run: diptych-mask-rcnn pull coco-v1"),
        ({"mask_rcnn_weights": "coco-v2"}, "run: diptych-mask-rcnn pull coco-v2"),
        ({"keypoint_weights": "coco"}, "run: diptych-mask-rcnn pull keypoint-coco"),
        (
            {"mask_rcnn_weights": "coco-v9"},
            f"expected demo, coco-v1, coco-v2 or {FILES}",
        ),
        (
            {"keypoint_weights": "coco-v1"},
            f"expected demo, coco, off or {FILES}",
        ),
        ({"mask_rcnn_weights": "/not/there.pth"}, "there is no such file"),
    ],
)
def test_weights_that_are_not_there(values: dict[str, str], expected: str) -> None:
    assert expected in refusal(**values)


def test_weights_of_another_network(tmp_path: Path, tuned: Path) -> None:
    state = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None).state_dict()
    save_file(state, tuned)
    assert "no mask head" in refusal(mask_rcnn_weights=str(tuned))
    save_file({"x": torch.zeros(1)}, tuned)
    assert "no weights of a torchvision R-CNN" in refusal(mask_rcnn_weights=str(tuned))
    state = load_file(BUNDLED / "mask-demo.safetensors")
    del state["rpn.head.cls_logits.bias"]
    save_file(state, tuned)
    message = refusal(mask_rcnn_weights=str(tuned))
    assert "do not fit the network" in message
    assert "rpn.head.cls_logits.bias" in message


def test_version_2_and_keypoints_are_told_from_their_keys() -> None:
    second = maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, num_classes=91)
    assert parameter_count(build_mask(second.state_dict()).module) == COCO_V2.parameter_count
    backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None)
    points = KeypointRCNN(backbone, num_classes=2, num_keypoints=17)
    built = build_keypoint(points.state_dict()).module
    assert parameter_count(built) == KEYPOINT_COCO.parameter_count
    frozen = [module for module in built.modules() if isinstance(module, FrozenBatchNorm2d)]
    assert len(frozen) == 53


def test_official_addresses_carry_eight_digits() -> None:
    assert COCO_V1.url.endswith("/maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth")
    assert COCO_V1.parameter_count == 44_401_393

"""Which weights are loaded, what the engine says of itself, and what it says when it cannot."""

from __future__ import annotations

import hashlib
import json
import pickle
import sys
from collections.abc import Mapping
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
from diptych_maskrcnn.card import read_card
from diptych_maskrcnn.engine import MaskRcnnEngine, create
from diptych_maskrcnn.network.build import build_keypoint, build_mask, parameter_count
from diptych_maskrcnn.settings import EngineSettings
from diptych_maskrcnn.weights.networks import CONVERTER
from diptych_maskrcnn.weights.official import COCO_V1, COCO_V2, KEYPOINT_COCO
from diptych_runtime.engine import LoadedModel, LoadError, Reason, ServiceError
from diptych_runtime.settings import RuntimeSettings
from diptych_runtime.weights import WeightsError, convert
from diptych_runtime.wire.cards import build_card

BUNDLED = Path(diptych_maskrcnn.__file__).parent / "weights"
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
    assert "nothing about photographs" in card.overview
    assert "nothing about photographs" in card.limitations[0]
    assert card.licenses.code
    assert card.licenses.weights
    assert card.licenses.published
    assert {metric.name for metric in card.metrics} >= {"mask AP50", "PCK@0.1"}
    assert all(metric.source for metric in card.metrics)
    assert card.parameter_count == loaded[1].parameter_count > 3_000_000


@pytest.mark.parametrize("names", [["coco-v1", "keypoint-coco"], ["coco-v2"], ["my-own"]])
def test_every_choice_of_weights_has_a_card(
    loaded: tuple[MaskRcnnEngine, LoadedModel], names: list[str]
) -> None:
    card = build_card(replace(loaded[1], card=read_card(names)), RuntimeSettings())
    assert "demo weights" not in card.overview
    assert bool(card.metrics) == (names != ["my-own"])
    assert card.licenses.weights


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


def test_fine_tuned_pickle_is_converted_once(tuned: Path, tmp_path: Path) -> None:
    pickled = tmp_path / "tuned.pth"
    torch.save({"model": load_file(tuned), "epoch": 3}, pickled)
    for _ in range(2):
        _, model = load(mask_rcnn_weights=str(pickled))
        assert model.weights[0].sha256 == hashlib.sha256(pickled.read_bytes()).digest()
    kept = list((tmp_path / "weights" / "converted").glob("*"))
    assert [path.suffix for path in kept] == [".safetensors"]


def test_pickle_without_a_state_dict_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lists.pth"
    torch.save({"weight": [1, 2]}, path)
    message = refusal(mask_rcnn_weights=str(path))
    assert "lists.pth could not be converted" in message
    assert "found 'weight': list" in message


@pytest.mark.parametrize(
    "content",
    [
        ["background", *NAMES],
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
        ("classes.json", '{"names": []}', "is not a list of names or a COCO file"),
        ("classes.json", "{", "is not a list of names or a COCO file"),
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
        ({"mask_rcnn_weights": "coco-v9"}, "expected demo, coco-v1, coco-v2 or a .safetensors"),
        ({"mask_rcnn_weights": "/not/there.pth"}, "there is no such file"),
    ],
)
def test_weights_that_are_not_there(values: dict[str, str], expected: str) -> None:
    assert expected in refusal(**values)


def test_file_that_is_not_safetensors(tuned: Path) -> None:
    tuned.write_bytes(b"hello")
    assert "tuned.safetensors cannot be read as safetensors" in refusal(
        mask_rcnn_weights=str(tuned)
    )


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


def test_bad_settings_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIPTYCH_DEVICE", "cuda:1")
    with pytest.raises(LoadError, match="DIPTYCH_DEVICE='cuda:1'"):
        create()
    monkeypatch.setenv("DIPTYCH_DEVICE", "")
    monkeypatch.setenv("DIPTYCH_THREADS", "0")
    with pytest.raises(LoadError, match="DIPTYCH_THREADS='0'"):
        create()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_gpu_that_is_not_there_is_named() -> None:
    assert "sees no CUDA device" in refusal(device="cuda:0")
    _, model = load(device="auto")
    assert model.device == "cpu"


def test_version_2_and_keypoints_are_told_from_their_keys() -> None:
    second = maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, num_classes=91)
    assert parameter_count(build_mask(second.state_dict())) == COCO_V2.parameter_count
    backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None)
    points = KeypointRCNN(backbone, num_classes=2, num_keypoints=17)
    built = build_keypoint(points.state_dict())
    assert parameter_count(built) == KEYPOINT_COCO.parameter_count
    frozen = [module for module in built.modules() if isinstance(module, FrozenBatchNorm2d)]
    assert len(frozen) == 53
    assert {module.eps for module in frozen} == {0.0}


def test_official_addresses_carry_eight_digits() -> None:
    assert COCO_V1.url.endswith("/maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth")
    assert COCO_V1.parameter_count == 44_401_393


class Evil:
    """Would leave a file behind if it was unpickled without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("wrap", ["torch", "pickle"])
def test_pickle_that_runs_code_stays_inert(tmp_path: Path, wrap: str) -> None:
    trace = tmp_path / "trace"
    checkpoint = tmp_path / "evil.pth"
    content: Mapping[str, object] = {"weight": torch.zeros(2), "payload": Evil(trace)}
    if wrap == "torch":
        torch.save(content, checkpoint)
    else:
        checkpoint.write_bytes(pickle.dumps(content))
    with pytest.raises(WeightsError, match="could not be converted to safetensors"):
        convert(checkpoint, tmp_path / "out.safetensors", converter=CONVERTER)
    assert not trace.exists()
    assert not (tmp_path / "out.safetensors").exists()
    assert sys.executable == CONVERTER[0]

"""A third torch model, made of nothing but what the package's docstring lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from steps import finished
from torch import nn

from diptych import Mask, OutputOptions, Segment, Task
from diptych_runtime.engine import (
    Answer,
    Features,
    Job,
    LoadedModel,
    LoadError,
    Pixels,
    Reason,
    ServiceError,
    Steps,
)
from diptych_runtime.settings import RuntimeSettings, from_environment
from diptych_runtime.weights import OfficialWeights
from diptych_runtime.wire.cards import build_card
from diptych_torch.card import read_card
from diptych_torch.device import Compute
from diptych_torch.faults import guarded_step, guarded_steps, load_errors
from diptych_torch.settings import TorchSettings
from diptych_torch.weights import WeightsSetting, load_into, parameter_count

OFFICIAL = (OfficialWeights("third-large", "https://example.com/large.pth", 40, 10),)
WEIGHTS = WeightsSetting(
    variable="DIPTYCH_THIRD_WEIGHTS",
    program="diptych-third",
    choices={weights.name: weights for weights in OFFICIAL},
)
CARD = """
id = "third"
display_name = "Third"
organization = "Tests"
category = "open"
modality = "vision"
release_date = "2026-11"
overview = "Says which pixels are bright."
intended_uses = ["Tests."]
limitations = ["All others."]
features = ["masks"]
references = ["https://example.com"]
licenses = { code = "MIT", weights = "MIT" }

[weights.file]
display_name = "Third (own weights)"
"""


class EngineSettings(TorchSettings):
    third_weights: str = "third-large"


@dataclass(frozen=True)
class Payload:
    logits: torch.Tensor


class ThirdEngine:
    """Semantic segmentation by one convolution."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._network = nn.Conv2d(3, 1, 1)

    @load_errors()
    def load(self) -> LoadedModel:
        compute = Compute.from_settings(self._settings)
        chosen = WEIGHTS.choose(self._settings.third_weights)
        load_into(self._network, chosen.read_state(), "the network")
        self._network.eval().to(compute.device)
        return LoadedModel(
            **compute.card_fields(),
            card=read_card("diptych_third", [chosen.section]),
            tasks=(Task.INSTANCE_SEGMENTATION,),
            weights=(chosen.loaded,),
            parameter_count=parameter_count(self._network),
            default_min_score=0.5,
            default_max_segments=1,
            variants=WEIGHTS.variants(chosen),
        )

    def features_kind(self, task: Task) -> str:
        return "image"

    @guarded_step
    def embed(self, pixels: Pixels, kind: str) -> Features:
        image = torch.from_numpy(pixels).permute(2, 0, 1).float()
        logits = self._network(image)[0]
        return Features(Payload(logits), logits.nbytes)

    @guarded_steps
    def segment(self, features: Features, pixels: Callable[[], Pixels], job: Job) -> Steps[Answer]:
        assert isinstance(features.payload, Payload)
        yield
        mask = Mask.from_array((features.payload.logits > 0).numpy())
        return Answer((Segment(score=1.0, mask=mask, box=mask.box, area=mask.area),))


@load_errors()
def create() -> ThirdEngine:
    return ThirdEngine(from_environment(EngineSettings))


@pytest.fixture(autouse=True)
def _package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "diptych_third"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "model_card.toml").write_text(CARD)
    monkeypatch.syspath_prepend(str(tmp_path))
    state = {"module.weight": torch.ones(1, 3, 1, 1), "module.bias": torch.tensor([-300.0])}
    save_file(state, tmp_path / "bright.safetensors")
    torch.save({"state_dict": state}, tmp_path / "bright.pth")


def test_it_loads_and_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIPTYCH_THIRD_WEIGHTS", str(tmp_path / "bright.pth"))
    monkeypatch.setenv("DIPTYCH_DEVICE", "cpu")
    engine = create()
    card = build_card(engine.load(), RuntimeSettings())
    assert card.display_name == "Third (own weights)"
    assert card.parameter_count == 4
    assert [variant.name for variant in card.variants] == ["third-large"]
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[1:3, 2:5] = 200
    job = Job(Task.INSTANCE_SEGMENTATION, (), OutputOptions(), None)
    features = engine.embed(pixels, engine.features_kind(job.task))
    answer = finished(engine.segment(features, lambda: pixels, job))
    (segment,) = answer.segments
    assert segment.area == 6


def test_it_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LoadError, match="run: diptych-third pull third-large"):
        create().load()
    monkeypatch.setenv("DIPTYCH_THIRD_WEIGHTS", "none")
    with pytest.raises(LoadError, match="DIPTYCH_THIRD_WEIGHTS='none': expected third-large or a"):
        create().load()
    monkeypatch.setenv("DIPTYCH_THREADS", "many")
    with pytest.raises(LoadError, match="DIPTYCH_THREADS='many'"):
        create()


def test_its_faults_have_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIPTYCH_THIRD_WEIGHTS", str(tmp_path / "bright.safetensors"))
    engine = create()
    engine.load()

    def full(*_: object) -> None:
        raise MemoryError

    engine._network.register_forward_pre_hook(full)
    with pytest.raises(ServiceError) as caught:
        engine.embed(np.zeros((4, 6, 3), np.uint8), "image")
    assert caught.value.reason is Reason.DEVICE_MEMORY

"""Weights from files, configurations, and the model card that belongs to them."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import tomllib
import torch
from google.protobuf import json_format
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

from diptych import OutputOptions, Point, Prompt, Task
from diptych.segment import v1 as pb
from diptych_runtime.engine import Job, LoadError
from diptych_runtime.settings import read_settings
from diptych_runtime.weights import WeightsError, file_sha256
from diptych_runtime.wire.cards import build_card
from diptych_sam2.card import read_card
from diptych_sam2.engine import Sam2Engine
from diptych_sam2.network.build import build_model
from diptych_sam2.settings import EngineSettings
from diptych_sam2.weights.checkpoints import WEIGHTS, choose, packaged_config
from diptych_sam2.weights.official import CHECKPOINTS, OFFICIAL

NAMES = [checkpoint.weights.name for checkpoint in CHECKPOINTS]


@pytest.fixture(scope="module")
def demo_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo weights in the form that SAM 2's training writes."""
    path = tmp_path_factory.mktemp("trained") / "fine-tuned.pt"
    torch.save({"model": choose(EngineSettings()).weights.read_state()}, path)
    return path


@pytest.fixture(scope="module")
def demo_config() -> str:
    return str(choose(EngineSettings()).config)


@pytest.fixture(scope="module")
def engine_card() -> pb.ModelCard:
    """The card of the demo weights as a client gets it."""
    return build_card(Sam2Engine(EngineSettings(device="cpu", threads=1)).load(), read_settings())


def test_a_file_with_its_configuration_answers_like_the_weights_in_it(
    demo_checkpoint: Path, demo_config: str, scene: Any, prompted: Any, finish: Any
) -> None:
    engine = Sam2Engine(
        EngineSettings(sam_2_weights=str(demo_checkpoint), sam_2_config=demo_config, device="cpu")
    )
    loaded = engine.load()
    (weights,) = loaded.weights
    assert weights.name == "fine-tuned"
    assert weights.sha256.hex() == file_sha256(demo_checkpoint)
    assert loaded.card["display_name"] == "SAM 2 (own weights)"
    prompts = (Prompt(points=(Point(128, 128),)),)
    job = Job(Task.PROMPTED_SEGMENTATION, prompts, OutputOptions(), None)
    answer, _ = finish(engine.segment(engine.embed(scene(0), "image"), lambda: scene(0), job))
    assert answer.segments == prompted(scene(0), *prompts)


def test_weights_that_do_not_fit_are_refused_by_name() -> None:
    settings = EngineSettings(
        sam_2_weights=str(choose(EngineSettings()).weights.path),
        sam_2_config="configs/sam2.1/sam2.1_hiera_t.yaml",
        device="cpu",
    )
    with pytest.raises(LoadError, match=r"do not fit sam2\.1_hiera_t\.yaml: .* and \d+ more"):
        Sam2Engine(settings).load()


@pytest.mark.parametrize(
    ("weights", "config", "message"),
    [
        ("sam2.1-hiera-huge", "", "='sam2.1-hiera-huge': expected demo, sam2.1-hiera-tiny, "),
        ("nowhere.pt", "", "DIPTYCH_SAM_2_WEIGHTS='nowhere.pt': there is no such file"),
        (__file__.replace(".py", ".pt"), "", "there is no such file"),
    ],
)
def test_settings_that_name_nothing_are_refused(weights: str, config: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        choose(EngineSettings(sam_2_weights=weights, sam_2_config=config))


def test_a_file_needs_a_configuration_that_is_there(demo_checkpoint: Path) -> None:
    with pytest.raises(WeightsError, match="DIPTYCH_SAM_2_CONFIG: weights from a file need"):
        choose(EngineSettings(sam_2_weights=str(demo_checkpoint)))
    with pytest.raises(WeightsError, match=r"DIPTYCH_SAM_2_CONFIG=.configs/none\.yaml.: exp"):
        choose(EngineSettings(sam_2_weights=str(demo_checkpoint), sam_2_config="configs/none.yaml"))


def test_configurations_that_are_something_else_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "model.yaml"
    text.write_text("just: text")
    demo = str(choose(EngineSettings()).weights.path)
    settings = EngineSettings(sam_2_weights=demo, sam_2_config=str(text), device="cpu")
    with pytest.raises(LoadError, match=r"model\.yaml is not a configuration of SAM 2: it makes a"):
        Sam2Engine(settings).load()
    text.write_text("model: {_target_: sam2.modeling.nowhere.Model}")
    with pytest.raises(LoadError, match=r"model\.yaml is not a configuration of SAM 2: "):
        Sam2Engine(settings).load()
    text.write_text("model: [")
    with pytest.raises(LoadError, match=r"model\.yaml is not a configuration of SAM 2: "):
        Sam2Engine(settings).load()


def test_published_configurations_have_the_parameters_that_the_table_says() -> None:
    for checkpoint in CHECKPOINTS:
        if not checkpoint.weights.name.endswith("tiny"):
            continue
        model = build_model(packaged_config(checkpoint.config))
        count = sum(parameter.numel() for parameter in model.parameters())
        assert count == checkpoint.weights.parameter_count


def test_parameters_of_the_demo_weights_are_those_of_the_model(engine_card: pb.ModelCard) -> None:
    demo = WEIGHTS.choices["demo"]
    assert demo.parameter_count == engine_card.parameter_count


def test_the_table_names_each_file_once() -> None:
    assert len({weights.url for weights in OFFICIAL}) == len(OFFICIAL) == 8
    assert len({weights.sha256 for weights in OFFICIAL}) == 8
    for weights in OFFICIAL:
        assert weights.url.endswith(f"{weights.name.replace('-', '_')}.pt")
        assert abs(weights.size_bytes / 4 / weights.parameter_count - 1) < 0.01


def test_the_runtime_makes_a_whole_card_of_what_is_loaded(engine_card: pb.ModelCard) -> None:
    assert engine_card.parameter_count > 3_000_000
    assert [weights.name for weights in engine_card.weights] == ["demo"]
    assert [variant.name for variant in engine_card.variants] == NAMES
    assert engine_card.default_automatic.points_per_side > 0
    assert pb.Task.TASK_PROMPTED_SEGMENTATION in engine_card.tasks
    assert not engine_card.categories


@pytest.mark.parametrize("section", ["demo", "file", *NAMES])
def test_every_card_is_complete(section: str) -> None:
    card = read_card(section)
    message = json_format.ParseDict(dict(card.fields), pb.ModelCard())
    assert message.id == "sam-2"
    assert message.licenses.code == "Apache-2.0"
    assert message.licenses.weights
    assert message.intended_uses
    assert message.limitations
    assert len(message.prompt_kinds) == 3
    assert None not in vars(card.automatic).values()


def test_published_weights_carry_stock_defaults_and_figures() -> None:
    generator = SAM2AutomaticMaskGenerator.__init__
    for name in NAMES:
        card = read_card(name)
        assert len(card.fields["metrics"]) == 3
        assert all(metric["source"] for metric in card.fields["metrics"])
        for option, value in vars(card.automatic).items():
            assert value == pytest.approx(_default(generator, option)), option


def _default(function: Any, name: str) -> Any:
    import inspect

    return inspect.signature(function).parameters[name].default


@pytest.mark.parametrize("section", ["demo", "file", *NAMES])
def test_every_card_says_what_the_architecture_is(section: str) -> None:
    fields = read_card(section).fields
    told = fields["architecture"]["overview"]
    for fact in ("streaming memory", "foundation model", "occluded", "real time", "Hiera"):
        assert fact in told
    assert "demo" not in told
    uses = fields["architecture"]["applications"]
    assert len(uses) >= 3
    assert all(use["text"].endswith(".") and use["source"] for use in uses)
    assert fields["foundation"]
    assert fields["zero_shot"]
    assert "It gives no class labels." in fields["limitations"]
    assert "Turning the boxes of a detector into masks." in fields["intended_uses"]
    assert all(s["source"] for s in fields["licenses"]["statements"])


@pytest.mark.parametrize("section", ["demo", "file", *NAMES])
def test_every_card_says_which_weights_are_loaded(section: str) -> None:
    told = read_card(section).fields["weights_overview"]
    says = {"demo": "not the weights that Meta published", "file": "operator"}
    assert says.get(section, f"`{section}`") in told


def test_the_demo_card_says_what_it_is() -> None:
    card = read_card("demo")
    assert "photographs" in card.fields["limitations"][0]
    assert "photographs" in card.fields["weights_overview"]


def test_no_section_of_the_card_is_for_weights_that_do_not_exist() -> None:
    text = (resources.files("diptych_sam2") / "model_card.toml").read_text()
    assert set(tomllib.loads(text)["weights"]) == {"demo", "file", *NAMES}

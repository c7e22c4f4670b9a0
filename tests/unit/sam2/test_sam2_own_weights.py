"""What people train with the sam2 package answers here as it does there."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from own_sam2 import predicted, save, train
from safetensors.torch import save_file
from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.sam2_base import SAM2Base

from diptych import Box, Mask, OutputOptions, Prompt, Task
from diptych_runtime.engine import Fact, Job, LoadError
from diptych_runtime.weights import WeightsError
from diptych_sam2.engine import Sam2Engine
from diptych_sam2.network.build import build_model
from diptych_sam2.network.configuration import ModelError, read_configuration
from diptych_sam2.settings import EngineSettings
from diptych_sam2.weights.checkpoints import CHECKPOINTS, choose, packaged_config, size_fact

BOX = (60.0, 50.0, 180.0, 190.0)


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DIPTYCH_WEIGHTS_DIR", str(tmp_path / "cache"))


def answers(model: SAM2Base, pixels: Any, finish: Any, **settings: Any) -> tuple[Fact, ...]:
    """Check that the engine answers as the package's predictor does; returns what it says."""
    engine = Sam2Engine(EngineSettings(device="cpu", threads=1, **settings))
    facts = engine.load().facts
    prompts = (Prompt(box=Box(*BOX)),)
    job = Job(Task.PROMPTED_SEGMENTATION, prompts, OutputOptions(), None)
    answer, _ = finish(engine.segment(engine.embed(pixels, "image"), lambda: pixels, job))
    (segment,) = answer.segments
    mask, score = predicted(model, pixels, BOX)
    assert mask.any()
    assert segment.mask.iou(Mask.from_array(mask)) >= 0.999
    assert segment.score == pytest.approx(score, abs=1e-4)
    return facts


def test_a_checkpoint_of_the_trainer_answers_as_it_did(
    scene: Any, finish: Any, tmp_path: Path
) -> None:
    chosen = choose(EngineSettings())
    model = build_model(chosen.config, chosen.weights.read_state())
    save(train(model), tmp_path / "checkpoint.pt", f'config = "{chosen.config}"\n')
    facts = answers(model, scene(0), finish, sam_2_weights=str(tmp_path / "checkpoint.pt"))
    assert [(fact.name, fact.value, fact.origin) for fact in facts] == [
        ("configuration", "demo.yaml", "told"),
        ("image_size", "256", "told"),
    ]


def test_a_published_network_in_another_size_is_read_off_its_shapes(
    scene: Any, finish: Any, tmp_path: Path
) -> None:
    model = build_model(packaged_config("configs/sam2/sam2_hiera_t.yaml"), image_size=256)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("sam_"))  # as is usual with little data
    content = train(model)
    content["model"] = {f"module.{name}": value for name, value in content["model"].items()}
    save(content, tmp_path / "tuned.pt", "image_size = 256\n")
    path = tmp_path / "tuned.pt"
    facts = answers(model, scene(1), finish, sam_2_weights=str(path))
    assert [(fact.name, fact.value, fact.origin) for fact in facts] == [
        ("configuration", "sam2_hiera_t.yaml", "known"),
        ("image_size", "256", "told"),
    ]
    path.with_suffix(".model.toml").unlink()
    fact = size_fact(choose(EngineSettings(sam_2_weights=str(path))), 1024)
    assert fact == Fact("image_size", "1024", "assumed", "tuned.model.toml")


@pytest.mark.parametrize("checkpoint", CHECKPOINTS, ids=lambda one: one.weights.name)
def test_a_configuration_has_short_names(checkpoint: Any, tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    path.write_bytes(choose(EngineSettings()).weights.path.read_bytes())
    short = Path(checkpoint.config).name
    names = (checkpoint.config, short, short.removesuffix(".yaml"), checkpoint.weights.name)
    for name in names:
        chosen = choose(EngineSettings(sam_2_weights=str(path), sam_2_config=name))
        # The package has some of them in two places.
        assert chosen.config.read_text() == packaged_config(checkpoint.config).read_text()
        assert chosen.config.name == short


@pytest.mark.parametrize("checkpoint", CHECKPOINTS, ids=lambda one: one.weights.name)
def test_every_published_network_is_read_off_its_shapes(checkpoint: Any, tmp_path: Path) -> None:
    config = packaged_config(checkpoint.config)
    trunk = read_configuration(config)["model"]["image_encoder"]["trunk"]
    blocks = sum(trunk.get("stages", inspect.signature(Hiera).parameters["stages"].default))
    names = [f"image_encoder.trunk.blocks.{n}.norm1.weight" for n in range(blocks)]
    names.append("sam_mask_decoder.mask_tokens.weight")
    if "sam2.1" in config.name:
        names.append("obj_ptr_tpos_proj.weight")
    state = {name: torch.zeros(1) for name in names}
    state["image_encoder.trunk.pos_embed"] = torch.zeros(1, trunk["embed_dim"], 7, 7)
    save_file(state, tmp_path / "own.safetensors")
    chosen = choose(EngineSettings(sam_2_weights=str(tmp_path / "own.safetensors")))
    assert chosen.config == config


def test_a_wrong_name_lists_the_right_ones(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    path.write_bytes(choose(EngineSettings()).weights.path.read_bytes())
    path.with_suffix(".model.toml").write_text('config = "sam2_hiera_xl"')
    with pytest.raises(
        WeightsError, match=r"^own\.model\.toml: config = 'sam2_hiera_xl': .*hiera_t"
    ):
        choose(EngineSettings(sam_2_weights=str(path)))
    path.with_suffix(".model.toml").write_text("image_size = 100")
    with pytest.raises(
        WeightsError, match=r"image_size: input should be a multiple of 32, got 100"
    ):
        choose(EngineSettings(sam_2_weights=str(path)))


def test_a_configuration_for_training_is_told_from_one_for_inference() -> None:
    config = packaged_config("configs/sam2.1_training/sam2.1_hiera_b+_MOSE_finetune.yaml")
    with pytest.raises(ModelError, match="is a configuration for training; name the one for inf"):
        build_model(config)


def test_weights_of_another_kind_are_refused_by_name(tmp_path: Path) -> None:
    save_file({"mask_decoder.x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(
        LoadError, match=r"mask_tokens\.weight is missing, .* with mask_decoder\.x$"
    ):
        Sam2Engine(EngineSettings(sam_2_weights=str(tmp_path / "other.safetensors"))).load()

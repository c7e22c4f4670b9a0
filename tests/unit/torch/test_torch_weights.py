"""Both models read the same checkpoints, in whatever a training script has wrapped them."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from diptych_maskrcnn.engine import MaskRcnnEngine
from diptych_maskrcnn.settings import EngineSettings as MaskRcnnSettings
from diptych_maskrcnn.weights.load import KEYPOINT_WEIGHTS, MASK_WEIGHTS
from diptych_runtime.engine import Engine, LoadedModel, LoadError
from diptych_runtime.weights import OfficialWeights, WeightsError, convert, file_sha256
from diptych_sam2.engine import Sam2Engine
from diptych_sam2.settings import EngineSettings as Sam2Settings
from diptych_sam2.weights.checkpoints import WEIGHTS as SAM2_WEIGHTS
from diptych_sam2.weights.checkpoints import choose
from diptych_torch import convert as convert_module
from diptych_torch import weights as weights_module
from diptych_torch.convert import CheckpointError, read_checkpoint
from diptych_torch.weights import CONVERTER, BundledWeights, WeightsSetting, load_into

State = dict[str, Tensor]
CLASSES = "\n".join(f"kind {number}" for number in range(1, 9))
SUFFIXES = (".pth", ".pt", ".safetensors")


@dataclass(frozen=True)
class Model:
    """How a test gives a model a file."""

    setting: WeightsSetting
    engine: Callable[[Path], Engine]

    @property
    def state(self) -> State:
        return self.setting.choose("demo").read_state()

    def load(self, path: Path) -> LoadedModel:
        if self.setting is MASK_WEIGHTS:
            path.with_suffix(".classes.txt").write_text(CLASSES)
        return self.engine(path).load()

    def refusal(self, path: Path) -> str:
        with pytest.raises(LoadError) as caught:
            self.load(path)
        assert "\n" not in str(caught.value)
        return str(caught.value)


def mask_rcnn(path: Path) -> Engine:
    return MaskRcnnEngine(
        MaskRcnnSettings(mask_rcnn_weights=str(path), keypoint_weights="off", device="cpu")
    )


def keypoint_rcnn(path: Path) -> Engine:
    return MaskRcnnEngine(MaskRcnnSettings(keypoint_weights=str(path), device="cpu"))


def sam_2(path: Path) -> Engine:
    config = str(choose(Sam2Settings()).config)
    return Sam2Engine(Sam2Settings(sam_2_weights=str(path), sam_2_config=config, device="cpu"))


MODELS = {
    "mask-rcnn": Model(MASK_WEIGHTS, mask_rcnn),
    "keypoints": Model(KEYPOINT_WEIGHTS, keypoint_rcnn),
    "sam-2": Model(SAM2_WEIGHTS, sam_2),
}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Model:
    return MODELS[request.param]


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Checkpoints that were converted; in this process, a new one would load torch each time."""
    converted: list[Path] = []

    def counted(checkpoint: Path, output: Path, *, converter: Sequence[str]) -> None:
        assert tuple(converter) == CONVERTER
        converted.append(checkpoint)
        assert convert_module.main([str(checkpoint), str(output)]) == 0

    monkeypatch.setattr(weights_module, "convert", counted)
    return converted


def prefixed(state: State, prefix: str) -> State:
    return {f"{prefix}{key}": value for key, value in state.items()}


WRAPPINGS: dict[str, Callable[[State], dict[str, Any]]] = {
    "plain": lambda state: state,
    "model": lambda state: {"model": state, "epoch": 3},
    "state_dict": lambda state: {"state_dict": state, "optimizer": {"lr": 0.1}},
    "model_state_dict": lambda state: {"epoch": 3, "model_state_dict": state},
    "module.": lambda state: prefixed(state, "module."),
    "model module.": lambda state: {"model": prefixed(state, "module.")},
    "state_dict model.": lambda state: {"state_dict": prefixed(state, "model.")},
    "state_dict module.model.": lambda state: {"state_dict": prefixed(state, "module.model.")},
    "state_dict model": lambda state: {"state_dict": {"model": state}},
}


def flat(content: Mapping[str, Any]) -> State:
    """Nested state dicts as a safetensors file can hold them; what is no tensor has no place."""
    state: State = {}
    for key, value in content.items():
        if isinstance(value, Tensor):
            state[key] = value
        elif isinstance(value, dict):
            state |= prefixed(flat(value), f"{key}.")
    return state


def save(content: dict[str, Any], path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file(flat(content), path)
    else:
        torch.save(content, path)
    return path


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_every_wrapping_is_read_and_converted_once(
    model: Model, wrapping: str, suffix: str, tmp_path: Path, conversions: list[Path]
) -> None:
    path = save(WRAPPINGS[wrapping](model.state), tmp_path / f"tuned{suffix}")
    for _ in range(2):
        assert same(model.setting.choose(str(path)).read_state(), model.state)
    assert conversions == ([] if suffix == ".safetensors" else [path])


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_wrapped_file_is_served(
    model: Model, suffix: str, tmp_path: Path, conversions: list[Path]
) -> None:
    path = save(WRAPPINGS["state_dict module.model."](model.state), tmp_path / f"tuned{suffix}")
    loaded = model.load(path)
    weights = loaded.weights[-1]
    assert (weights.name, weights.url) == ("tuned", "")
    assert weights.sha256 == hashlib.sha256(path.read_bytes()).digest()
    assert weights.size_bytes == path.stat().st_size


def test_a_second_start_converts_nothing_and_another_file_is_another(
    model: Model, tmp_path: Path, cache: Path, conversions: list[Path]
) -> None:
    path = save(WRAPPINGS["model"](model.state), tmp_path / "tuned.pth")
    first, second = model.load(path), model.load(path)
    assert conversions == [path]
    assert first.weights == second.weights
    kept = list((cache / "converted").iterdir())
    assert [file.name for file in kept] == [f"{file_sha256(path)}.safetensors"]
    save({"model": {key: value + 1 for key, value in model.state.items()}}, path)
    model.load(path)
    assert conversions == [path, path]


def test_the_converter_is_a_process_of_its_own(tmp_path: Path) -> None:
    path, output = tmp_path / "tuned.pth", tmp_path / "out.safetensors"
    state = MODELS["mask-rcnn"].state
    save(WRAPPINGS["model_state_dict"](state), path)
    done = subprocess.run([*CONVERTER, str(path), str(output)], capture_output=True, check=True)
    assert done.stderr == b""
    assert CONVERTER[0] == sys.executable
    assert same(load_file(output), state)


def test_a_file_that_is_no_safetensors(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "none.safetensors"
    path.write_bytes(b"x" * 1000)
    assert "none.safetensors is not a safetensors file: " in model.refusal(path)


def test_a_file_that_is_no_pickle(tmp_path: Path) -> None:
    path = tmp_path / "none.pth"
    path.write_bytes(b"x" * 1000)
    message = MODELS["sam-2"].refusal(path)
    expected = "could not be converted to safetensors: not a checkpoint of tensors only"
    assert f"none.pth {expected}" in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([1, 2], "expected a state dict, found list"),
        ({}, "expected a state dict, found dict"),
        ({"model": {}}, "expected a state dict, found dict"),
        ({"model": {"a": 1}}, "expected names and tensors, found 'a': int"),
        ({"weight": [1, 2]}, "expected names and tensors, found 'weight': list"),
        ({1: torch.zeros(1)}, "expected names and tensors, found 1: Tensor"),
    ],
)
def test_a_pickle_without_a_state_dict(
    content: Any, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, output = tmp_path / "odd.pth", tmp_path / "out.safetensors"
    torch.save(content, path)
    assert convert_module.main([str(path), str(output)]) == 1
    assert capsys.readouterr().err == f"{expected}\n"
    assert not output.exists()


def test_why_a_pickle_is_not_converted_is_said(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "lists.pth"
    torch.save({"weight": [1, 2]}, path)
    message = MODELS["mask-rcnn"].refusal(path)
    assert "lists.pth could not be converted to safetensors: " in message
    assert "expected names and tensors, found 'weight': list" in message
    assert list((cache / "converted").iterdir()) == []


def test_a_pickle_that_contains_itself_is_refused(tmp_path: Path) -> None:
    content: dict[str, Any] = {}
    content["model"] = content
    torch.save(content, tmp_path / "round.pth")
    with pytest.raises(CheckpointError, match="expected names and tensors"):
        read_checkpoint(tmp_path / "round.pth")


@pytest.mark.usefixtures("conversions")
def test_tensors_that_share_memory_are_converted(tmp_path: Path) -> None:
    whole = torch.arange(6.0)
    path = save({"a": whole, "b": whole[2:], "c": whole.view(2, 3).T}, tmp_path / "tied.pth")
    setting = WeightsSetting("DIPTYCH_X_WEIGHTS", "diptych-x", {})
    state = setting.choose(str(path)).read_state()
    assert same(state, {"a": whole, "b": whole[2:], "c": whole.view(2, 3).T})


class Evil:
    """Would leave a file behind if it was unpickled without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("wrap", ["torch", "pickle"])
def test_a_pickle_that_runs_code_stays_inert(wrap: str, tmp_path: Path) -> None:
    trace, path = tmp_path / "trace", tmp_path / "evil.pth"
    content = {"model": {"weight": torch.zeros(2), "payload": Evil(trace)}}
    if wrap == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    output = tmp_path / "out.safetensors"
    with pytest.raises(WeightsError, match="could not be converted to safetensors: not a check"):
        convert(path, output, converter=CONVERTER)
    assert not trace.exists()
    assert not output.exists()


def test_a_cache_that_cannot_be_written_is_named(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DIPTYCH_WEIGHTS_DIR", str(tmp_path / "file"))
    message = model.refusal(save(model.state, tmp_path / "tuned.pth"))
    expected = f"cannot write {tmp_path / 'file' / 'converted'}; "
    assert message == f"{expected}make it writable or set DIPTYCH_WEIGHTS_DIR"


def test_weights_of_another_network_are_refused_by_name(model: Model, tmp_path: Path) -> None:
    state = model.state
    *_, last = state
    short = save({k: v for k, v in state.items() if k != last}, tmp_path / "short.safetensors")
    assert f"the weights do not fit {name_of(model)}: {last} is missing" in model.refusal(short)
    longer = save({**state, "extra": torch.zeros(1)}, tmp_path / "longer.safetensors")
    assert "extra is not part of the network" in model.refusal(longer)
    other = {**state, last: torch.zeros(3, 5)}
    message = model.refusal(save(other, tmp_path / "other.safetensors"))
    assert f"{last} has shape (3, 5), expected {tuple(state[last].shape)}" in message


def name_of(model: Model) -> str:
    return "demo.yaml" if model.setting is SAM2_WEIGHTS else "the network"


def test_only_the_first_problems_are_named() -> None:
    network = torch.nn.Sequential(*(torch.nn.Linear(1, 1) for _ in range(3)))
    expected = r"fit it: 0\.weight is missing; 0\.bias is missing; 1\.weight is missing and 4 more"
    with pytest.raises(WeightsError, match=expected):
        load_into(network, {"x": torch.zeros(1)}, "it")


def test_floats_become_float32_and_numbers_stay() -> None:
    network = torch.nn.BatchNorm1d(1)
    state = {key: value.half() for key, value in network.state_dict().items()}
    state["num_batches_tracked"] = torch.tensor(7)
    load_into(network, state, "it")
    assert network.weight.dtype == torch.float32
    assert network.num_batches_tracked == 7


@pytest.fixture
def setting(tmp_path: Path) -> WeightsSetting:
    """A setting of a model that there is not."""
    bundled = save({"a": torch.zeros(2)}, tmp_path / "bundled.safetensors")
    return WeightsSetting(
        variable="DIPTYCH_X_WEIGHTS",
        program="diptych-x",
        choices={
            "demo": BundledWeights("small-demo", bundled, 2),
            "large": OfficialWeights("x-large", "https://x/large.pth", 40, 10),
        },
        further=("off",),
    )


@pytest.mark.parametrize("value", ["demo", "small-demo"])
def test_bundled_weights_have_two_names(setting: WeightsSetting, value: str) -> None:
    chosen = setting.choose(value)
    assert (chosen.loaded.name, chosen.section) == ("small-demo", "small-demo")
    assert chosen.read_state().keys() == {"a"}


@pytest.mark.parametrize("value", ["large", "x-large"])
def test_published_weights_that_are_not_there_say_how_to_get_them(
    setting: WeightsSetting, value: str
) -> None:
    with pytest.raises(WeightsError, match=r"run: diptych-x pull x-large$"):
        setting.choose(value)


def test_a_value_that_names_nothing(setting: WeightsSetting, tmp_path: Path) -> None:
    expected = "expected demo, large, off or a .safetensors, .pth, .pt or .ckpt file"
    with pytest.raises(WeightsError) as caught:
        setting.choose("lagre")
    assert str(caught.value) == f"DIPTYCH_X_WEIGHTS='lagre': {expected}"
    with pytest.raises(WeightsError) as caught:
        setting.choose("gone.pth")
    assert str(caught.value) == "DIPTYCH_X_WEIGHTS='gone.pth': there is no such file"


def test_a_path_may_begin_at_home(
    setting: WeightsSetting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    chosen = setting.choose("~/bundled.safetensors")
    assert chosen.path == tmp_path / "bundled.safetensors"
    assert chosen.section == "file"


def test_variants_are_those_that_are_not_loaded(setting: WeightsSetting, tmp_path: Path) -> None:
    (variant,) = setting.variants(setting.choose("demo"))
    assert (variant.name, variant.parameter_count, variant.size_bytes) == ("x-large", 10, 40)
    own = setting.choose(str(tmp_path / "bundled.safetensors"))
    assert [variant.name for variant in setting.variants(own)] == ["small-demo", "x-large"]


def test_a_network_may_have_a_wrapper_s_name_for_its_own(
    setting: WeightsSetting, tmp_path: Path
) -> None:
    state = {"module.model.a": torch.zeros(1), "module.model.b": torch.zeros(1)}
    path = str(save(state, tmp_path / "own.safetensors"))
    assert setting.choose(path).read_state().keys() == {"a", "b"}
    named = replace(setting, key="model.a").choose(path)
    assert named.read_state().keys() == {"model.a", "model.b"}


def test_a_prefix_that_only_some_names_have_is_kept(
    setting: WeightsSetting, tmp_path: Path
) -> None:
    state = {"model.a": torch.zeros(1), "head.b": torch.zeros(1)}
    path = save(state, tmp_path / "own.safetensors")
    assert setting.choose(str(path)).read_state().keys() == state.keys()


def test_the_converter_wants_two_paths(capsys: pytest.CaptureFixture[str]) -> None:
    assert convert_module.main(["one.pth"]) == 2
    assert capsys.readouterr().err == ("usage: python -m diptych_torch.convert CHECKPOINT OUTPUT\n")


def test_the_converter_overwrites_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "own.pth"
    torch.save({"a": torch.zeros(1)}, path)
    before = path.read_bytes()
    assert convert_module.main([str(path), str(path)]) == 1
    assert "is there already and is not overwritten" in capsys.readouterr().err
    assert path.read_bytes() == before

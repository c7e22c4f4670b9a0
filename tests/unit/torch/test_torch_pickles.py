"""Checkpoints as training scripts leave them: read without running what they name."""

from __future__ import annotations

import argparse
import enum
import os
import pickle
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from diptych_runtime.weights import WeightsError, convert, file_sha256
from diptych_torch import convert as convert_module
from diptych_torch.convert import CheckpointError, read_checkpoint
from diptych_torch.weights import CONVERTER, WeightsSetting, load_into

SETTING = WeightsSetting("DIPTYCH_X_WEIGHTS", "diptych-x", {}, key="head.weight")


class AttributeDict(dict[str, Any]):
    """As Lightning keeps hyper-parameters."""


class Optimizer(enum.Enum):
    SGD = "sgd"


class Network(nn.Module):
    """A parameter, a buffer, a buffer that is not saved, and a part of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(2)
        self.head = nn.Linear(2, 1)
        self.register_buffer("grid", torch.zeros(3), persistent=False)


def state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(Network().state_dict())


def trained() -> dict[str, Any]:
    """What torchvision's reference script saves of a run."""
    network = Network()
    network.load_state_dict(state())
    optimizer = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [16, 22])
    network.head(torch.ones(1, 2)).sum().backward()
    return {
        "model": state(),
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": schedule.state_dict(),
        "args": argparse.Namespace(
            weights=None, lr=0.02, output_dir=Path("out"), device=torch.device("cpu")
        ),
        "epoch": 9,
    }


def wrapped(prefix: str, **more: Tensor) -> dict[str, Tensor]:
    return {**{f"{prefix}{name}": value for name, value in state().items()}, **more}


def lightning() -> dict[str, Any]:
    return {
        "epoch": 1,
        "state_dict": wrapped("model.", **{"loss.weight": torch.ones(2)}),
        "hyper_parameters": AttributeDict(lr=0.1, sizes=[1, 2]),
        "callbacks": defaultdict(list, early={"best": torch.tensor(0.5)}),
    }


CHECKPOINTS: dict[str, Callable[[], dict[str, Any]]] = {
    "torchvision's reference": trained,
    "numpy": lambda: {"model": state(), "best": np.float64(0.5), "curve": np.arange(3)},
    "enum and path": lambda: {"state_dict": state(), "kind": Optimizer.SGD, "file": Path("a")},
    "class as value": lambda: {"model": state(), "optimizer": torch.optim.SGD},
    "another name": lambda: {"net": state(), "epoch": 3},
    "Lightning": lightning,
    "average only": lambda: {"model_ema": wrapped("module.", n_averaged=torch.tensor(3))},
    "average beside": lambda: wrapped("", **wrapped("ema.")),
    "compiled": lambda: wrapped("_orig_mod."),
    "compiled part": lambda: {
        name.replace("norm.", "norm._orig_mod."): value for name, value in state().items()
    },
    "prefix that nobody knows": lambda: wrapped("trainer.detector."),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_the_state_dict_is_found(name: str, tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "run.ckpt"
    torch.save(CHECKPOINTS[name](), path)
    converted(path, cache)
    found = SETTING.choose(str(path)).read_state()
    assert found.keys() == state().keys()
    assert all(torch.equal(found[key], value) for key, value in state().items())


def test_the_old_form_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    torch.save(trained(), path, _use_new_zipfile_serialization=False)
    found = read_checkpoint(path)
    assert found.state.keys() == state().keys()
    assert found.args == {"weights": None, "lr": 0.02}


def converted(path: Path, cache: Path) -> None:
    """Convert here; a process for each would load torch each time."""
    (cache / "converted").mkdir(parents=True)
    output = cache / "converted" / f"{file_sha256(path)}.safetensors"
    assert convert_module.main([str(path), str(output)]) == 0


def test_plain_arguments_and_what_is_left_out_come_with_it(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "run.pth"
    torch.save(trained() | {"model_ema": state()}, path)
    converted(path, cache)
    found = SETTING.choose(str(path)).read()
    assert found.args == {"weights": None, "lr": 0.02}
    assert found.left_out == ("model_ema",)
    save_file(lightning()["state_dict"], tmp_path / "run.safetensors")
    assert SETTING.choose(str(tmp_path / "run.safetensors")).read().left_out == ("loss",)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_whole_model_gives_its_state_dict(prefix: str, tmp_path: Path) -> None:
    network = Network()
    network.load_state_dict(state())
    torch.save(nn.DataParallel(network) if prefix else network, tmp_path / "whole.pth")
    found = read_checkpoint(tmp_path / "whole.pth").state
    assert list(found) == [f"{prefix}{name}" for name in network.state_dict()]
    assert all(torch.equal(found[f"{prefix}{key}"], value) for key, value in state().items())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (argparse.Namespace(lr=1), "expected a state dict, found argparse.Namespace"),
        ({"model": {"w": np.ones(2)}}, "found 'w': numpy._core.multiarray._reconstruct"),
        ({"model": {"w": torch.ones(1), "x": Path("a")}}, "found 'x': pathlib.PosixPath"),
        (
            {"generator": {"w": torch.ones(1)}, "critic": {"w": torch.ones(1)}},
            "it holds 2 state dicts ('generator', 'critic'); save the one to serve under 'model'",
        ),
    ],
    ids=["arguments", "arrays", "path", "two"],
)
def test_what_is_in_the_way_is_named(content: Any, expected: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(tmp_path / "odd.pth")
    assert expected in str(caught.value)


def cut_off(path: Path) -> None:
    torch.save(state(), path)
    path.write_bytes(path.read_bytes()[:-200])


INSTEAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "TorchScript": (
        lambda path: torch.jit.script(nn.Linear(1, 1)).save(str(path)),
        "it is a TorchScript archive: save model.state_dict() instead",
    ),
    "page": (lambda path: path.write_text("\n<!doctype html>"), "it is a web page: "),
    "Git LFS": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0"),
        "it is a pointer of Git LFS: ",
    ),
    "cut off": (cut_off, "it is cut off: "),
    "newer pickle": (
        lambda path: path.write_bytes(pickle.dumps(state(), protocol=4)),
        "it is pickled by a newer protocol: save it with torch.save",
    ),
    "newer protocol": (
        lambda path: torch.save(state(), path, pickle_protocol=5),
        "it is pickled by a newer protocol: save it with torch.save",
    ),
}


@pytest.mark.filterwarnings("ignore:.*deprecated", "ignore:Detected pickle protocol")
@pytest.mark.parametrize("name", INSTEAD)
def test_what_people_have_instead_is_named(name: str, tmp_path: Path) -> None:
    write, expected = INSTEAD[name]
    write(tmp_path / "odd.pth")
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(tmp_path / "odd.pth")
    assert expected in str(caught.value)


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def test_what_a_checkpoint_names_is_not_called(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    calls = {
        "open": Call(open, str(trace), "w"),
        "eval": Call(eval, f"open({str(trace)!r}, 'w')"),
        "module": Call(__import__, "antigravity"),
    }
    torch.save({"model": state(), "args": argparse.Namespace(**calls)}, tmp_path / "evil.pth")
    convert(tmp_path / "evil.pth", tmp_path / "out.safetensors", converter=CONVERTER)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (Call(os.system, "true"), r"posix\.system whose module posix is blocked"),
        (Call(Path.touch, Path("a")), "call reduce for unrecognized function"),
    ],
    ids=["blocked", "method"],
)
def test_what_torch_blocks_stays_blocked(call: Call, expected: str, tmp_path: Path) -> None:
    torch.save({"model": state(), "args": call}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match=expected):
        read_checkpoint(tmp_path / "evil.pth")


def test_two_networks_in_one_file_are_told_apart(tmp_path: Path) -> None:
    save_file(wrapped("student.") | wrapped("judge."), tmp_path / "two.safetensors")
    expected = r"two\.safetensors holds 2 networks, under '(student|judge)\.', '.*'; save the one"
    with pytest.raises(WeightsError, match=expected):
        SETTING.choose(str(tmp_path / "two.safetensors")).read()
    loose = replace(SETTING, key=None).choose(str(tmp_path / "two.safetensors"))
    assert len(loose.read_state()) == 2 * len(state())


def test_a_run_that_diverged_is_refused_by_name() -> None:
    broken = state() | {"head.bias": torch.tensor([float("nan")])}
    expected = r"^1 of 7 tensors are not finite, head\.bias first: the training run diverged"
    with pytest.raises(WeightsError, match=expected):
        load_into(Network(), broken, "it")

"""A configuration is data: none makes this process do what its author wanted."""

from __future__ import annotations

import contextlib
import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from diptych_sam2.network import configuration
from diptych_sam2.network.build import build_model
from diptych_sam2.network.configuration import MAX_BYTES, ModelError, build, read_configuration
from diptych_sam2.settings import EngineSettings
from diptych_sam2.weights.checkpoints import choose, packaged_config
from diptych_sam2.weights.official import CHECKPOINTS

DEMO = choose(EngineSettings()).config
Node = dict[str, Any]


class Mark:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return (Path.touch, (self.path,))


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "executed"


@pytest.fixture
def pickled(tmp_path: Path, mark: Path) -> str:
    """A checkpoint that runs code where it is read without care."""
    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps({"weight": Mark(mark)}))
    return str(path)


def calls(mark: Path, pickled: str) -> dict[str, Node]:
    """Nodes that would each leave the mark, or do what nobody asked for."""
    touch = f"touch {mark}"
    load = {"f": pickled, "weights_only": False}
    python = f"open({str(mark)!r}, 'w')"
    return {
        "os.system": {"_target_": "os.system", "command": touch},
        "posix.system": {"_target_": "posix.system", "command": touch},
        "subprocess": {"_target_": "subprocess.run", "args": ["touch", str(mark)]},
        "eval": {"_target_": "builtins.eval", "_args_": [python]},
        "exec": {"_target_": "builtins.exec", "_args_": [python]},
        "open": {"_target_": "builtins.open", "file": str(mark), "mode": "w"},
        "path": {"_target_": "pathlib.Path.touch", "self": str(mark)},
        "import": {"_target_": "importlib.import_module", "name": "antigravity"},
        "torch.load": {"_target_": "torch.load", **load},
        "torch.hub": {"_target_": "torch.hub.load", "repo_or_dir": "a/b", "model": "c"},
        "torch.save": {"_target_": "torch.save", "obj": 1, "f": str(mark)},
        "through sam2": {"_target_": "sam2.build_sam.torch.load", **load},
        "through a part": {"_target_": "sam2.modeling.sam2_base.torch.load", **load},
        "through a class": {
            "_target_": "sam2.modeling.sam2_base.SAM2Base.__init__.__globals__",
        },
        "through torch.nn": {"_target_": "torch.nn.modules.module.torch.load", **load},
        "through a cell": {"_target_": "torch.nn.modules.rnn.torch.load", **load},
        "class of a re-export": {"_target_": "sam2.modeling.sam2_base.torch.nn.Linear"},
        "re-exported class": {"_target_": "sam2.modeling.memory_encoder.nn.Linear"},
        "function": {"_target_": "sam2.modeling.sam2_utils.get_clones", "module": 1, "N": 2},
        "builder": {"_target_": "sam2.build_sam.build_sam2_hf", "model_id": "a/b"},
        "predictor": {"_target_": "sam2.sam2_image_predictor.SAM2ImagePredictor.from_pretrained"},
        "method": {"_target_": "torch.nn.modules.module.Module.load_state_dict"},
        "initialiser": {"_target_": "torch.nn.init.zeros_"},
        "parallel": {"_target_": "torch.nn.parallel.DataParallel", "module": 1},
        "partial": {"_target_": "functools.partial", "_args_": ["${mark}"]},
        "no module": {"_target_": "sam2.modeling.nowhere.Model"},
        "relative": {"_target_": "sam2.modeling..os.system", "command": touch},
        "itself": {"_target_": "sam2.modeling."},
        "list": {"_target_": ["os.system"], "command": touch},
        "dict": {"_target_": {"_target_": "os.system"}, "command": touch},
        "nothing": {"_target_": None},
        "looked up": {"_target_": "${x}", "x": "os.system", "command": touch},
        "environment": {"_target_": "torch.nn.Linear", "in_features": "${oc.env:HOME}"},
        "resolver": {"_target_": "torch.nn.Linear", "in_features": "${oc.decode:'1'}"},
        "partly": {"_target_": "torch.nn.Identity", "_partial_": True},
        "positional": {"_target_": "torch.nn.Identity", "_args_": [1]},
        "converted": {"_target_": "torch.nn.Identity", "_convert_": "all"},
        "not recursive": {"_target_": "torch.nn.Identity", "_recursive_": False},
        "unknown key": {"_target_": "torch.nn.Identity", "_other_": 1},
        "odd key": {"_target_": "torch.nn.Identity", "a.b": 1},
        "number as key": {"_target_": "torch.nn.Identity", 1: 1},
        "weights": {"_target_": "sam2.modeling.backbones.hieradet.Hiera", "weights_path": pickled},
    }


def at_the_top(evil: Node) -> Node:
    return evil


def as_an_argument(evil: Node) -> Node:
    return {"_target_": "torch.nn.Identity", "unused": evil}


def deep_down(evil: Node) -> Node:
    tree: Node = copy.deepcopy(yaml.safe_load(DEMO.read_text())["model"])
    tree["image_encoder"]["neck"]["position_encoding"] = evil
    return tree


def in_lists(evil: Node) -> Node:
    return {"_target_": "torch.nn.Identity", "unused": [1, [{"a": [evil]}]]}


def beside_a_stop(evil: Node) -> Node:
    return {"_target_": "torch.nn.Identity", "unused": {"_recursive_": False, "a": evil}}


PLACES = [at_the_top, as_an_argument, deep_down, in_lists, beside_a_stop]
NAMES = sorted(calls(Path("mark"), "evil.pt"))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_configuration_is_refused_and_runs_nothing(
    name: str, place: Callable[[Node], Node], tmp_path: Path, mark: Path, pickled: str
) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(yaml.safe_dump({"model": place(calls(mark, pickled)[name])}))
    with pytest.raises(ModelError) as caught:
        build_model(path)
    assert "model.yaml is not a configuration of SAM 2: " in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not mark.exists()


def test_nothing_is_made_before_all_was_checked(tmp_path: Path, monkeypatch: Any) -> None:
    made: list[str] = []
    monkeypatch.setattr(nn.Identity, "__init__", lambda self, **_: made.append("one"))
    good = {"_target_": "torch.nn.Identity"}
    with pytest.raises(ModelError, match=r"model.yaml is not .*: z: 'os.system' is no class"):
        build(tmp_path / "model.yaml", {"a": good, "z": {"_target_": "os.system"}})
    assert made == []


def test_the_marks_are_left_where_names_are_called(tmp_path: Path, mark: Path) -> None:
    """What the corpus does through hydra, so that its silence here says something."""
    evil = tmp_path / "evil.pt"
    evil.write_bytes(pickle.dumps({"weight": Mark(mark)}))
    # Pickles of this kind end in an error, behind the call that they make.
    with contextlib.suppress(Exception):
        instantiate(calls(mark, str(evil))["torch.load"])
    assert mark.exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it makes a NoneType"),
        ("model: [", "while parsing"),
        ("- 1", "expected names and values, found list"),
        ("a: &a [1]\nmodel: *a", "aliases"),
        ("a: &a {b: 1}\nmodel: {<<: *a}", "aliases"),
        ("model: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("model: !!python/name:os.system", "could not determine a constructor"),
        ("model: {_target_: torch.nn.Identity, a: !!set {x, y}}", "is not a conf"),
        ("model: {_target_: torch.nn.Identity, a: !!binary aGk=}", "found bytes"),
        ("model: " + "[" * 500 + "]" * 500, "recursion"),
        ("model: {a: '" + "x" * MAX_BYTES + "'}", f"more than {MAX_BYTES} bytes"),
        ("model: {_target_: torch.nn.Linear, in_features: 1}", "TypeError"),
        ("model: {_target_: torch.nn.Linear, in_features: a, out_features: 1}", "TypeError"),
        ("model: {_target_: torch.nn.Identity}", "it makes a Identity"),
        ("model: {a: '${model}'}", "interpolations"),
        ("model: {a: {_target_: '???'}}", "'???' is no class"),
    ],
)
def test_what_is_no_configuration_says_why(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(text)
    with pytest.raises(ModelError) as caught:
        build_model(path)
    assert reason in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ModelError, match="is not a configuration"):
        build_model(path)
    with pytest.raises(ModelError, match="No such file"):
        build_model(tmp_path / "none.yaml")


PUBLISHED = sorted({checkpoint.config for checkpoint in CHECKPOINTS})


@pytest.mark.parametrize("config", [str(DEMO), "configs/sam2.1/sam2.1_hiera_t.yaml"])
def test_a_configuration_makes_what_hydra_makes(config: str) -> None:
    path = packaged_config(config)
    ours = build(path, read_configuration(path)["model"])
    stock = instantiate(OmegaConf.load(path)["model"], _recursive_=True)
    assert str(ours) == str(stock)
    assert plain(ours) == plain(stock)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in stock.state_dict().items()
    }


@pytest.mark.parametrize("config", PUBLISHED)
def test_published_configurations_pass_the_check(config: str, monkeypatch: Any) -> None:
    def made(tree: Node, targets: dict[str, type[nn.Module]]) -> dict[str, type[nn.Module]]:
        return targets

    monkeypatch.setattr(configuration, "_made", made)
    path = packaged_config(config)
    assert len(build(path, read_configuration(path)["model"])) == 12


def plain(module: nn.Module) -> list[tuple[str, str, object]]:
    """Every number, text and list that a network keeps of its arguments."""
    kept = []
    for name, part in module.named_modules():
        for key, value in vars(part).items():
            if OmegaConf.is_config(value):
                value = OmegaConf.to_container(value)
            if isinstance(value, str | int | float | list | tuple):
                kept.append((name, key, str(value)))
    return kept

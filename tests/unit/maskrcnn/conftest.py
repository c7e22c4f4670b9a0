"""What the tests of Mask R-CNN share: one thread, the engine, and torchvision's own networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from rcnn_cases import pictures
from safetensors.torch import load_file

import diptych_maskrcnn
from diptych_maskrcnn.engine import MaskRcnnEngine
from diptych_maskrcnn.network import demo_model
from diptych_maskrcnn.settings import EngineSettings
from diptych_runtime.engine import LoadedModel, Pixels

BUNDLED = Path(diptych_maskrcnn.__file__).parent / "weights"


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("MASK_RCNN_WEIGHTS", "KEYPOINT_WEIGHTS", "DEVICE", "THREADS", "WEIGHTS_MIRROR"):
        monkeypatch.delenv(f"DIPTYCH_{name}", raising=False)
    monkeypatch.setenv("DIPTYCH_WEIGHTS_DIR", str(tmp_path / "weights"))


@pytest.fixture(scope="session")
def loaded() -> tuple[MaskRcnnEngine, LoadedModel]:
    """Our engine with the demo weights, and what it says of itself."""
    made = MaskRcnnEngine(EngineSettings(device="cpu", threads=1))
    return made, made.load()


@pytest.fixture(scope="session")
def engine(loaded: tuple[MaskRcnnEngine, LoadedModel]) -> MaskRcnnEngine:
    """Our engine with the demo weights."""
    return loaded[0]


def _stock(build: Any, name: str) -> Any:
    """The network as its author would load it, without our loader."""
    network = build()
    state = load_file(BUNDLED / f"{name}.safetensors")
    network.load_state_dict(
        {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
    )
    return network.eval()


@pytest.fixture(scope="session")
def stock_mask() -> Any:
    """torchvision's Mask R-CNN with the demo weights."""
    return _stock(demo_model.build_mask, "mask-demo")


@pytest.fixture(scope="session")
def stock_keypoint() -> Any:
    """torchvision's Keypoint R-CNN with the demo weights."""
    return _stock(demo_model.build_keypoint, "keypoint-demo")


@pytest.fixture(scope="session")
def photos() -> dict[str, Pixels]:
    """Scenes and a photograph, square, wide and tall."""
    return pictures()

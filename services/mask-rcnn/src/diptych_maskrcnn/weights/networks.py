"""From the name of weights to a loaded network."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from diptych_runtime.engine import LoadedWeights
from diptych_runtime.weights import (
    OfficialWeights,
    WeightsError,
    cache_dir,
    convert,
    file_sha256,
    locate,
)

from .. import categories
from ..network.build import State, build_keypoint, build_mask, label_count
from ..segments import Network
from . import official

PROGRAM = "diptych-mask-rcnn"
CONVERTER = (sys.executable, "-m", "diptych_maskrcnn.weights.convert")
BUNDLED = Path(__file__).parent
MASK_OFFICIAL = {item.name: item for item in (official.COCO_V1, official.COCO_V2)}


def load_mask(choice: str) -> Network:
    """The Mask R-CNN for ``demo``, ``coco-v1``, ``coco-v2`` or a path.

    Raises:
        WeightsError: not there, damaged, or not the weights of such a network.
    """
    if choice == "demo":
        return _bundled("demo", "mask-demo", build_mask, dict(categories.DEMO))
    if choice in MASK_OFFICIAL:
        return _stored(MASK_OFFICIAL[choice], build_mask, dict(categories.COCO))
    path = _existing(choice, "DIPTYCH_MASK_RCNN_WEIGHTS", "demo, coco-v1, coco-v2")
    state = _read_any(path)
    network = build_mask(state)
    names = categories.read_categories(path, label_count(state))
    return Network(network, _described(path.stem, path), names)


def load_keypoint(choice: str) -> Network | None:
    """The Keypoint R-CNN for ``demo``, ``coco`` or a path; ``None`` for ``off``.

    Raises:
        WeightsError: as ``load_mask``.
    """
    person = {1: "person"}
    if choice == "off":
        return None
    if choice == "demo":
        return _bundled("keypoint-demo", "keypoint-demo", build_keypoint, person)
    if choice in ("coco", official.KEYPOINT_COCO.name):
        return _stored(official.KEYPOINT_COCO, build_keypoint, person)
    path = _existing(choice, "DIPTYCH_KEYPOINT_WEIGHTS", "demo, coco, off")
    return Network(build_keypoint(_read_any(path)), _described(path.stem, path), person)


def bundled_size() -> int:
    """Size of the bundled Mask R-CNN's file in bytes."""
    return (BUNDLED / "mask-demo.safetensors").stat().st_size


def _bundled(name: str, file: str, build: Callable[[State], Any], names: dict[int, str]) -> Network:
    path = BUNDLED / f"{file}.safetensors"
    return Network(build(_read(path)), _described(name, path), names)


def _stored(
    wanted: OfficialWeights, build: Callable[[State], Any], names: dict[int, str]
) -> Network:
    stored = locate(wanted.name, command=f"{PROGRAM} pull {wanted.name}")
    weights = LoadedWeights(wanted.name, stored.sha256, stored.url, stored.size_bytes)
    return Network(build(_read(stored.path)), weights, names)


def _existing(choice: str, variable: str, names: str) -> Path:
    path = Path(choice).expanduser()
    if path.suffix not in (".safetensors", ".pth", ".pt"):
        raise WeightsError(
            f"{variable}={choice!r}: expected {names} or a .safetensors or .pth file"
        )
    if not path.is_file():
        raise WeightsError(f"{variable}={choice!r}: there is no such file")
    return path


def _described(name: str, path: Path) -> LoadedWeights:
    return LoadedWeights(name, bytes.fromhex(file_sha256(path)), "", path.stat().st_size)


def _read_any(path: Path) -> State:
    """A state dict; a pickle is first converted, in a process of its own, and that is kept."""
    if path.suffix == ".safetensors":
        return _read(path)
    kept = cache_dir() / "converted" / f"{file_sha256(path)}.safetensors"
    if not kept.exists():
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WeightsError(
                f"cannot write {kept.parent}; make it writable or set DIPTYCH_WEIGHTS_DIR"
            ) from error
        convert(path, kept, converter=CONVERTER)
    return _read(kept)


def _read(path: Path) -> State:
    try:
        state: State = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path.name} cannot be read as safetensors: {error}") from error
    return state

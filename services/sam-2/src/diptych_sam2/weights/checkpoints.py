"""From the name of weights to the files that make a model."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from diptych_runtime.engine import LoadedWeights, LoadError
from diptych_runtime.weights import WeightsError, convert, file_sha256, locate

from ..settings import DEMO, EngineSettings
from .official import CHECKPOINTS, Checkpoint

_SUFFIXES = (".safetensors", ".pt", ".pth")


@dataclass(frozen=True)
class Chosen:
    """Weights that exist: what they are, and the files that hold them and their configuration."""

    weights: LoadedWeights
    path: Path
    config: Path
    card: str
    """Which section of the model card describes them: a name, or ``file``."""


def choose(settings: EngineSettings) -> Chosen:
    """The weights that the settings name.

    Raises:
        LoadError: no such name or file, or a file without a configuration.
        WeightsError: published weights that are not there; the message says how to get them.
    """
    name = settings.sam_2_weights
    if name == DEMO:
        return _demo()
    for checkpoint in CHECKPOINTS:
        if checkpoint.weights.name == name:
            return _published(checkpoint)
    if name.endswith(_SUFFIXES):
        return _file(Path(name), settings.sam_2_config)
    names = ", ".join([DEMO, *(checkpoint.weights.name for checkpoint in CHECKPOINTS)])
    raise LoadError(
        f"DIPTYCH_SAM_2_WEIGHTS: expected one of {names}, or a .safetensors or .pt file, "
        f"got {name!r}"
    )


def read_state(chosen: Chosen) -> Mapping[str, Tensor]:
    """The tensors of the chosen weights, on the CPU.

    Raises:
        WeightsError: the file cannot be read or converted.
    """
    if chosen.path.suffix == ".safetensors":
        return _read(chosen.path)
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "weights.safetensors"
        convert(
            chosen.path, output, converter=[sys.executable, "-m", "diptych_sam2.weights.convert"]
        )
        return _read(output)


def _demo() -> Chosen:
    package = Path(str(resources.files("diptych_sam2")))
    path = package / "weights" / "sam2-demo.safetensors"
    return Chosen(_described(DEMO, path), path, package / "configs" / "demo.yaml", DEMO)


def _published(checkpoint: Checkpoint) -> Chosen:
    name = checkpoint.weights.name
    stored = locate(name, command=f"diptych-sam-2 pull {name}")
    weights = LoadedWeights(name, stored.sha256, stored.url, stored.size_bytes)
    return Chosen(weights, stored.path, packaged_config(checkpoint.config), name)


def _file(path: Path, config: str | None) -> Chosen:
    if not path.is_file():
        raise LoadError(f"DIPTYCH_SAM_2_WEIGHTS: no such file: {path}")
    if not config:
        raise LoadError(
            "DIPTYCH_SAM_2_CONFIG: weights from a file need the configuration they were trained "
            "with, such as configs/sam2.1/sam2.1_hiera_t.yaml"
        )
    candidates = (Path(config), packaged_config(config))
    found = next((candidate for candidate in candidates if candidate.is_file()), None)
    if found is None:
        raise LoadError(
            "DIPTYCH_SAM_2_CONFIG: expected a file or a configuration of the sam2 package, "
            f"got {config!r}"
        )
    return Chosen(_described(path.stem, path), path, found, "file")


def packaged_config(name: str) -> Path:
    """Where a configuration such as ``configs/sam2/sam2_hiera_t.yaml`` lies in the sam2 package."""
    return Path(str(resources.files("sam2"))) / name


def _described(name: str, path: Path) -> LoadedWeights:
    return LoadedWeights(name, bytes.fromhex(file_sha256(path)), "", path.stat().st_size)


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path.name} is not a readable safetensors file: {error}") from error

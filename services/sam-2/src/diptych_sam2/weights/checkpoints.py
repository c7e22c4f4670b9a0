"""From settings to the weights and the configuration that make a model."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from diptych_runtime.weights import WeightsError
from diptych_torch.weights import BundledWeights, ChosenWeights, WeightsSetting

from ..settings import EngineSettings
from .official import CHECKPOINTS

_PACKAGE = Path(__file__).parents[1]
_DEMO = BundledWeights("demo", Path(__file__).with_name("sam2-demo.safetensors"), 3_715_554)
_KEY = "sam_mask_decoder.mask_tokens.weight"  # every SAM 2 has it
_CONFIGS = {checkpoint.weights.name: checkpoint.config for checkpoint in CHECKPOINTS}

WEIGHTS = WeightsSetting(
    variable="DIPTYCH_SAM_2_WEIGHTS",
    program="diptych-sam-2",
    choices={
        "demo": _DEMO,
        **{checkpoint.weights.name: checkpoint.weights for checkpoint in CHECKPOINTS},
    },
    key=_KEY,
)


@dataclass(frozen=True)
class Chosen:
    """Weights that are there, and the file that configures the model they belong to."""

    weights: ChosenWeights
    config: Path


def choose(settings: EngineSettings) -> Chosen:
    """Find the weights and the configuration that the settings name.

    Raises:
        WeightsError: there are none; the message says what to do about it.
    """
    weights = WEIGHTS.choose(settings.sam_2_weights)
    if weights.section == _DEMO.name:
        config = _PACKAGE / "configs" / "demo.yaml"
    elif weights.section in _CONFIGS:
        config = packaged_config(_CONFIGS[weights.section])
    else:
        config = _of_file(settings.sam_2_config)
    return Chosen(weights, config)


def packaged_config(name: str) -> Path:
    """Return where a configuration such as ``configs/sam2/sam2_hiera_t.yaml`` lies in sam2."""
    return Path(str(resources.files("sam2"))) / name


def _of_file(config: str | None) -> Path:
    if not config:
        raise WeightsError(
            "DIPTYCH_SAM_2_CONFIG: weights from a file need the configuration they were trained "
            "with, such as configs/sam2.1/sam2.1_hiera_t.yaml"
        )
    candidates = (Path(config).expanduser(), packaged_config(config))
    found = next((candidate for candidate in candidates if candidate.is_file()), None)
    if found is None:
        raise WeightsError(
            f"DIPTYCH_SAM_2_CONFIG={config!r}: expected a file or a configuration of the sam2 "
            "package"
        )
    return found

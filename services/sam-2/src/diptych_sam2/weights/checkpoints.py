"""From settings to the weights and the configuration that make a model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated

from pydantic import Field
from torch import Tensor

from diptych_runtime.engine import Fact
from diptych_runtime.weights import WeightsError
from diptych_torch.card import FILE
from diptych_torch.side_file import SideFile, read_side_file, side_file_of
from diptych_torch.weights import BundledWeights, ChosenWeights, WeightsSetting, begins_with

from ..settings import EngineSettings
from .official import CHECKPOINTS

_PACKAGE = Path(__file__).parents[1]
_DEMO = BundledWeights("demo", Path(__file__).with_name("sam2-demo.safetensors"), 3_715_554)
_KEY = "sam_mask_decoder.mask_tokens.weight"  # every SAM 2 has it
_TRUNK = "image_encoder.trunk."
_SERIES_KEY = "obj_ptr_tpos_proj.weight"  # only 2.1 has it
_SIZES = {(96, 12): "t", (96, 16): "s", (112, 24): "b+", (144, 48): "l"}
"""Channels and blocks of the trunk by what a configuration's name ends with."""
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


class Told(SideFile):
    """What ``NAME.model.toml`` may say of a SAM 2."""

    config: str | None = None
    """Its configuration, as ``DIPTYCH_SAM_2_CONFIG`` names it; that variable counts first."""
    image_size: Annotated[int, Field(ge=64, le=4096, multiple_of=32)] | None = None
    """The side of the square that pictures are squashed to, in pixels."""


@dataclass(frozen=True)
class Chosen:
    """Weights that are there, and the file that configures the model they belong to."""

    weights: ChosenWeights
    config: Path
    facts: tuple[Fact, ...] = ()
    image_size: int | None = None
    """Where it is not the configuration's."""


def choose(settings: EngineSettings) -> Chosen:
    """Find the weights and the configuration that the settings name.

    Raises:
        WeightsError: there are none; the message says what to do about it.
    """
    weights = WEIGHTS.choose(settings.sam_2_weights)
    if weights.section == _DEMO.name:
        return Chosen(weights, _PACKAGE / "configs" / "demo.yaml")
    if weights.section != FILE:
        return Chosen(weights, packaged_config(_CONFIGS[weights.section]))
    told = read_side_file(weights.path, Told)
    side_file = side_file_of(weights.path).name
    if settings.sam_2_config:
        config = _named(settings.sam_2_config, "DIPTYCH_SAM_2_CONFIG=")
    elif told.config:
        config = _named(told.config, f"{side_file}: config = ")
    else:
        config = _read_off(weights)
    named = bool(settings.sam_2_config or told.config)
    return Chosen(
        weights,
        config,
        (Fact("configuration", config.name, "told" if named else "known", side_file),),
        told.image_size,
    )


def size_fact(chosen: Chosen, image_size: int) -> Fact:
    """Say the size that a loaded model sees pictures at, which its weights hold no trace of."""
    if not chosen.facts:
        return Fact("image_size", str(image_size), "known")
    (config,) = chosen.facts
    told = chosen.image_size is not None or config.origin == "told"
    return Fact("image_size", str(image_size), "told" if told else "assumed", config.file)


def packaged_config(name: str) -> Path:
    """Return where a configuration such as ``configs/sam2/sam2_hiera_t.yaml`` lies in sam2."""
    return Path(str(resources.files("sam2"))) / name


def _named(config: str, said: str) -> Path:
    """Find a configuration by a path, by its place in the sam2 package, or by its name alone."""
    name = Path(config).name.removesuffix(".yaml")
    short = {Path(known).name.removesuffix(".yaml"): known for known in _CONFIGS.values()}
    candidates = [Path(config).expanduser(), packaged_config(config)]
    if known := (short | _CONFIGS).get(name):
        candidates.append(packaged_config(known))
    found = next((candidate for candidate in candidates if candidate.is_file()), None)
    if found is None:
        raise WeightsError(
            f"{said}{config!r}: expected a file or a configuration of the sam2 package, one of "
            f"{', '.join(sorted(short))}"
        )
    return found


def _read_off(weights: ChosenWeights) -> Path:
    """Find the published configuration of which weights have the shapes."""
    state = weights.read_state()
    if _KEY not in state:
        raise WeightsError(
            f"these are no weights of SAM 2 as the sam2 package names them: {_KEY} is missing, "
            f"they begin with {begins_with(state)}"
        )
    series = "sam2.1" if _SERIES_KEY in state else "sam2"
    size = _SIZES.get(_trunk_size(state))
    if size is None:
        raise WeightsError(
            "DIPTYCH_SAM_2_CONFIG: weights from a file need the configuration they were trained "
            "with, such as sam2.1_hiera_t, unless they have the shapes of a published one"
        )
    return packaged_config(f"configs/{series}/{series}_hiera_{size}.yaml")


def _trunk_size(state: Mapping[str, Tensor]) -> tuple[int, int]:
    position = state.get(f"{_TRUNK}pos_embed")
    blocks = {match[1] for key in state if (match := re.match(rf"{_TRUNK}blocks\.(\d+)\.", key))}
    return (position.shape[1] if position is not None else 0), len(blocks)

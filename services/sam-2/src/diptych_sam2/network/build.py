"""Builds the plain SAM 2 model from a configuration and a state dict."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor
from yaml import YAMLError  # type: ignore[import-untyped]

from diptych_runtime.engine import LoadError
from diptych_torch.weights import load_into

_POSTPROCESSING = {
    "dynamic_multimask_via_stability": True,
    "dynamic_multimask_stability_delta": 0.05,
    "dynamic_multimask_stability_thresh": 0.98,
}
"""What ``build_sam2`` sets by default: a single mask that is not stable gives way to the best of
the three."""


class ModelError(LoadError):
    """A configuration from which no model can be built; the message is one line."""


def build_model(config: Path, state: Mapping[str, Tensor] | None = None) -> SAM2Base:
    """Build the model of a YAML file of the sam2 package's form, as ``build_sam2`` does.

    Reads the file directly instead of through hydra's search path, which is global to a process.

    Args:
        config: A file with a ``model`` node.
        state: Weights; floats become float32. ``None`` leaves random ones.

    Raises:
        ModelError: the file is no such configuration.
        WeightsError: the weights do not fit it.
    """
    try:
        model = _instantiated(config)
    except (OSError, YAMLError, OmegaConfBaseException, HydraException) as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(f"{config} is not a configuration of SAM 2: {reason}") from error
    if not isinstance(model, SAM2Base):
        raise ModelError(
            f"{config} is not a configuration of SAM 2: it makes a {type(model).__name__}"
        )
    if state is not None:
        load_into(model, state, config.name)
    return model.eval()


def _instantiated(config: Path) -> Any:
    tree = OmegaConf.load(config)
    OmegaConf.update(tree, "model.sam_mask_decoder_extra_args", _POSTPROCESSING, force_add=True)
    OmegaConf.update(tree, "model.compile_image_encoder", False, force_add=True)
    OmegaConf.resolve(tree)
    return instantiate(tree.model, _recursive_=True)

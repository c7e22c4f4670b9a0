"""Builds the plain SAM 2 model from a configuration and a state dict."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from diptych_torch.weights import load_into

from .configuration import ModelError, build, read_configuration

_DECODER_ARGS = "sam_mask_decoder_extra_args"
_POSTPROCESSING = {
    "dynamic_multimask_via_stability": True,
    "dynamic_multimask_stability_delta": 0.05,
    "dynamic_multimask_stability_thresh": 0.98,
}
"""What ``build_sam2`` sets by default: a single mask that is not stable gives way to the best of
the three."""


def build_model(config: Path, state: Mapping[str, Tensor] | None = None) -> SAM2Base:
    """Build the model of a YAML file of the sam2 package's form, as ``build_sam2`` does.

    Reads the file as data instead of through hydra, which would call what it names.

    Args:
        config: A file with a ``model`` node.
        state: Weights; floats become float32. ``None`` leaves random ones.

    Raises:
        ModelError: the file is no such configuration.
        WeightsError: the weights do not fit it.
    """
    described = read_configuration(config).get("model")
    if isinstance(described, dict):
        given = described.get(_DECODER_ARGS)
        described[_DECODER_ARGS] = {**(given if isinstance(given, dict) else {}), **_POSTPROCESSING}
        described["compile_image_encoder"] = False
    model = build(config, described)
    if not isinstance(model, SAM2Base):
        raise ModelError(
            f"{config} is not a configuration of SAM 2: it makes a {type(model).__name__}"
        )
    if state is not None:
        load_into(model, state, config.name)
    return model.eval()

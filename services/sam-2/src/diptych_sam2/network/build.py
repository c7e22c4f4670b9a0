"""Builds the plain SAM 2 model from a configuration and a state dict."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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


_CELL = 16  # pixels of a picture for one of the features that memories are compared with


def build_model(
    config: Path, state: Mapping[str, Tensor] | None = None, image_size: int | None = None
) -> SAM2Base:
    """Build the model of a YAML file of the sam2 package's form, as ``build_sam2`` does.

    Reads the file as data instead of through hydra, which would call what it names.

    Args:
        config: A file with a ``model`` node.
        state: Weights; floats become float32. ``None`` leaves random ones.
        image_size: The side of the square that pictures are squashed to, in pixels, a multiple of
            32; that of the configuration by default.

    Raises:
        ModelError: the file is no such configuration.
        WeightsError: the weights do not fit it.
    """
    tree = read_configuration(config)
    if "model" not in tree and "trainer" in tree:
        raise ModelError(
            f"{config} is a configuration for training; name the one for inference of the same "
            "network, such as sam2.1_hiera_b+"
        )
    described = tree.get("model")
    if isinstance(described, dict):
        given = described.get(_DECODER_ARGS)
        described[_DECODER_ARGS] = {**(given if isinstance(given, dict) else {}), **_POSTPROCESSING}
        described["compile_image_encoder"] = False
        if image_size is not None:
            _resize(described, image_size)
    model = build(config, described)
    if not isinstance(model, SAM2Base):
        raise ModelError(
            f"{config} is not a configuration of SAM 2: it makes a {type(model).__name__}"
        )
    if state is not None:
        load_into(model, state, config.name)
    return model.eval()


def _resize(node: Any, image_size: int) -> None:
    """Write another size of pictures into a description, with what follows from it."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "image_size":
                node[key] = image_size
            elif key == "feat_sizes":
                node[key] = [image_size // _CELL] * 2
            else:
                _resize(value, image_size)

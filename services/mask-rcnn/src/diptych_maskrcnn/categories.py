"""Which label of a network means what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from torchvision.models.detection import (
    KeypointRCNN_ResNet50_FPN_Weights,
    MaskRCNN_ResNet50_FPN_Weights,
)

from diptych_runtime.weights import WeightsError

from .network.demo_model import DEMO_CATEGORIES

_BACKGROUND = frozenset({"background", "__background__", "_background_"})

DEMO: Mapping[int, str] = dict(enumerate(DEMO_CATEGORIES, start=1))
"""Label to name for the demo weights."""

COCO: Mapping[int, str] = {
    label: name
    for label, name in enumerate(MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"])
    if label > 0 and name != "N/A"
}
"""COCO category id to name: 80 names, ids from 1 to 90. The labels between were never trained."""

KEYPOINT_NAMES: tuple[str, ...] = tuple(
    KeypointRCNN_ResNet50_FPN_Weights.COCO_V1.meta["keypoint_names"]
)
"""The 17 points of a COCO person."""

KEYPOINT_EDGES: tuple[tuple[int, int], ...] = (
    *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8)),
    *((7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
)
"""The skeleton of COCO's annotations, as indices into ``KEYPOINT_NAMES``."""


def read_categories(weights: Path, labels: int) -> dict[int, str]:
    """Read the names of a fine-tuned file's labels from the list beside it.

    ``NAME.classes.txt`` has one name per line, for label 1 and on. ``NAME.classes.json`` is a list
    of names, or has ``categories`` with ``id`` and ``name`` as COCO files do.

    Args:
        weights: The weights file ``NAME.safetensors`` or ``NAME.pth``.
        labels: Labels of the network, the background included.

    Raises:
        WeightsError: no list, or one that does not fit the network.
    """
    text, data = (weights.with_suffix(f".classes.{kind}") for kind in ("txt", "json"))
    try:
        if text.exists():
            lines = (line.strip() for line in text.read_text(encoding="utf-8").splitlines())
            found, path = _numbered([line for line in lines if line]), text
        elif data.exists():
            found, path = _from_json(json.loads(data.read_text(encoding="utf-8"))), data
        else:
            raise WeightsError(
                f"{weights.name} needs its class names: put {text.name} (one a line) or "
                f"{data.name} beside it"
            )
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{data.name} is not a list of names or a COCO file with categories"
        ) from error
    outside = [label for label in found if not 0 < label < labels]
    if outside or not found:
        raise WeightsError(
            f"{path.name} names labels {sorted(found)[:3]} to {max(found, default=0)}, "
            f"{weights.name} has labels 1 to {labels - 1}"
        )
    if path is text and len(found) != labels - 1:
        raise WeightsError(
            f"{path.name} has {len(found)} names, {weights.name} has {labels - 1} labels "
            "without the background"
        )
    return found


def _numbered(names: list[str]) -> dict[int, str]:
    start = 0 if names and names[0].lower() in _BACKGROUND else 1
    return {label: name for label, name in enumerate(names, start) if label > 0}


def _from_json(content: object) -> dict[int, str]:
    if isinstance(content, dict):
        content = content["categories"]
    if not isinstance(content, list):
        raise TypeError("not a list")
    if all(isinstance(item, str) for item in content):
        return _numbered(content)
    return {int(item["id"]): str(item["name"]) for item in content}

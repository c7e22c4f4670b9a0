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
from .network.told import Given

_BACKGROUND = frozenset({"background", "__background__", "_background_"})

DEMO: Mapping[int, str] = dict(enumerate(DEMO_CATEGORIES, start=1))
"""Label to name for the demo weights."""

COCO: Mapping[int, str] = {
    label: name
    for label, name in enumerate(MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"])
    if label > 0 and name != "N/A"
}
"""COCO category id to name: 80 names, ids from 1 to 90. The labels between were never trained."""

PERSON: Mapping[int, str] = {1: "person"}
"""The labels of the published keypoint network."""

KEYPOINT_NAMES: tuple[str, ...] = tuple(
    KeypointRCNN_ResNet50_FPN_Weights.COCO_V1.meta["keypoint_names"]
)
"""The 17 points of a COCO person."""

KEYPOINT_EDGES: tuple[tuple[int, int], ...] = (
    *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8)),
    *((7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
)
"""The skeleton of COCO's annotations, as indices into ``KEYPOINT_NAMES``."""


def keypoint_names(points: int, given: Given) -> tuple[str, ...]:
    """Name the points of a keypoint network: as told, else COCO's if there are as many.

    Raises:
        WeightsError: there are more or fewer names, or two alike.
    """
    names = given.told.keypoint_names
    if names is None:
        usual = points == len(KEYPOINT_NAMES)
        return KEYPOINT_NAMES if usual else tuple(f"point {n}" for n in range(1, points + 1))
    if len(set(names)) != points or len(names) != points:
        raise WeightsError(
            f"{given.file}: keypoint_names has {len(names)} names, {len(set(names))} of them "
            f"different; the network has {points} points"
        )
    return tuple(names)


def keypoint_edges(points: int, given: Given) -> tuple[tuple[int, int], ...]:
    """Say which points drawings join: as told, else COCO's for COCO's points.

    Raises:
        WeightsError: an edge leads to a point that is not there.
    """
    edges = given.told.keypoint_edges
    if edges is None:
        alike = keypoint_names(points, given) == KEYPOINT_NAMES
        return KEYPOINT_EDGES if alike else ()
    outside = [edge for edge in edges if max(edge) >= points]
    if outside:
        raise WeightsError(
            f"{given.file}: keypoint_edges has {outside[0]}, the network has points 0 to "
            f"{points - 1}"
        )
    return tuple((first, last) for first, last in edges)


def lists_of(weights: Path) -> tuple[Path, Path]:
    """Return where the list of a weights file's class names may be, as text and as JSON."""
    return weights.with_suffix(".classes.txt"), weights.with_suffix(".classes.json")


def read_categories(weights: Path, labels: int) -> dict[int, str]:
    """Read the names of a fine-tuned file's labels from the list beside it.

    ``NAME.classes.txt`` has one name per line, for label 1 and on. ``NAME.classes.json`` is a list
    of names, has them by label, or has ``categories`` with ``id`` and ``name`` as COCO files do.

    Args:
        weights: The weights file ``NAME.safetensors`` or ``NAME.pth``.
        labels: Labels of the network, the background included.

    Raises:
        WeightsError: no list, or one that does not fit the network.
    """
    text, data = lists_of(weights)
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
            f"{data.name} is not a list of names, names by label, or a COCO file with categories"
        ) from error
    outside = [label for label in found if not 0 < label < labels]
    if outside or not found:
        background = " (0 is the background)" if 0 in outside else ""
        raise WeightsError(
            f"{path.name} names labels {sorted(found)[:3]} to {max(found, default=0)}, "
            f"{weights.name} has labels 1 to {labels - 1}{background}"
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
    if isinstance(content, dict) and "categories" not in content:
        if not all(isinstance(name, str) for name in content.values()):
            raise TypeError("not names")
        by_label = {int(label): name for label, name in content.items()}
        if by_label.get(0, "").lower() in _BACKGROUND:
            del by_label[0]
        return by_label
    if isinstance(content, dict):
        content = content["categories"]
    if not isinstance(content, list):
        raise TypeError("not a list")
    if all(isinstance(item, str) for item in content):
        return _numbered(content)
    return {int(item["id"]): str(item["name"]) for item in content}

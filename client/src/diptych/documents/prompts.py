"""JSON documents into prompts, with the names that HTTP has for them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from .._arguments import make_box, make_point
from .._types.prompts import LowResLogits, Prompt
from ..masks.mask import Mask

_PARTS = frozenset({"points", "box", "mask"})


def prompts_from_json(text: str | bytes) -> list[Prompt]:
    """Read a list of objects, each with ``points``, ``box`` and ``mask``, as ``prompts`` of HTTP.

    Raises:
        ValueError: it is no such list; the message says what is wrong and where.
    """
    entries = json.loads(text)
    if not isinstance(entries, list) or not entries:
        raise ValueError("prompts: expected a list with at least one object, got something else")
    return [_prompt(entry, f"prompts[{index}]") for index, entry in enumerate(entries)]


def _prompt(entry: Any, path: str) -> Prompt:
    if not isinstance(entry, dict) or not _PARTS.issuperset(entry):
        raise ValueError(f"{path}: expected an object with points, box and mask, or some of them")
    box, mask = entry.get("box"), entry.get("mask")
    try:
        return Prompt(
            tuple(make_point(tuple(point)) for point in entry.get("points", ())),
            None if box is None else make_box(tuple(box)),
            None if mask is None else _mask(mask),
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def _mask(document: Mapping[str, Any]) -> Mask | LowResLogits:
    try:
        if "counts" in document:
            height, width = document["size"]
            return Mask.from_coco(document["counts"], (height, width))
        if "png" in document:
            return Mask.from_png(base64.b64decode(document["png"], validate=True))
        numbers = base64.b64decode(document["float16_le"], validate=True)
        return LowResLogits(document["height"], document["width"], numbers)
    except KeyError as error:
        raise ValueError(f"mask: expected one with {error}, got none") from error

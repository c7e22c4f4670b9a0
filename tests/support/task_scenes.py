"""A drawn scene, and what an annotator draws on it as Label Studio's page sends it."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diptych import Box, Mask
from diptych.masks.brush import label_studio

CONFIG = """<View>
  <Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image">
    <Label value="Thing"/><Label value="Round" predicted_values="ring,triangle"/>
  </BrushLabels>
  <KeyPointLabels name="points" toName="image" smart="true">
    <Label value="Thing"/><Label value="Round"/>
  </KeyPointLabels>
  <RectangleLabels name="boxes" toName="image" smart="true">
    <Label value="Thing"/><Label value="Round"/>
  </RectangleLabels>
</View>"""
_SCENES = Path(__file__).resolve().parents[1] / "assets/scenes"


@dataclass(frozen=True)
class TaskScene:
    """A picture with an object that the demo weights know."""

    file: bytes
    size: tuple[int, int]
    middle: tuple[float, float]
    """A point on the object."""
    box: tuple[float, float, float, float]


def _scene(number: int) -> TaskScene:
    file = (_SCENES / f"{number}.png").read_bytes()
    labels = np.asarray(Image.open(_SCENES / f"{number}-labels.png"))
    with Image.open(io.BytesIO(file)) as picture:
        size = (picture.height, picture.width)
    values, counts = np.unique(labels[labels > 0], return_counts=True)
    y, x = np.nonzero(labels == values[counts.argmax()])
    nearest = ((x - x.mean()) ** 2 + (y - y.mean()) ** 2).argmin()
    box = (float(x.min()), float(y.min()), float(x.max() + 1), float(y.max() + 1))
    return TaskScene(file, size, (float(x[nearest]) + 0.5, float(y[nearest]) + 0.5), box)


SCENE = _scene(0)


def _region(kind: str, value: dict[str, Any], name: str) -> dict[str, Any]:
    height, width = SCENE.size
    return {
        "id": name,
        "from_name": {"keypoint": "points", "rectangle": "boxes"}.get(kind, kind),
        "to_name": "image",
        "type": f"{kind}labels",
        "origin": "manual",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {**value, f"{kind}labels": ["Thing"]},
    }


def point(x: float, y: float, positive: bool = True) -> dict[str, Any]:
    """A key point; with Alt held it is off the object."""
    height, width = SCENE.size
    value = {"x": x * 100 / width, "y": y * 100 / height, "width": 0.5, "labels": ["Thing"]}
    return {**_region("keypoint", value, f"p{x:g}-{y:g}"), "is_positive": positive}


def rectangle(box: Box) -> dict[str, Any]:
    """A box."""
    height, width = SCENE.size
    x, y, wide, high = box.xywh
    value = {
        "x": x * 100 / width,
        "y": y * 100 / height,
        "width": wide * 100 / width,
        "height": high * 100 / height,
        "rotation": 0,
    }
    return _region("rectangle", value, "r1")


def stroke(middle: tuple[float, float]) -> dict[str, Any]:
    """A dab of the brush."""
    painted = np.zeros(SCENE.size, np.bool_)
    x, y = map(int, middle)
    painted[y - 3 : y + 4, x - 3 : x + 4] = True
    rle = label_studio(Mask.from_array(painted))
    return _region("brush", {"format": "rle", "rle": json.loads(json.dumps(rle))}, "b1")


def brush_pixels(region: dict[str, Any]) -> NDArray[np.bool_]:
    """The pixels of a brush region, by the tool's own way of reading them, written again here."""
    bits = np.unpackbits(np.array(region["value"]["rle"], np.uint8))
    at = 0

    def read(count: int) -> int:
        nonlocal at
        at += count
        return int("".join(map(str, bits[at - count : at])), 2)

    total, word = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    out = np.zeros(total, np.uint8)
    place = 0
    while place < total:
        same = read(1)
        stop = place + 1 + read(sizes[read(2)])
        if same:
            out[place:stop] = read(word)
        else:
            out[place:stop] = [read(word) for _ in range(stop - place)]
        place = stop
    height, width = region["original_height"], region["original_width"]
    return out.reshape(height, width, 4)[..., 3] > 127


def ask(backend: str, image: Any, config: str, drawn: Any = ()) -> httpx.Response:
    """What Label Studio's server sends, without it."""
    body = {
        "tasks": [{"id": 1, "data": {"image": image}}],
        "project": "1.2",
        "label_config": config,
        "params": {"login": None, "password": None, "context": {"result": list(drawn)}},
    }
    return httpx.post(f"{backend}/predict", content=json.dumps(body), timeout=60)

"""Clips to follow objects through: drawn ones, whose truth is known, and frames from a folder."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
Pixels = NDArray[np.uint8]


def drawn(seed: int, frames: int, *, speed: float = 5) -> list[tuple[Pixels, Pixels]]:
    """Pictures of 256 x 256 pixels and their labels; objects drift and bounce off the edges."""
    clip: list[tuple[Pixels, Pixels]] = _scenes().clip(seed, frames, speed=speed)
    return clip


def box_of(labels: Pixels, value: int) -> tuple[float, float, float, float]:
    """The smallest box around what has this label."""
    rows, columns = np.nonzero(labels == value)
    return (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def encoded(pixels: Pixels, quality: int = 95) -> bytes:
    """A JPEG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()


def photographed(count: int) -> Iterator[Pixels]:
    """Frames of a real clip: those of the folder ``bedroom`` in ``DIPTYCH_TEST_DATA``, or a window
    that moves over a photograph of scikit-image."""
    folder = Path(os.environ.get("DIPTYCH_TEST_DATA", "")) / "bedroom"
    paths = sorted(folder.glob("*.jpg"))[:count]
    if len(paths) == count:
        for path in paths:
            yield np.asarray(Image.open(path).convert("RGB"))
        return
    picture = importlib.import_module("skimage.data").astronaut()
    for number in range(count):
        yield np.ascontiguousarray(picture[8 : 8 + 384, 4 * number : 4 * number + 400])


def _scenes() -> Any:
    sys.path.insert(0, str(ROOT / "demo-weights"))
    try:
        return importlib.import_module("scenes")
    finally:
        sys.path.pop(0)

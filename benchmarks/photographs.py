"""Real photographs as JPEG files."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data

_NAMES = ("coffee", "astronaut", "rocket", "chelsea")


def photographs() -> Iterator[tuple[str, bytes]]:
    """Names and files: those of the folder ``DIPTYCH_TEST_DATA``, else the photographs that come
    with scikit-image."""
    folder = os.environ.get("DIPTYCH_TEST_DATA")
    if folder:
        for path in sorted(Path(folder).glob("*.jp*g")):
            yield path.stem, path.read_bytes()
        return
    for name in _NAMES:
        yield name, encoded(getattr(data, name)())


def full_hd() -> bytes:
    """A photograph of 1920 x 1080 pixels, enlarged if there is no larger one."""
    _, file = next(photographs())
    return encoded(np.asarray(Image.open(io.BytesIO(file)).convert("RGB").resize((1920, 1080))))


def encoded(pixels: NDArray[np.uint8]) -> bytes:
    """A JPEG file of RGB pixels."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=92)
    return file.getvalue()

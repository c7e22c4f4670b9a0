"""Frames of a video on their way to the network.

Video has a preprocessing of its own: stock resizes 8-bit pixels with Pillow's bicubic filter, where
still images are resized as floats.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from diptych_runtime.engine import Pixels

from .image import MEAN, STD

Square: TypeAlias = NDArray[np.uint8]
"""``(side, side, 3)`` RGB: a frame squashed to the network's input."""


def squashed(pixels: Pixels, side: int) -> Square:
    """Resize a frame, ``(height, width, 3)`` uint8 RGB of any size, as ``load_video_frames`` of
    sam2 does, bit for bit."""
    image = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(image)


def normalised(square: Square) -> Tensor:
    """Normalise a frame as ``load_video_frames`` of sam2 does: ``(1, 3, side, side)`` float32 on
    the CPU."""
    planes = [_levels(channel)[square[:, :, channel]] for channel in range(3)]
    return torch.from_numpy(np.stack(planes)[None])


def _levels(channel: int) -> NDArray[np.float32]:
    """The normalised value of each of the 256 levels, rounded in the same places as stock."""
    unit = (np.arange(256) / 255.0).astype(np.float32)
    return (unit - np.float32(MEAN[channel])) / np.float32(STD[channel])

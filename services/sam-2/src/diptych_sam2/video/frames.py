"""Frames on their way to the network.

Video has a preprocessing of its own: stock resizes 8-bit pixels with Pillow's bicubic filter, where
still pictures are resized as floats.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from diptych_runtime.engine import Pixels

Square: TypeAlias = NDArray[np.uint8]
"""``(side, side, 3)`` RGB: a frame squashed to the network's input."""

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


def squashed(pixels: Pixels, side: int) -> Square:
    """A frame of any size as ``load_video_frames`` of sam2 resizes it, bit for bit."""
    image = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(image)


def normalised(square: Square) -> Tensor:
    """``(1, 3, side, side)`` float32 on the CPU, as ``load_video_frames`` of sam2 makes it."""
    planes = [_levels(channel)[square[:, :, channel]] for channel in range(3)]
    return torch.from_numpy(np.stack(planes)[None])


def _levels(channel: int) -> NDArray[np.float32]:
    """The normalised value of each of the 256 levels, rounded in the same places as stock."""
    unit = (np.arange(256) / 255.0).astype(np.float32)
    return (unit - np.float32(_MEAN[channel])) / np.float32(_STD[channel])

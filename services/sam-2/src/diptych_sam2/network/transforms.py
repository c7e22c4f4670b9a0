"""Between a picture's pixels and the network's square.

Pictures are squashed to a square without letterbox, so x and y scale differently.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diptych import Mask
from diptych_runtime.engine import Pixels

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
_MASK_LOGIT = 10.0


def normalised_square(pixels: Pixels, side: int) -> Tensor:
    """``(1, 3, side, side)`` float32 on the CPU, as ``SAM2Transforms`` makes it bit for bit:
    divided by 255, resized bilinearly with antialiasing, then normalised."""
    planes = [_resized(pixels[:, :, channel], side) for channel in range(3)]
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (_MEAN, _STD))
    return torch.stack(planes).sub_(mean).div_(std)[None]


def _resized(plane: np.ndarray[tuple[int, int], np.dtype[np.uint8]], side: int) -> Tensor:
    # One channel at a time: a picture of 50 MP as float32 is 600 MB, a third of it 200 MB.
    levels = torch.from_numpy(np.array(plane, order="C")).float().div_(255)
    if levels.shape == (side, side):
        return levels
    return F.interpolate(
        levels[None, None], (side, side), mode="bilinear", align_corners=False, antialias=True
    )[0, 0]


def to_square(points: Tensor, size: tuple[int, int], side: int) -> Tensor:
    """``(..., 2)`` x and y in pixels of a picture of ``size`` (height, width) to the square's."""
    height, width = size
    return points / points.new_tensor([width, height]) * side


def mask_logits(mask: Mask, side: int) -> Tensor:
    """``(side / 4, side / 4)`` logits of a full mask, made as SAM 2 makes them for a video:
    resized to the square, cut at one half, turned into plus and minus 10, reduced fourfold; both
    resizings are bilinear with antialiasing."""
    plane = torch.from_numpy(mask.to_array())[None, None].float()
    if plane.shape[-2:] != (side, side):
        plane = F.interpolate(
            plane, (side, side), mode="bilinear", align_corners=False, antialias=True
        )
        plane = (plane >= 0.5).float()
    logits = plane * (2 * _MASK_LOGIT) - _MASK_LOGIT
    low = (side // 4, side // 4)
    return F.interpolate(logits, low, mode="bilinear", align_corners=False, antialias=True)[0, 0]

"""Prompts in a video: what is refused, and what the network gets."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diptych import Box, LowResLogits, Mask, Point, Prompt
from diptych_runtime.engine import Reason, ServiceError, invalid

from ..network.image import mask_logits, squared_mask, to_square
from ..network.video import PromptInputs

_BOX_CORNERS = (2, 3)


def check_prompt(prompt: Prompt, size: tuple[int, int]) -> None:
    """Refuse what a frame of ``size`` (height, width) cannot be prompted with.

    Raises:
        ServiceError: ``PROMPT_INVALID`` with the field.
    """
    if isinstance(prompt.mask, LowResLogits):
        raise _invalid("mask.low_res_logits", "expected a mask of the frame, got logits")
    if prompt.mask is not None and prompt.mask.size != size:
        text = f"expected {size[1]} x {size[0]}, got {prompt.mask.size[1]} x {prompt.mask.size[0]}"
        raise _invalid("mask.mask", text)
    if prompt.mask is None and prompt.box is None and not prompt.points:
        raise _invalid("", "expected points, a box or a mask, got none of them")
    for index, point in enumerate(prompt.points):
        if not _inside((point.x, point.y), size):
            text = f"expected a point of the frame, got {point.x}, {point.y}"
            raise _invalid(f"points[{index}]", text)
    if prompt.box is not None:
        _check_box(prompt.box, size)


def prompt_inputs(
    prompt: Prompt, size: tuple[int, int], side: int, device: torch.device
) -> PromptInputs:
    """Prepare a checked prompt for a network of ``side`` pixels, as ``SAM2VideoPredictor`` does.

    ``size`` is the frame's height and width in pixels."""
    mask = prompt.mask if isinstance(prompt.mask, Mask) else None
    if mask is not None and not prompt.points and prompt.box is None:
        return PromptInputs(None, squared_mask(mask, side).to(device))
    points, labels = _points(prompt.points, prompt.box)
    coordinates = to_square(points, size, side)
    at = (coordinates[None].to(device), labels[None].to(device))
    guess = None if mask is None else mask_logits(mask, side)[None, None].to(device)
    return PromptInputs(at, None, guess)


def _points(points: tuple[Point, ...], box: Box | None) -> tuple[Tensor, Tensor]:
    """``(n, 2)`` coordinates and ``(n,)`` labels; the network wants a box's corners first."""
    coordinates = [(point.x, point.y) for point in points]
    labels = [int(point.positive) for point in points]
    if box is not None:
        corners = [(box.x_min, box.y_min), (box.x_max, box.y_max)]
        coordinates = [*corners, *coordinates]
        labels = [*_BOX_CORNERS, *labels]
    return torch.tensor(coordinates, dtype=torch.float32), torch.tensor(labels, dtype=torch.int32)


def _check_box(box: Box, size: tuple[int, int]) -> None:
    corners = ((box.x_min, box.y_min), (box.x_max, box.y_max))
    if not all(_inside(corner, size) for corner in corners):
        raise _invalid("box", f"expected a box inside the frame, got {_text(box)}")
    if box.x_min >= box.x_max or box.y_min >= box.y_max:
        raise _invalid("box", f"expected x_min < x_max and y_min < y_max, got {_text(box)}")


def _inside(point: tuple[float, float], size: tuple[int, int]) -> bool:
    (x, y), (height, width) = point, size
    return math.isfinite(x) and math.isfinite(y) and 0 <= x <= width and 0 <= y <= height


def _text(box: Box) -> str:
    return ", ".join(map(str, box.xyxy))


def _invalid(field: str, text: str) -> ServiceError:
    return invalid(Reason.PROMPT_INVALID, f"prompt.{field}".rstrip("."), text)

"""Prompts in rounds, as somebody gives them who looks at each answer: for the training of SAM 2."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from click_bank import LIMIT, SIDE
from clicker import deepest, next_click
from common import Bools, box_of
from numpy.typing import NDArray
from prompts import BOX_NOISE, CORNER, OFF, ON, OPPOSITE
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

CENTRE_SHARE = 0.65  # of clicks that are where the evaluation's clicker clicks


@dataclass
class Asked:
    """P objects, what has been asked of them and what was answered."""

    embedding: Tensor  # (P, C, 16, 16)
    high_res: list[Tensor]  # finer maps of each, with gradients
    truth: Tensor  # (P, S, S) bool
    coords: Tensor  # (P, T, 2)
    labels: Tensor  # (P, T) int32
    logits: Tensor | None  # (P, 1, 64, 64) that go with the points
    free: Bools  # (P, S, S), pixels not clicked yet


def pixel(region: Bools, rng: np.random.Generator) -> tuple[int, int]:
    """Row and column of a random pixel of a non-empty region."""
    ys, xs = np.nonzero(region)
    index = rng.integers(len(ys))
    return int(ys[index]), int(xs[index])


def another_click(
    answer: Bools, truth: Bools, free: Bools, rng: np.random.Generator
) -> tuple[NDArray[np.float64], bool]:
    """The clicker's click, or one by chance in what is wrong; in the object if nothing is."""
    wrong = (answer != truth) & free
    if rng.random() < CENTRE_SHARE:
        click = next_click(answer, truth, free)
        if click is not None:
            return click
    y, x = pixel(wrong if wrong.any() else truth, rng)
    free[y, x] = False
    return np.array([x + 0.5, y + 0.5]), bool(truth[y, x])


def rough(truth: Bools, rng: np.random.Generator) -> Tensor:
    """(1, 64, 64) logits of plus and minus ten of a mask that is shifted and worn by chance."""
    moved = np.roll(truth, rng.integers(-8, 9, 2), (0, 1)) if rng.random() < 0.7 else truth
    share = F.avg_pool2d(torch.from_numpy(moved)[None].float(), len(truth) // SIDE)
    if rng.random() < 0.5:
        around = 2 * int(rng.integers(1, 3)) + 1
        share = F.avg_pool2d(share, around, 1, around // 2, count_include_pad=False)
    return (share > rng.uniform(0.2, 0.8)).float() * 20 - 10


def begin(
    kind: str, truths: list[Bools], rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor | None, Bools]:
    """Points, labels, logits and free pixels of the first round."""
    free = np.ones((len(truths), *truths[0].shape), bool)
    if kind == "mask":
        none = torch.zeros(len(truths), 0, 2), torch.zeros(len(truths), 0, dtype=torch.int32)
        return *none, torch.stack([rough(truth, rng) for truth in truths]), free
    coords, labels = list[NDArray[np.float64]](), [ON]
    for truth, open_ in zip(truths, free, strict=True):
        if kind == "box":
            corners = box_of(truth).reshape(2, 2)
            noise = rng.normal(0, BOX_NOISE, (2, 2)) * (corners[1] - corners[0])
            coords.append(corners + noise * (rng.random() < 0.6))
            labels = [CORNER, OPPOSITE]
        else:
            _, y, x = deepest(truth, open_)
            if rng.random() < 0.5:
                y, x = pixel(truth, rng)
            open_[y, x] = False
            coords.append(np.array([[x + 0.5, y + 0.5]]))
    rows = torch.tensor([labels] * len(truths), dtype=torch.int32)
    return torch.from_numpy(np.stack(coords)).float(), rows, None, free


def answer(model: SAM2Base, asked: Asked) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """All four masks (P, 4, 64, 64), their quality, the tokens and the object score."""
    points = (asked.coords, asked.labels) if asked.coords.shape[1] else None
    sparse, dense = model.sam_prompt_encoder(points=points, boxes=None, masks=asked.logits)
    masks, quality, tokens, score = model.sam_mask_decoder.predict_masks(
        asked.embedding,
        model.sam_prompt_encoder.get_dense_pe(),
        sparse,
        dense,
        False,
        asked.high_res,
    )
    return masks, quality, tokens, score


@torch.no_grad()
def chosen(model: SAM2Base, masks: Tensor, quality: Tensor, several: bool) -> Tensor:
    """The logits (P, 1, 64, 64) that a predictor would answer with, clamped."""
    if several:
        best = quality[:, 1:].argmax(1) + 1
        picked = masks[torch.arange(len(masks)), best][:, None]
    else:
        picked, _ = model.sam_mask_decoder._dynamic_multimask_via_stability(masks, quality)
    return picked.detach().clamp(-LIMIT, LIMIT)


def click_on(asked: Asked, logits: Tensor, fed: bool, rng: np.random.Generator) -> None:
    """Add one click to each object, where ``logits`` are wrong; with ``fed`` they go along."""
    size = asked.truth.shape[-2:]
    now = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)[:, 0] > 0
    clicks = [
        another_click(*each, rng)
        for each in zip(now.numpy(), asked.truth.numpy(), asked.free, strict=True)
    ]
    coords = torch.from_numpy(np.stack([xy for xy, _ in clicks])).float()[:, None]
    labels = torch.tensor([[ON if on else OFF] for _, on in clicks], dtype=torch.int32)
    asked.coords = torch.cat([asked.coords, coords], 1)
    asked.labels = torch.cat([asked.labels, labels], 1)
    asked.logits = logits if fed else None

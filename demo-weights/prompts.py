"""Pictures with random prompts for the training of SAM 2."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from common import HELD_BACK, Bools, box_of
from numpy.typing import NDArray
from pool import Pool
from torch import Tensor

MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]

OFF, ON, CORNER, OPPOSITE = 0, 1, 2, 3  # SAM's labels of points
BACKGROUND_SHARE = 0.15  # of single points: automatic mode asks about the background, too
INNER_SHARE = 0.4  # of single points that keep away from the edge
BOX_SHARE = 0.8  # of pairs; the others are two clicks
BOX_NOISE = 0.03  # of the box side


@dataclass
class Prompts:
    """P prompts of T points each, laid out picture by picture, with the masks they ask for."""

    coords: Tensor  # (P, T, 2) x, y in pixels
    labels: Tensor  # (P, T) int32
    target: Tensor  # (P, S, S) bool

    @classmethod
    def stack(cls, rows: list[tuple[NDArray[np.float64], list[int], Bools]]) -> Prompts:
        """Join prompts with the same number of points."""
        coords, labels, target = zip(*rows, strict=True)
        return cls(
            torch.from_numpy(np.array(coords)).float(),
            torch.tensor(labels, dtype=torch.int32),
            torch.from_numpy(np.array(target)),
        )


def _pixel(mask: Bools, rng: np.random.Generator) -> NDArray[np.float64]:
    """Centre of a random pixel of a non-empty mask."""
    ys, xs = np.nonzero(mask)
    index = rng.integers(len(ys))
    return np.array([xs[index] + 0.5, ys[index] + 0.5])


def _inner(mask: Bools, rng: np.random.Generator) -> Bools:
    """The pixels whose neighbours 2 to 9 pixels away in four directions are in the mask."""
    gap = int(rng.integers(2, 10))
    wide = np.pad(mask, gap)
    height, width = mask.shape
    rows, columns = wide[:, gap:-gap], wide[gap:-gap]
    inner: Bools = mask & rows[:height] & rows[2 * gap :]
    inner &= columns[:, :width] & columns[:, 2 * gap :]
    return inner if inner.any() else mask


class Views:
    """Random views of a pool at its own scale: crops when ``size`` is below 256, else all of it."""

    def __init__(self, folder: str, size: int, seed: int) -> None:
        self.pool, self.size = Pool.load(folder), size
        self.count, self.rng = len(self.pool.image) - HELD_BACK, np.random.default_rng(seed)

    def view(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """A cropped, flipped, turned and recoloured (S, S, 3) picture and its (S, S) labels."""
        rng, picture, labels = self.rng, self.pool.image[index], self.pool.labels[index]
        if self.size < len(picture):
            y, x = rng.integers(0, len(picture) - self.size, 2)
            window = np.s_[y : y + self.size, x : x + self.size]
            picture, labels = picture[window], labels[window]
        if rng.random() < 0.5:
            picture, labels = picture[:, ::-1], labels[:, ::-1]
        if rng.random() < 0.5:
            picture, labels = picture.transpose(1, 0, 2), labels.T
        return picture[..., rng.permutation(3)], labels

    def _point(
        self, labels: NDArray[np.uint8], value: int
    ) -> tuple[NDArray[np.float64], list[int], Bools]:
        mask = labels == value
        area = _inner(mask, self.rng) if self.rng.random() < INNER_SHARE else mask
        return _pixel(area, self.rng)[None], [ON], mask

    def _pair(
        self, labels: NDArray[np.uint8], value: int
    ) -> tuple[NDArray[np.float64], list[int], Bools]:
        rng, mask = self.rng, labels == value
        if rng.random() < BOX_SHARE:
            corners = box_of(mask).reshape(2, 2)
            noise = rng.normal(0, BOX_NOISE, (2, 2)) * (corners[1] - corners[0])
            return corners + noise, [CORNER, OPPOSITE], mask
        same = bool(mask.all()) or rng.random() < 0.5
        clicks = np.stack([_pixel(mask, rng), _pixel(mask if same else ~mask, rng)])
        return clicks, [ON, ON if same else OFF], mask

    def draw(self, count: int, each: int) -> tuple[Tensor, Tensor, Prompts, Prompts]:
        """Normalised (B, 3, S, S) pictures, (B, S, S) labels, ``each`` points, pairs a picture."""
        pictures, maps, points, pairs = [], [], [], []
        least = 50 * (self.size / 128) ** 2
        for index in self.rng.integers(0, self.count, count):
            picture, labels = self.view(int(index))
            pictures.append(np.ascontiguousarray(picture))
            maps.append(np.ascontiguousarray(labels))
            area = np.bincount(labels.ravel(), minlength=2)
            things = [v for v in range(1, len(area)) if area[v] >= least] or [0]
            for _ in range(each):
                empty = self.rng.random() < BACKGROUND_SHARE and area[0] > 400
                points.append(self._point(labels, 0 if empty else int(self.rng.choice(things))))
                pairs.append(self._pair(labels, int(self.rng.choice(things))))
        x = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
        labels_out = torch.from_numpy(np.stack(maps))
        return (x - MEAN) / STD, labels_out, Prompts.stack(points), Prompts.stack(pairs)


def corrective(logits: Tensor, asked: Prompts, rng: np.random.Generator) -> Prompts:
    """``asked`` with one more click each, on a pixel that (P, 1, s, s) ``logits`` get wrong."""
    size = asked.target.shape[-2:]
    now = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)[:, 0] > 0
    coords, labels = [], []
    for wrong, target in zip((now != asked.target).numpy(), asked.target.numpy(), strict=True):
        xy = _pixel(wrong if wrong.any() else target, rng)
        coords.append(xy[None])
        labels.append([int(target[int(xy[1]), int(xy[0])])])
    return Prompts(
        torch.cat([asked.coords, torch.from_numpy(np.array(coords)).float()], 1),
        torch.cat([asked.labels, torch.tensor(labels, dtype=torch.int32)], 1),
        asked.target,
    )

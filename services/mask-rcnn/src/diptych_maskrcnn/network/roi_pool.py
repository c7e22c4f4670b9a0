"""RoIAlign as one weighted sum of rows for each cell, several times faster than torchvision's.

torchvision's CPU kernel walks over one channel after another. A cell of RoIAlign is a fixed
weighted sum of pixels, so with the channels of a pixel side by side in memory it is what
``embedding_bag`` computes, in float32 to rounding the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import MultiScaleRoIAlign

_PART = 128
"""Boxes at a time."""


class RoiPool(nn.Module):
    """Takes the place of a ``MultiScaleRoIAlign`` that has seen an image, for one image at a
    time and levels on the CPU whose memory is channels last."""

    def __init__(self, stock: MultiScaleRoIAlign) -> None:
        super().__init__()
        assert stock.scales is not None
        assert stock.map_levels is not None
        self.output_size = stock.output_size
        self.sampling_ratio = stock.sampling_ratio
        self._names = stock.featmap_names
        self._scales: Sequence[float] = stock.scales
        self._mapper = stock.map_levels

    def forward(
        self, levels: Mapping[str, Tensor], boxes: Sequence[Tensor], _: Sequence[tuple[int, int]]
    ) -> Tensor:
        """Pool ``(N, C, *output_size)``, channels last, for the one tensor ``(N, 4)`` in ``boxes``,
        in pixels of the rescaled image."""
        (rois,) = boxes
        maps = [level for name, level in levels.items() if name in self._names]
        channels, (rows, columns) = maps[0].shape[1], self.output_size
        pooled = maps[0].new_empty(len(rois), rows * columns, channels)
        chosen = self._mapper([rois])
        for number, (level, scale) in enumerate(zip(maps, self._scales, strict=True)):
            # A part at a time, or the sums would take as much memory as the answer once more.
            of_level = torch.where(chosen == number)[0]
            for first in range(0, len(of_level), _PART):
                here = of_level[first : first + _PART]
                sums = self._sums(level, rois[here] * scale)
                pooled[here] = sums.view(len(here), rows * columns, channels)
        return pooled.view(len(rois), rows, columns, channels).permute(0, 3, 1, 2)

    def _sums(self, level: Tensor, rois: Tensor) -> Tensor:
        """Sum up ``(N x cells, C)`` for boxes ``(N, 4)`` in pixels of the level."""
        channels, height, width = level.shape[1:]
        rows, columns = self.output_size
        left, top, right, bottom = rois.unbind(1)
        y, down = _taps(top, bottom, rows, self.sampling_ratio, height)
        x, across = _taps(left, right, columns, self.sampling_ratio, width)
        taps = y.shape[-1] * x.shape[-1]
        pixels = y[:, :, None, :, None] * width + x[:, None, :, None, :]
        shares = down[:, :, None, :, None] * across[:, None, :, None, :]
        return F.embedding_bag(
            pixels.view(-1, taps),
            level.permute(0, 2, 3, 1).reshape(-1, channels),
            mode="sum",
            per_sample_weights=shares.view(-1, taps).to(level.dtype),
        )


def _taps(
    first: Tensor, last: Tensor, cells: int, samples: int, length: int
) -> tuple[Tensor, Tensor]:
    """Find, along one side, the pixels that each cell of each box reads, and how much of each.

    Both are ``(N, cells, 2 samples)``. As in torchvision's kernel, without its ``aligned``: a box
    is at least a pixel long, and a sample more than a pixel outside counts as 0.
    """
    step = (last - first).clamp(min=1)[:, None, None] / cells
    cell = torch.arange(cells, device=first.device)[:, None]
    part = (torch.arange(samples, device=first.device) + 0.5) / samples
    position = first[:, None, None] + cell * step + part * step
    share = ((position >= -1) & (position <= length)) / samples
    position = position.clamp(0, length - 1)
    low = position.int()
    high = (low + 1).clamp(max=length - 1)
    rest = position - low
    return torch.cat([low, high], -1), torch.cat([(1 - rest) * share, rest * share], -1)

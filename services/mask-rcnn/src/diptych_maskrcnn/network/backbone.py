"""The feature pyramid in a third of the memory: each map is let go once it was used."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.backbone_utils import BackboneWithFPN


class LeanBackbone(nn.Module):
    """Takes the place of a ``BackboneWithFPN``, on the same modules.

    torchvision keeps all maps of the body, of which the largest has a quarter of the image's
    height and width and 256 channels, while it adds up a new one from two more of that size.
    """

    def __init__(self, stock: BackboneWithFPN) -> None:
        super().__init__()
        self.body = stock.body
        self.fpn = stock.fpn
        self.out_channels = stock.out_channels

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        """Turn ``(1, 3, H, W)`` into the levels of the pyramid by name, finest first, each
        ``(1, out_channels, h, w)``."""
        maps: dict[str, Tensor] = self.body(batch)
        fpn = self.fpn
        levels: dict[str, Tensor] = {}
        coarser: Tensor | None = None
        for lateral, smooth in zip(
            reversed(fpn.inner_blocks), reversed(fpn.layer_blocks), strict=True
        ):
            name, given = maps.popitem()
            inner = lateral(given)
            del given  # or the largest map would live until the pyramid is done
            if coarser is not None:
                _add_enlarged(inner, coarser)
            coarser = inner
            levels[name] = smooth(inner)
        names, results = list(levels)[::-1], list(levels.values())[::-1]
        if fpn.extra_blocks is not None:
            results, names = fpn.extra_blocks(results, [], names)
        return dict(zip(names, results, strict=True))


def _add_enlarged(fine: Tensor, coarse: Tensor) -> None:
    """Add ``coarse``, enlarged to the size of ``fine`` by repeating pixels, in place."""
    height, width = coarse.shape[-2:]
    if fine.shape[-2:] == (2 * height, 2 * width):
        pairs = fine.view(*fine.shape[:2], height, 2, width, 2)
        pairs.add_(coarse[:, :, :, None, :, None])
    else:
        fine.add_(F.interpolate(coarse, size=fine.shape[-2:], mode="nearest"))

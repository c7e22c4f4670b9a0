"""Choose the defaults of the automatic mode on scenes that no figure is reported on.

python automatic.py --sides 8 12 16 [--weights FILE] [--scenes 300]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Bools, build_sam2, fit, load, packaged
from numpy.typing import NDArray
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from scenes import scene
from torch import Tensor
from torchvision.ops import box_convert, nms

DEFAULTS: dict[str, Any] = {
    "points_per_side": 12,
    "pred_iou_thresh": 0.8,
    "stability_score_thresh": 0.75,
    "box_nms_thresh": 0.5,
}
TUNING = 20_000_000  # first seed of the scenes for the choice
PERMISSIVE = {"pred_iou_thresh": 0.6, "stability_score_thresh": 0.6, "box_nms_thresh": 1.0}
QUALITIES = (0.6, 0.7, 0.75, 0.8, 0.84, 0.88, 0.92)
STABILITIES = (0.6, 0.7, 0.75, 0.8, 0.85, 0.9)
OVERLAPS = (0.4, 0.45, 0.5, 0.55, 0.6, 0.7)
MOST = 1.3  # masks per region


def generator(model: torch.nn.Module, **options: Any) -> SAM2AutomaticMaskGenerator:
    """The unmodified generator, fitted to the size of the model's pictures."""
    made = SAM2AutomaticMaskGenerator(model, **options)
    fit(made.predictor)
    return made


def overlaps(masks: Bools, regions: Bools) -> NDArray[np.float64]:
    """IoU (M, R) of masks (M, H, W) with regions (R, H, W)."""
    a = masks.reshape(len(masks), masks[0].size if len(masks) else regions[0].size)
    b = regions.reshape(len(regions), -1)
    shared = a.astype(np.float32) @ b.astype(np.float32).T
    union = a.sum(1)[:, None] + b.sum(1)[None] - shared
    return np.asarray(shared / np.maximum(union, 1), np.float64)


@dataclass
class Candidates:
    """The M masks that one scene yields before any threshold, and what they match."""

    quality: NDArray[np.float64]  # (M,) predicted IoU
    stability: NDArray[np.float64]  # (M,)
    boxes: Tensor  # (M, 4) corners in pixels
    hits: Bools  # (M, R), column 0 is the background

    def counts(self, quality: float, stability: float, overlap: float) -> NDArray[np.int64]:
        """Objects, found objects, backgrounds, found backgrounds, masks."""
        kept = np.nonzero((self.quality > quality) & (self.stability >= stability))[0]
        scores = torch.from_numpy(self.quality[kept]).float()
        left = kept[nms(self.boxes[kept], scores, overlap).numpy()]
        found = self.hits[left].any(0)
        return np.array([len(found) - 1, found[1:].sum(), 1, found[0], len(left)])


def candidates(everything: SAM2AutomaticMaskGenerator, seed: int) -> Candidates:
    """Run the permissive generator on one scene."""
    one = scene(seed)
    found = everything.generate(one.image)
    regions = np.array([one.labels == v for v in np.unique(one.labels)])
    masks = np.array([m["segmentation"] for m in found]).reshape(-1, *one.labels.shape)
    boxes = torch.tensor([m["bbox"] for m in found], dtype=torch.float32).reshape(-1, 4)
    return Candidates(
        np.array([m["predicted_iou"] for m in found]),
        np.array([m["stability_score"] for m in found]),
        box_convert(boxes, "xywh", "xyxy"),
        overlaps(masks, regions) >= 0.5,
    )


def sweep(model: torch.nn.Module, side: int, seeds: range) -> list[tuple[float, ...]]:
    """Rows of recall, masks per region, recall with backgrounds, side and the thresholds."""
    everything = generator(model, points_per_side=side, **PERMISSIVE)
    found = [candidates(everything, seed) for seed in seeds]
    rows: list[tuple[float, ...]] = []
    for quality, stability, overlap in product(QUALITIES, STABILITIES, OVERLAPS):
        counts = np.sum([one.counts(quality, stability, overlap) for one in found], axis=0)
        objects, seen, backgrounds, seen_backgrounds, masks = counts.tolist()
        regions = objects + backgrounds
        every = (seen + seen_backgrounds) / regions
        rows.append((seen / objects, masks / regions, every, side, quality, stability, overlap))
    return rows


def main() -> None:
    """Print the settings with the highest recall among those with few enough masks."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[8, 12, 16])
    parser.add_argument("--weights", type=Path, default=packaged("sam2"))
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--most", type=float, default=MOST, help="masks per region")
    args = parser.parse_args()
    model = build_sam2()
    model.load_state_dict(load(args.weights))
    for side in args.sides:
        rows = sweep(model, side, range(TUNING, TUNING + args.scenes))
        print("recall masks/region recall+background side pred_iou stability nms")
        for row in sorted((r for r in rows if r[1] <= args.most), reverse=True)[:15]:
            print("  ".join(f"{value:6.3f}" for value in row), flush=True)


if __name__ == "__main__":
    main()

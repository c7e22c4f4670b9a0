"""The automatic mode of SAM 2: the package's generator in float32 against both tiers.

    python benchmarks/sam2_automatic.py [--size tiny] [--points 32] [--masks 100] [--rounds 5]
        [--threads 2] [--device cpu] [--tiers exact,fast]

Weights are random, so no mask is good. Each side's threshold of predicted IoU is set so that it
keeps the best ``--masks`` of its own, all other thresholds let everything pass, and both sides give
run lengths. The encoder is part of the time. On a GPU the package's model also runs compiled in
bfloat16, where qualities are so coarse that only about as many masks pass; that has not been tried
so far.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import devices
import numpy as np
import sam2_models
import torch
import versus
from numpy.typing import NDArray
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sam2.modeling.sam2_base import SAM2Base
from sam2.utils.amg import build_point_grid
from tiers import Chosen

from diptych import AutomaticOptions
from diptych_sam2.automatic import Options, find_everything
from diptych_sam2.card import read_card
from diptych_sam2.network.image import Network, PromptBatch

# Floor and aim.
BOUNDS = {"exact": (2.5, 3.0), "fast": (8.0, 12.0)}
MOST_MS = 45.0


def threshold(network: Network, picture: NDArray[np.uint8], points: int, masks: int) -> float:
    """The predicted IoU that exactly ``masks`` masks of the grid exceed."""
    places = torch.tensor(build_point_grid(points), dtype=torch.float32) * network.image_size
    features = network.encode(picture)
    found = []
    for batch in places.split(16):
        labels = torch.ones(len(batch), 1, dtype=torch.int32, device=network.device)
        prompts = PromptBatch(batch[:, None].to(network.device), labels, None)
        network.decode_good(
            features, prompts, lambda q: found.append(q) or torch.zeros_like(q).bool()
        )
    ordered = torch.cat(found).flatten().sort(descending=True).values
    return float((ordered[masks - 1].double() + ordered[masks].double()) / 2)


def ours(network: Network, picture: NDArray[np.uint8], asked: AutomaticOptions, masks: int) -> None:
    """Everything in a picture by our engine."""
    options = Options.filled(asked, read_card("file").automatic)
    steps = find_everything(network, network.encode(picture), lambda: picture, options)
    try:
        while True:
            next(steps)
    except StopIteration as end:
        # One beside the threshold may go with rounding.
        if abs(len(end.value) - masks) > masks // 50:
            raise SystemExit(f"expected {masks} masks, got {len(end.value)}") from None


def generator(model: SAM2Base, points: int, least: float) -> SAM2AutomaticMaskGenerator:
    """The package's, with every filter open but that of predicted IoU."""
    return SAM2AutomaticMaskGenerator(
        model,
        points_per_side=points,
        pred_iou_thresh=least,
        stability_score_thresh=0.0,
        box_nms_thresh=1.0,
        output_mode="uncompressed_rle",
    )


def stock_half(
    size: str, picture: NDArray[np.uint8], points: int, masks: int, device: torch.device
) -> Callable[[], list[Any]]:
    """The package's answer in bfloat16, with the threshold that about so many masks pass."""
    model = sam2_models.stock_half(size, device)
    everything = generator(model, points, 0.0)
    found = sam2_models.in_half(partial(everything.generate, picture), device)()
    best = sorted((record["predicted_iou"] for record in found), reverse=True)
    chosen = generator(model, points, best[min(masks, len(best) - 1)])
    return sam2_models.in_half(partial(chosen.generate, picture), device)


def our_sides(
    args: argparse.Namespace, picture: NDArray[np.uint8], device: torch.device, tiers: Chosen
) -> tuple[dict[str, Callable[[], object]], dict[str, float]]:
    """Each tier's way to its best masks, and its threshold."""
    sides: dict[str, Callable[[], object]] = {}
    floors = {}
    for tier, parts in sam2_models.ours(args.size, device, tiers).items():
        network = Network(parts)
        floors[tier] = threshold(network, picture, args.points, args.masks)
        asked = AutomaticOptions(
            points_per_side=args.points,
            pred_iou_thresh=floors[tier],
            stability_score_thresh=0.0,
            box_nms_thresh=1.0,
        )
        sides[tier] = partial(ours, network, picture, asked, args.masks)
    return sides, floors


def main() -> None:
    """Measure and print."""
    parser = sam2_models.parser(__doc__, rounds=5)
    parser.add_argument("--points", type=int, default=32, help="of a side of the grid")
    parser.add_argument("--masks", type=int, default=100)
    args = parser.parse_args()
    device, tiers = sam2_models.prepare(args)
    picture = sam2_models.photograph()
    own, floors = our_sides(args, picture, device, tiers)
    stock = generator(sam2_models.stock(args.size, device), args.points, floors["exact"])
    sides: dict[str, Callable[[], object]] = {versus.STOCK: partial(stock.generate, picture)}
    found = {versus.STOCK: len(stock.generate(picture))}
    if device.type == "cuda":
        half = stock_half(args.size, picture, args.points, args.masks, device)
        sides[sam2_models.HALF] = half
        found[sam2_models.HALF] = len(half())
    quality = ", ".join(f"masks of {side}: {count}" for side, count in found.items())
    quality += f", ours: {args.masks}, within 2 %"
    print(quality)
    name = f"SAM 2.1 {args.size}, automatic mode, {args.points}x{args.points} points"
    name += devices.described(device)
    seconds = versus.measure(name, sides | own, rounds=args.rounds, device=device)
    figures = {"seconds": seconds, "masks": found | {"ours": args.masks}}
    # The aim in milliseconds is for a GPU and the large network.
    most = MOST_MS if (device.type, args.size) == ("cuda", "large") else None
    against = "sam2's generator, float32"
    rows = versus.rows(name, against, seconds, tiers.asked(BOUNDS), quality, most_ms=most)
    kept = f"sam2_automatic_{args.size}{devices.suffix(device)}"
    versus.keep(kept, figures, rows, tiers.notes)


if __name__ == "__main__":
    main()

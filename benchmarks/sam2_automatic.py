"""The automatic mode of SAM 2: the package's generator in float32 against both tiers.

    python benchmarks/sam2_automatic.py [--points 32] [--masks 100] [--rounds 5] [--threads 2]

Weights are random, so no mask is good. Each side's threshold of predicted IoU is set so that it
keeps the best ``--masks`` of its own, all other thresholds let everything pass, and both sides give
run lengths. The encoder is part of the time.
"""

from __future__ import annotations

from functools import partial

import machine
import numpy as np
import sam2_models
import torch
import versus
from numpy.typing import NDArray
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sam2.utils.amg import build_point_grid

from diptych import AutomaticOptions
from diptych_sam2.automatic import Options, find_everything
from diptych_sam2.card import read_card
from diptych_sam2.network import Network, PromptBatch

# Floor and aim.
BOUNDS = {"exact": (2.5, 3.0), "fast": (8.0, 12.0)}


def threshold(network: Network, picture: NDArray[np.uint8], points: int, masks: int) -> float:
    """The predicted IoU that exactly ``masks`` masks of the grid exceed."""
    places = torch.tensor(build_point_grid(points), dtype=torch.float32) * network.image_size
    features = network.encode(picture)
    found = []
    for batch in places.split(16):
        labels = torch.ones(len(batch), 1, dtype=torch.int32)
        prompts = PromptBatch(batch[:, None], labels, None)
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
        if len(end.value) != masks:
            raise SystemExit(f"expected {masks} masks, got {len(end.value)}") from None


def main() -> None:
    """Measure and print."""
    parser = sam2_models.parser(__doc__, rounds=5)
    parser.add_argument("--points", type=int, default=32, help="of a side of the grid")
    parser.add_argument("--masks", type=int, default=100)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(machine.describe())
    picture = sam2_models.photograph()
    sides, floors = {}, {}
    for tier, parts in sam2_models.ours(args.size).items():
        network = Network(parts)
        floors[tier] = threshold(network, picture, args.points, args.masks)
        asked = AutomaticOptions(
            points_per_side=args.points,
            pred_iou_thresh=floors[tier],
            stability_score_thresh=0.0,
            box_nms_thresh=1.0,
        )
        sides[tier] = partial(ours, network, picture, asked, args.masks)
    generator = SAM2AutomaticMaskGenerator(
        sam2_models.stock(args.size),
        points_per_side=args.points,
        pred_iou_thresh=floors["exact"],
        stability_score_thresh=0.0,
        box_nms_thresh=1.0,
        output_mode="uncompressed_rle",
    )
    found = len(generator.generate(picture))
    print(f"masks: stock {found}, ours {args.masks}")
    sides = {versus.STOCK: partial(generator.generate, picture), **sides}
    name = f"SAM 2.1 {args.size}, automatic mode, {args.points}x{args.points} points"
    seconds = versus.measure(name, sides, rounds=args.rounds)
    figures = {"seconds": seconds, "masks": {"stock": found, "ours": args.masks}}
    quality = f"masks: {found} and {args.masks}"
    rows = versus.rows(name, "sam2's generator, float32", seconds, BOUNDS, quality)
    versus.keep(f"sam2_automatic_{args.size}", figures, rows)


if __name__ == "__main__":
    main()

"""The image encoder of SAM 2: the package's ``set_image`` in float32 against both tiers.

python benchmarks/sam2_encoder.py [--size tiny] [--rounds 7] [--threads 2]
"""

from __future__ import annotations

from functools import partial

import machine
import sam2_models
import torch
import versus
from sam2.sam2_image_predictor import SAM2ImagePredictor

from diptych_sam2.network import Network

# Floor and aim.
BOUNDS = {"tiny": (4.0, 6.0), "small": (4.0, 6.0), "base-plus": (5.0, 8.0), "large": (5.0, 8.0)}


def main() -> None:
    """Measure and print."""
    args = sam2_models.parser(__doc__, rounds=7).parse_args()
    torch.set_num_threads(args.threads)
    print(machine.describe())
    picture = sam2_models.photograph()
    predictor = SAM2ImagePredictor(sam2_models.stock(args.size))
    sides = {versus.STOCK: partial(predictor.set_image, picture)}
    for tier, parts in sam2_models.ours(args.size).items():
        sides[tier] = partial(Network(parts).encode, picture)
    name = f"SAM 2.1 {args.size}, set_image"
    seconds = versus.measure(name, sides, rounds=args.rounds)
    rows = versus.rows(name, "sam2, float32", seconds, {"fast": BOUNDS[args.size]})
    versus.keep(f"sam2_encoder_{args.size}", {"seconds": seconds}, rows)


if __name__ == "__main__":
    sam2_models.as_engine_process()
    main()

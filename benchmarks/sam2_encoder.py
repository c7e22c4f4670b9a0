"""The image encoder of SAM 2: the package's ``set_image`` in float32 against both tiers.

python benchmarks/sam2_encoder.py [--size tiny] [--rounds 7] [--threads 2]
"""

from __future__ import annotations

import argparse
from functools import partial

import machine
import sam2_models
import torch
import versus
from sam2.sam2_image_predictor import SAM2ImagePredictor

from diptych_sam2.network import Network


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--size", default="tiny", choices=sam2_models.CONFIGS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(machine.describe())
    picture = sam2_models.photograph()
    predictor = SAM2ImagePredictor(sam2_models.stock(args.size))
    sides = {versus.STOCK: partial(predictor.set_image, picture)}
    for tier, parts in sam2_models.ours(args.size).items():
        sides[tier] = partial(Network(parts).encode, picture)
    name = f"SAM 2.1 {args.size}, set_image"
    seconds = versus.measure(name, sides, rounds=args.rounds)
    versus.keep(f"sam2_encoder_{args.size}", {"seconds": seconds})


if __name__ == "__main__":
    main()

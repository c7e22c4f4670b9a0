"""A prompt on held features of SAM 2: the package's ``predict`` against both tiers.

    python benchmarks/sam2_prompt.py [--size tiny] [--rounds 15] [--threads 2]

Both sides make three masks of the picture's size for one point; ours are run lengths besides.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import machine
import numpy as np
import sam2_models
import torch
import versus
from sam2.sam2_image_predictor import SAM2ImagePredictor

from diptych import OutputOptions, Point, Prompt
from diptych_sam2.network import Network, PictureFeatures
from diptych_sam2.prompts import answer_prompts

POINT = (250.0, 200.0)
BOUNDS = (1.5, 3.0)


def answer(network: Network, features: PictureFeatures) -> None:
    """Take all steps of one prompt."""
    prompts = (Prompt(points=(Point(*POINT),)),)
    for _ in answer_prompts(network, features, prompts, OutputOptions(all_candidates=True)):
        pass


def main() -> None:
    """Measure and print."""
    args = sam2_models.parser(__doc__, rounds=15).parse_args()
    torch.set_num_threads(args.threads)
    print(machine.describe())
    picture = sam2_models.photograph()
    predictor = SAM2ImagePredictor(sam2_models.stock(args.size))
    predictor.set_image(picture)
    place, label = np.array([POINT]), np.array([1])
    sides: dict[str, Callable[[], object]] = {
        versus.STOCK: partial(predictor.predict, place, label, multimask_output=True)
    }
    for tier, parts in sam2_models.ours(args.size).items():
        network = Network(parts)
        sides[tier] = partial(answer, network, network.encode(picture))
    name = f"SAM 2.1 {args.size}, one point on held features"
    seconds = versus.measure(name, sides, rounds=args.rounds)
    rows = versus.rows(name, "sam2's predict", seconds, dict.fromkeys(("exact", "fast"), BOUNDS))
    versus.keep(f"sam2_prompt_{args.size}", {"seconds": seconds}, rows)


if __name__ == "__main__":
    main()

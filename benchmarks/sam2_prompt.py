"""A prompt on held features of SAM 2: the package's ``predict`` against both tiers.

    python benchmarks/sam2_prompt.py [--size tiny] [--rounds 15] [--threads 2] [--device cpu]
        [--tiers exact,fast]

Both sides make three masks of the picture's size for one point; ours are run lengths besides.
On a GPU the package's model also runs compiled in bfloat16; that has not been tried so far.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import devices
import numpy as np
import sam2_models
import torch
import versus
from sam2.sam2_image_predictor import SAM2ImagePredictor

from diptych import OutputOptions, Point, Prompt
from diptych_sam2.network.image import ImageFeatures, Network
from diptych_sam2.prompts import answer_prompts

POINT = (250.0, 200.0)
BOUNDS = (1.5, 3.0)


def answer(network: Network, features: ImageFeatures) -> None:
    """Take all steps of one prompt."""
    prompts = (Prompt(points=(Point(*POINT),)),)
    for _ in answer_prompts(network, features, prompts, OutputOptions(all_candidates=True)):
        pass


def stock_side(size: str, device: torch.device, *, half: bool) -> Callable[[], object]:
    """The package's answer on a picture that is set."""
    make = sam2_models.stock_half if half else sam2_models.stock
    predictor = SAM2ImagePredictor(make(size, device))
    ask = partial(predictor.predict, np.array([POINT]), np.array([1]), multimask_output=True)
    prepare = partial(predictor.set_image, sam2_models.photograph())
    if half:
        ask, prepare = (sam2_models.in_half(one, device) for one in (ask, prepare))
    prepare()
    return ask


def main() -> None:
    """Measure and print."""
    args = sam2_models.parser(__doc__, rounds=15).parse_args()
    device, tiers = sam2_models.prepare(args)
    sides = {versus.STOCK: stock_side(args.size, device, half=False)}
    if device.type == "cuda":
        sides[sam2_models.HALF] = stock_side(args.size, device, half=True)
    for tier, parts in sam2_models.ours(args.size, device, tiers).items():
        network = Network(parts)
        sides[tier] = partial(answer, network, network.encode(sam2_models.photograph()))
    name = f"SAM 2.1 {args.size}, one point on held features{devices.described(device)}"
    seconds = versus.measure(name, sides, rounds=args.rounds, device=device)
    bounds = tiers.asked(dict.fromkeys(("exact", "fast"), BOUNDS))
    rows = versus.rows(name, "sam2's predict", seconds, bounds)
    kept = f"sam2_prompt_{args.size}{devices.suffix(device)}"
    versus.keep(kept, {"seconds": seconds}, rows, tiers.notes)


if __name__ == "__main__":
    main()

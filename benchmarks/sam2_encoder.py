"""The image encoder of SAM 2: the package's ``set_image`` in float32 against both tiers.

    python benchmarks/sam2_encoder.py [--size tiny] [--rounds 7] [--threads 2] [--device cpu]
        [--tiers exact,fast]

On a GPU the package's model also runs compiled in bfloat16; that has not been tried so far.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import devices
import sam2_models
import versus
from sam2.sam2_image_predictor import SAM2ImagePredictor

from diptych_sam2.network.image import Network

# Floor and aim.
BOUNDS = {"tiny": (4.0, 6.0), "small": (4.0, 6.0), "base-plus": (5.0, 8.0), "large": (5.0, 8.0)}


def main() -> None:
    """Measure and print."""
    args = sam2_models.parser(__doc__, rounds=7).parse_args()
    device, tiers = sam2_models.prepare(args)
    picture = sam2_models.photograph()
    predictor = SAM2ImagePredictor(sam2_models.stock(args.size, device))
    sides: dict[str, Callable[[], object]] = {versus.STOCK: partial(predictor.set_image, picture)}
    if device.type == "cuda":
        half = SAM2ImagePredictor(sam2_models.stock_half(args.size, device))
        sides[sam2_models.HALF] = sam2_models.in_half(partial(half.set_image, picture), device)
    for tier, parts in sam2_models.ours(args.size, device, tiers).items():
        sides[tier] = partial(Network(parts).encode, picture)
    name = f"SAM 2.1 {args.size}, set_image{devices.described(device)}"
    seconds = versus.measure(name, sides, rounds=args.rounds, device=device)
    rows = versus.rows(name, "sam2, float32", seconds, tiers.asked({"fast": BOUNDS[args.size]}))
    kept = f"sam2_encoder_{args.size}{devices.suffix(device)}"
    versus.keep(kept, {"seconds": seconds}, rows, tiers.notes)


if __name__ == "__main__":
    main()

"""One prompt of SAM 2 on a new picture, from JPEG file to run lengths, against the package.

    python benchmarks/sam2_single.py [--size tiny] [--rounds 7] [--threads 2] [--device cpu]
        [--tiers exact,fast]

Both sides read the file, run the encoder, take the best of three masks for one point, and make
COCO run lengths. On a GPU the package's model also runs compiled in bfloat16, and what is asked for
is a time; that has not been tried so far.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial

import devices
import numpy as np
import sam2_models
import torch
import versus
from photographs import encoded
from PIL import Image
from pycocotools import mask as coco
from sam2.sam2_image_predictor import SAM2ImagePredictor
from tiers import Chosen

from diptych import OutputOptions, Point, Prompt
from diptych_runtime.worker.images import decode
from diptych_sam2.network.image import Network
from diptych_sam2.prompts import answer_prompts

POINT = (250.0, 200.0)
MOST_MS = 12.0


def stock(predictor: SAM2ImagePredictor, file: bytes) -> object:
    """As the package's notebooks and pycocotools have it."""
    predictor.set_image(np.array(Image.open(io.BytesIO(file)).convert("RGB")))
    place, label = np.array([POINT]), np.array([1])
    masks, scores, _ = predictor.predict(place, label, multimask_output=True)
    return coco.encode(np.asfortranarray(masks[scores.argmax()] > 0))


def ours(network: Network, file: bytes) -> object:
    """As the engine of the service has it."""
    pixels = decode(file, max_pixels=50_000_000, min_side=16, max_aspect_ratio=20)
    prompts = (Prompt(points=(Point(*POINT),)),)
    steps = answer_prompts(network, network.encode(pixels), prompts, OutputOptions())
    while True:
        try:
            next(steps)
        except StopIteration as done:
            mask = done.value.segments[0].mask
            assert mask is not None
            return mask.to_coco()


def sides(size: str, device: torch.device, tiers: Chosen) -> dict[str, Callable[[], object]]:
    """Ways to an answer, by name."""
    file = encoded(sam2_models.photograph())
    made: dict[str, Callable[[], object]] = {
        versus.STOCK: partial(stock, SAM2ImagePredictor(sam2_models.stock(size, device)), file)
    }
    if device.type == "cuda":
        half = SAM2ImagePredictor(sam2_models.stock_half(size, device))
        made[sam2_models.HALF] = sam2_models.in_half(partial(stock, half, file), device)
    for tier, parts in sam2_models.ours(size, device, tiers).items():
        made[tier] = partial(ours, Network(parts), file)
    return made


def main() -> None:
    """Measure and print."""
    args = sam2_models.parser(__doc__, rounds=7).parse_args()
    device, tiers = sam2_models.prepare(args)
    name = f"SAM 2.1 {args.size}, one point on a new picture, JPEG to RLE"
    name += devices.described(device)
    ways = sides(args.size, device, tiers)
    seconds = versus.measure(name, ways, rounds=args.rounds, device=device)
    most = MOST_MS if (device.type, args.size) == ("cuda", "large") else None
    rows = versus.rows(name, "sam2 and pycocotools, float32", seconds, {}, most_ms=most)
    kept = f"sam2_single_{args.size}{devices.suffix(device)}"
    versus.keep(kept, {"seconds": seconds}, rows, tiers.notes)


if __name__ == "__main__":
    main()

"""What a held picture saves: another prompt on it, against the sam2 package from the start.

    python benchmarks/second_prompt.py [--rounds 7] [--size 1200x1800] [--threads N]

Starts the SAM 2 service with the architecture of sam2.1-hiera-tiny and random weights (the time
does not depend on their values) and the gateway before it. Each round has a new picture: the
package's ``set_image`` and ``predict`` in this process, on decoded pixels; one point through the
gateway; and another point on the same picture by its digest. The second answer's provenance must
say that the encoder did not run.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
import time
from pathlib import Path

import machine
import numpy as np
import sam2_models
import served
import torch
from PIL import Image
from sam2.sam2_image_predictor import SAM2ImagePredictor
from skimage import data

import diptych

MODEL = "sam-2"
BOUNDS = (20.0, 40.0)
_NOTE = (
    "The package starts from decoded pixels. A prompt through the gateway sends the picture's "
    "digest, crosses two processes' sockets and comes back as run lengths. Whoever keeps the "
    "package's predictor with a picture set, for one picture at a time, is in `sam2_prompt.py`."
)


def photograph(height: int, width: int, shift: int) -> bytes:
    """A JPEG file of that size: a real photograph, repeated and shifted."""
    tile = data.astronaut()
    times = (-(-height // tile.shape[0]), -(-width // tile.shape[1]), 1)
    pixels = np.roll(np.tile(tile, times)[:height, :width], shift, axis=1)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=92)
    return file.getvalue()


def stock(predictor: SAM2ImagePredictor, picture: bytes, x: float, y: float) -> float:
    """Seconds that the package takes for one point on a new picture, once it is decoded."""
    pixels = np.array(Image.open(io.BytesIO(picture)).convert("RGB"))
    started = time.perf_counter()
    predictor.set_image(pixels)
    predictor.predict(np.array([[x, y]]), np.array([1]), multimask_output=True)
    return time.perf_counter() - started


def ours(client: diptych.Client, picture: bytes, x: float, y: float, *, held: bool) -> float:
    """Seconds that one point takes through the gateway."""
    started = time.perf_counter()
    answer = client.segment(picture, model=MODEL, points=[(x, y)])
    spent = time.perf_counter() - started
    if answer.provenance[0].image_cache_hit != held:
        raise SystemExit(f"image_cache_hit: expected {held}")
    return spent


def measure(address: str, *, rounds: int, size: tuple[int, int]) -> dict[str, list[float]]:
    """Seconds of stock, of the first and of the second prompt, by round. One round before them
    warms up."""
    height, width = size
    predictor = SAM2ImagePredictor(sam2_models.stock("tiny"))
    times: dict[str, list[float]] = {"stock": [], "first": [], "second": []}
    with diptych.Client(address, timeout=300) as client:
        for number in range(rounds + 1):
            picture = photograph(height, width, number)
            places = [(width * share, height / 2) for share in (0.3, 0.6)]
            spent = {
                "stock": stock(predictor, picture, *places[0]),
                "first": ours(client, picture, *places[0], held=False),
                "second": ours(client, picture, *places[1], held=True),
            }
            for name, seconds in spent.items():
                if number:
                    times[name].append(seconds)
    return times


def rows(times: dict[str, list[float]]) -> list[machine.Row]:
    """The second prompt against stock, and against the first one."""
    made = []
    for other, against in (("stock", "sam2's set_image and predict"), ("first", "the first point")):
        floor, aim = BOUNDS if other == "stock" else (None, None)
        made.append(
            machine.row(
                "SAM 2.1 tiny, a second point on a held picture, through gateway and service",
                against,
                ours=[s * 1e3 for s in times["second"]],
                theirs=[s * 1e3 for s in times[other]],
                unit="ms",
                ratios=[a / b for a, b in zip(times[other], times["second"], strict=True)],
                floor=floor,
                aim=aim,
            )
        )
    return made


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", default="1200x1800", help="height x width in pixels")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    height, width = (int(part) for part in args.size.split("x"))
    torch.set_num_threads(args.threads)
    print(machine.describe())
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        weights = served.tiny_random(Path(folder))
        service = stack.enter_context(
            served.running("diptych_sam2", **weights, threads=args.threads)
        )
        gateway = stack.enter_context(
            served.running("diptych_gateway", models=f"{MODEL}={service.address}", http_port="")
        )
        times = measure(gateway.address, rounds=args.rounds, size=(height, width))
    found = rows(times)
    machine.print_rows(found)
    figures = {"threads": args.threads, "size": args.size, "seconds": times}
    machine.keep("second_prompt", figures, rows=found, notes=[_NOTE])


if __name__ == "__main__":
    main()

"""What a held picture saves: the first prompt on a picture against the second one.

    python benchmarks/second_prompt.py [--rounds 7] [--size 1200x1800]

Starts the SAM 2 service with the architecture of sam2.1-hiera-tiny and random weights (the time
does not depend on their values), sends each round a new picture with one point, then another point
on the same picture by its digest, and prints both times, medians and the ratio. The second answer's
provenance must say that the encoder did not run.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from pathlib import Path

import machine
import numpy as np
import served
from PIL import Image
from skimage import data

import diptych


def photograph(height: int, width: int, shift: int) -> bytes:
    """A JPEG file of that size: a real photograph, repeated and shifted."""
    tile = data.astronaut()
    times = (-(-height // tile.shape[0]), -(-width // tile.shape[1]), 1)
    pixels = np.roll(np.tile(tile, times)[:height, :width], shift, axis=1)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=92)
    return file.getvalue()


def measure(address: str, *, rounds: int, size: tuple[int, int]) -> list[tuple[float, float]]:
    """Seconds of the first and the second prompt, by round."""
    height, width = size
    times = []
    with diptych.Client(address, timeout=300) as client:
        for shift in range(rounds + 1):
            picture = photograph(height, width, shift)
            spent = []
            for x, hit in ((width * 0.3, False), (width * 0.6, True)):
                started = time.perf_counter()
                answer = client.segment(picture, points=[(x, height / 2)])
                spent.append(time.perf_counter() - started)
                if answer.provenance[0].image_cache_hit != hit:
                    raise SystemExit(f"image_cache_hit: expected {hit}")
            if shift:  # the first round warms up
                times.append((spent[0], spent[1]))
        stats = client.model_stats("")
        print(
            f"encoder runs {stats.encoder_run_count}, answers without {stats.image_cache_hit_count}"
        )
    return times


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", default="1200x1800", help="height x width in pixels")
    args = parser.parse_args()
    height, width = (int(part) for part in args.size.split("x"))
    print(machine.describe())
    with tempfile.TemporaryDirectory() as folder:
        weights = served.tiny_random(Path(folder))
        with served.running("diptych_sam2", **weights) as service:
            times = measure(service.address, rounds=args.rounds, size=(height, width))
    first = statistics.median(t[0] for t in times)
    second = statistics.median(t[1] for t in times)
    ratios = sorted(t[0] / t[1] for t in times)
    print(f"sam2.1-hiera-tiny architecture, random weights, {width}x{height}, {len(times)} rounds")
    print(f"first prompt   {first * 1e3:9.1f} ms")
    print(f"second prompt  {second * 1e3:9.1f} ms")
    print(f"ratio          {first / second:9.1f}   ({ratios[0]:.1f} to {ratios[-1]:.1f})")
    machine.keep("second_prompt", {"first_s": first, "second_s": second, "rounds": times})


if __name__ == "__main__":
    main()

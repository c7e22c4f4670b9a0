"""How many threads two services on one machine should have each: one picture, both models at once.

    python benchmarks/compare_threads.py [--rounds 7] [--threads 1,2]

Starts the Mask R-CNN service (ResNet-50 FPN, random weights) and the SAM 2 service (tiny
architecture, random weights) with each number of threads, asks both for a new photograph at the
same moment, and prints when the slower one has answered, and each model asked alone.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import machine
import served
from photographs import photographs
from rcnn_sides import calibrate, save, stock_resnet50
from second_prompt import photograph

import diptych

HEIGHT, WIDTH = 800, 1200
OBJECTS = 10


def timed(ask: Callable[[bytes], None], picture: bytes) -> float:
    """Seconds that it takes."""
    started = time.perf_counter()
    ask(picture)
    return time.perf_counter() - started


def measure(rcnn: str, sam: str, rounds: int) -> list[dict[str, float]]:
    """Seconds by round: each model alone, and both together. One round before them warms up."""
    rows = []
    with (
        diptych.Client(rcnn, timeout=600) as one,
        diptych.Client(sam, timeout=600) as other,
        ThreadPoolExecutor(2) as pool,
    ):

        def detect(picture: bytes) -> None:
            one.segment(picture)

        def point(picture: bytes) -> None:
            other.segment(picture, points=[(WIDTH / 2, HEIGHT / 2)])

        def both(picture: bytes) -> None:
            for waiting in [pool.submit(detect, picture), pool.submit(point, picture)]:
                waiting.result()

        asked = {"mask-rcnn": detect, "sam-2": point, "both": both}
        for number in range(rounds + 1):
            row = {}
            for shift, (name, ask) in enumerate(asked.items(), start=len(asked) * number):
                row[name] = timed(ask, photograph(HEIGHT, WIDTH, shift))
            if number:
                rows.append(row)
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", default="1,2", help="numbers of threads of each service")
    args = parser.parse_args()
    print(machine.describe())
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        network = stock_resnet50()
        calibrate(network, [file for _, file in photographs()], objects=OBJECTS, floor=0.5)
        rcnn = {"mask_rcnn_weights": save(network, Path(folder)), "keypoint_weights": "off"}
        sam = served.tiny_random(Path(folder))
        for threads in map(int, args.threads.split(",")):
            with (
                served.running("diptych_maskrcnn", **rcnn, threads=threads) as one,
                served.running("diptych_sam2", **sam, threads=threads) as other,
            ):
                rows = measure(one.address, other.address, args.rounds)
            figures[threads] = rows
            medians = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
            told = "  ".join(f"{name} {seconds * 1e3:7.0f} ms" for name, seconds in medians.items())
            print(f"{threads} threads each: {told}", flush=True)
    machine.keep("compare_threads", figures)


if __name__ == "__main__":
    main()

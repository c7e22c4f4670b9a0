"""An image that ends the engine, sent again and again: what it costs, and who else pays.

    python benchmarks/trust/killing.py [--images 5] [--tries 4]

Two replicas behind one gateway, under calls of others. Each image is sent ``--tries`` times.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))

from fake_engine import CRASH, watermark
from harness.figures import Figure, finish
from restarts import start
from serving_helpers import picture, png

from diptych import AsyncClient, Client, DiptychError

CALLERS = 6
CALM_S = 4.0
"""Longer than an engine takes to start, so that the next image meets both replicas."""


def restarts(parts: list) -> int:
    """Engines that were started in place of lost ones, in all replicas."""
    total = 0
    for part, host in zip(parts, ("127.0.0.1", "[::1]"), strict=False):
        with Client(f"{host}:{part.port}") as client:
            total += client.stats("fake").engine_restart_count
    return total


async def others(address: str, number: int, stop: asyncio.Event, seen: Counter[str]) -> None:
    """Ask about harmless pictures until told to stop."""
    async with AsyncClient(address, timeout=20) as client:
        count = 0
        while not stop.is_set():
            pixels = picture(seed=number * 100_000 + count)
            count += 1
            try:
                found = (await client.segment(png(pixels), model="fake")).segments[0].label
                seen["OK" if found == watermark(pixels) else "wrong answer"] += 1
            except DiptychError as error:
                seen[f"{error.code} {error.reason}"] += 1
            await asyncio.sleep(0.01)


async def measure(images: int, tries: int) -> tuple[list[int], Counter[str], Counter[str]]:
    """Engines lost to each image, and what became of its tries and of the calls of others."""
    killing: Counter[str] = Counter()
    harmless: Counter[str] = Counter()
    lost: list[int] = []
    with tempfile.TemporaryDirectory() as name:
        parts = await start(Path(name), {})
        try:
            stop = asyncio.Event()
            address = parts[2].address
            load = [
                asyncio.create_task(others(address, number, stop, harmless))
                for number in range(CALLERS)
            ]
            async with AsyncClient(address, timeout=20) as client:
                for seed in range(images):
                    before = restarts(parts[:2])
                    for _ in range(tries):
                        try:
                            await client.segment(png(picture(CRASH, seed=seed)), model="fake")
                            killing["OK"] += 1
                        except DiptychError as error:
                            killing[f"{error.code} {error.reason}"] += 1
                    calm = time.monotonic() + CALM_S
                    while time.monotonic() < calm:
                        await asyncio.sleep(0.1)
                    lost.append(restarts(parts[:2]) - before)
            stop.set()
            await asyncio.gather(*load)
        finally:
            for part in parts:
                part.kill()
    return lost, killing, harmless


def main() -> None:
    """Measure, and compare with the floors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5)
    parser.add_argument("--tries", type=int, default=4)
    arguments = parser.parse_args()
    lost, killing, harmless = asyncio.run(measure(arguments.images, arguments.tries))
    print(f"killing images: {dict(killing)}; others: {dict(harmless)}; engines lost: {lost}")
    failed = harmless.total() - harmless["OK"]
    finish(
        [
            Figure("engines lost to one image, at most", max(lost), 1),
            Figure("tries of the killing images that were answered", killing["OK"], 0),
            Figure("calls of others", harmless.total(), 100, at_least=True),
            Figure("of those failed or answered wrongly", failed, 0),
        ]
    )


if __name__ == "__main__":
    main()

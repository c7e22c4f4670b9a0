"""An image that ends the engine, sent again and again: what it costs, and who else pays.

    python benchmarks/trust/killing.py [--images 5] [--tries 4] [--services 2] [--gateways 1]
                                       [--death memory]

Replicas behind gateways, under calls of others. Each image is sent ``--tries`` times to each of the
gateways in turn, once all serve. With ``--death memory`` it takes memory until the system ends the
process: each service is put into a control group of its own, which needs root.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))

from fake_engine import CRASH, watermark
from harness.engine import GREEDY
from harness.figures import Figure, finish
from harness.parts import Part
from processes import children
from restarts import start
from serving_helpers import picture, png

from diptych import AsyncClient, Client, DiptychError, ServingStatus

CALLERS = 6
INSIDE = 2
"""Requests of a lane that are in an engine process at a time."""
CALM_S = 1.0
DEATHS = {"crash": CRASH, "memory": GREEDY}
LIMIT_BYTES = 500_000_000
_GROUPS = Path("/sys/fs/cgroup")


@contextmanager
def confined(parts: Sequence[Part]) -> Iterator[None]:
    """Give each of these services, with its engines, so much memory and no more."""
    first = (_GROUPS / "memory").exists()  # of the two versions of control groups
    parent, most = (
        (_GROUPS / "memory", "memory.limit_in_bytes") if first else (_GROUPS, "memory.max")
    )
    made = []
    try:
        for part in parts:
            group = parent / f"diptych-{os.getpid()}-{part.name}"
            group.mkdir()
            made.append(group)
            (group / most).write_text(str(LIMIT_BYTES))
            for pid in (part.pid, *children(part.pid)):
                (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for part in parts:
            part.kill()
        for group in made:
            for _ in range(100):  # decoders end by themselves
                if not (group / "cgroup.procs").read_text():
                    break
                time.sleep(0.1)
            group.rmdir()


def restarts(parts: list[Part]) -> int:
    """Engines that were started in place of lost ones, in all replicas."""
    total = 0
    for part in parts:
        with Client(part.address, retry=True) as client:
            total += client.model_stats("fake").engine_restart_count
    return total


async def settled(parts: list[Part]) -> None:
    """Wait until all serve, and those who watch their health have heard so."""
    for part in parts:
        async with AsyncClient(part.address) as client:
            while await client.health() is not ServingStatus.SERVING:
                await asyncio.sleep(0.1)
    await asyncio.sleep(CALM_S)


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


async def told(address: str, encoded: bytes) -> str:
    """What a gateway says to one image."""
    async with AsyncClient(address, timeout=20) as client:
        try:
            await client.segment(encoded, model="fake")
        except DiptychError as error:
            return f"{error.code} {error.reason}"
        return "OK"


async def measure(
    images: int, tries: int, services: int, asked: int, death: str
) -> tuple[list[int], Counter[str], Counter[str]]:
    """Engines lost to each image, and what became of its tries and of the calls of others."""
    killing: Counter[str] = Counter()
    harmless: Counter[str] = Counter()
    lost: list[int] = []
    with tempfile.TemporaryDirectory() as name:
        parts = await start(Path(name), {}, services)
        replicas, gateways = parts[:services], parts[services:]
        try:
            with confined(replicas if death == "memory" else ()):
                stop = asyncio.Event()
                load = [
                    asyncio.create_task(others(gateways[0].address, number, stop, harmless))
                    for number in range(CALLERS)
                ]
                for seed in range(images):
                    before = restarts(replicas)
                    encoded = png(picture(DEATHS[death], seed=seed))
                    for number in range(tries * asked):
                        killing[await told(gateways[number % asked].address, encoded)] += 1
                        await settled(replicas)
                    lost.append(restarts(replicas) - before)
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
    parser.add_argument("--services", type=int, default=2)
    parser.add_argument("--gateways", type=int, choices=(1, 2), default=1)
    parser.add_argument("--death", choices=DEATHS, default="crash")
    asked = parser.parse_args()
    lost, killing, harmless = asyncio.run(
        measure(asked.images, asked.tries, asked.services, asked.gateways, asked.death)
    )
    print(f"killing images: {dict(killing)}; others: {dict(harmless)}; engines lost: {lost}")
    away = sum(count for code, count in harmless.items() if "MODEL_LOADING" in code)
    failed = harmless.total() - harmless["OK"] - away
    finish(
        [
            Figure("engines lost to one image, at most", max(lost), 1),
            Figure("tries of the killing images that were answered", killing["OK"], 0),
            Figure("calls of others", harmless.total(), 100, at_least=True),
            Figure("of those answered wrongly", harmless["wrong answer"], 0),
            Figure(
                "of those lost but to the restart, for each engine",
                failed / max(sum(lost), 1),
                INSIDE,
            ),
        ]
    )


if __name__ == "__main__":
    main()

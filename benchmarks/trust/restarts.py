"""Rolling restarts of two gateways before two replicas: no call fails, no session loses a mask.

    python benchmarks/trust/restarts.py [--rounds 20] [--calls 200000] [--drain 8]

A round stops and starts each of the four processes, one after the other, under calls and video
sessions of the SDK. ``--rounds 1 --calls 1000`` ends within a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))

from fake_engine import watermark
from fake_video import DRIFT, drift
from harness.figures import Figure, finish
from harness.parts import Part, service
from serving_helpers import picture, png

from diptych import (
    AsyncClient,
    AsyncVideoSession,
    Client,
    DiptychError,
    Mask,
    VideoFrameResult,
)

CALLERS, SESSIONS, PICTURES = 6, 4, 50
WARNING_S = 5.0
FRAME_S = 0.05


@dataclass
class Seen:
    """What callers and sessions have met."""

    calls: Counter[str] = field(default_factory=Counter)
    warnings_s: list[float] = field(default_factory=list)
    """Of each session that was resumed, how long before its end the server warned of it."""
    resumed: int = 0
    frames: int = 0
    wrong_frames: int = 0
    stop: threading.Event = field(default_factory=threading.Event)


def call(address: str, number: int, seen: Seen) -> None:
    """Ask about known pictures until told to stop, and check each answer."""
    choice = random.Random(number)
    with Client(address, timeout=20) as client:
        while not seen.stop.is_set():
            pixels = picture(seed=choice.randrange(PICTURES))
            try:
                found = client.segment(png(pixels), model="fake").segments[0].label
                seen.calls["OK" if found == watermark(pixels) else "wrong answer"] += 1
            except DiptychError as error:
                seen.calls[f"{error.code} {error.reason} {error}"[:160]] += 1
            time.sleep(0.01)


async def follow(address: str, number: int, seen: Seen) -> None:
    """Follow an object through frames in one session, whatever is restarted below it."""
    frames = [picture(seed=1000 + number * 100 + each) for each in range(40)]
    for frame in frames:
        frame[0, 0] = DRIFT
    async with (
        AsyncClient(address, timeout=60) as client,
        client.video(model="fake") as session,
    ):
        await session.send(png(frames[0]))
        await anext(session)
        await session.prompt(1, box=(10, 10, 30, 30))
        async with asyncio.TaskGroup() as group:
            group.create_task(feed(session, frames, seen))
            expected = 0
            async for event in session:
                check(event, expected, frames, seen)
                expected += 1
        seen.resumed += session.resume_count


async def feed(session: AsyncVideoSession, frames: list, seen: Seen) -> None:
    """Send frames until told to stop."""
    index = 1
    while not seen.stop.is_set():
        await session.send(png(frames[index % len(frames)]), index=index)
        index += 1
        await asyncio.sleep(FRAME_S)
    session.finish()


class Warnings(logging.Handler):
    """Notes of each session that goes on how long before its end the server had warned of it."""

    def __init__(self, seen: Seen) -> None:
        super().__init__(logging.INFO)
        self._seen = seen

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line of the SDK."""
        if record.levelno == logging.INFO and record.args:
            self._seen.warnings_s.append(float(record.args[0]))  # type: ignore[index,arg-type]


def check(event: object, expected: int, frames: list, seen: Seen) -> None:
    """Compare a frame's answer with what the engine answers in a session that is never lost.

    Each comes once and in order.
    """
    seen.frames += 1
    if not isinstance(event, VideoFrameResult) or event.frame_index != expected:
        seen.wrong_frames += 1
        return
    right = (1, watermark(frames[event.frame_index % len(frames)]), box_on(event.frame_index))
    found = [(o.object_id, o.segment.label, mask_box(o.segment.mask)) for o in event.objects]
    seen.wrong_frames += found != [right]


def box_on(index: int) -> tuple[float, ...]:
    """Where the object is that was prompted on frame 0."""
    return (10 + drift(index), 10, 30 + drift(index), 30)


def mask_box(mask: Mask | None) -> tuple[float, ...] | None:
    """The corners of a full square; ``None`` for any other mask."""
    if mask is None or mask.box is None or mask.area != 400:
        return None
    return (mask.box.x_min, mask.box.y_min, mask.box.x_max, mask.box.y_max)


async def measure(rounds: int, calls: int, drain_s: float) -> Seen:
    """Restart everything ``rounds`` times and until there were ``calls`` calls."""
    seen = Seen()
    lines = logging.getLogger("diptych.video")
    lines.setLevel(logging.INFO)
    lines.addHandler(Warnings(seen))
    lines.propagate = False
    variables = {"DIPTYCH_DRAIN_S": f"{drain_s:g}", "DIPTYCH_LOG_LEVEL": "info"}
    with tempfile.TemporaryDirectory() as name:
        folder, parts = Path(name), []
        try:
            parts = await start(folder, variables)
            address = "ipv4:" + ",".join(part.address for part in parts[2:])
            threads = [
                threading.Thread(target=call, args=(address, number, seen))
                for number in range(CALLERS)
            ]
            for thread in threads:
                thread.start()
            following = [
                asyncio.create_task(follow(address, number, seen)) for number in range(SESSIONS)
            ]
            await asyncio.sleep(2)
            for number in range(rounds):
                for part in parts:
                    code = await part.terminate()
                    await part.start()
                    print(f"round {number + 1}: {part.name} ended with {code}", flush=True)
                    await asyncio.sleep(1)
            while seen.calls.total() < calls and not any(task.done() for task in following):
                await asyncio.sleep(0.5)
            seen.stop.set()
            await asyncio.gather(*following)
            for thread in threads:
                await asyncio.to_thread(thread.join)
        finally:
            seen.stop.set()
            for part in parts:
                with suppress(Exception):
                    part.kill()
    return seen


async def start(folder: Path, variables: dict[str, str], services: int = 2) -> list[Part]:
    """So many services of one model, and two gateways that ask them all."""
    replicas = [service("fake", folder, environment=variables) for _ in range(services)]
    for number, replica in enumerate(replicas[1:], start=2):
        replica.name, replica.log = f"fake{number}", folder / f"fake{number}.log"
    await asyncio.gather(*(each.start() for each in replicas))
    addresses = "|".join(each.address for each in replicas)
    variables = {"DIPTYCH_MODELS": f"fake={addresses}", "DIPTYCH_DRAIN_S": "5", **variables}
    gateways = [
        Part(name, "diptych_gateway", folder, variables, listening="serving", ready="model found")
        for name in ("gateway", "gateway2")
    ]
    await asyncio.gather(*(each.start() for each in gateways))
    return [*replicas, *gateways]


def main() -> None:
    """Measure, and compare with the floors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--calls", type=int, default=200_000)
    parser.add_argument("--drain", type=float, default=8.0)
    arguments = parser.parse_args()
    seen = asyncio.run(measure(arguments.rounds, arguments.calls, arguments.drain))
    failed = seen.calls.total() - seen.calls["OK"]
    for outcome, count in seen.calls.items():
        print(f"{count:>8} {outcome}")
    finish(
        [
            Figure("SDK calls", seen.calls.total(), arguments.calls, at_least=True),
            Figure("calls that failed or were answered wrongly", failed, 0),
            Figure("times that the SDK resumed a session", seen.resumed, 1, at_least=True),
            Figure("shortest warning", min(seen.warnings_s, default=0), WARNING_S, "s", True),
            Figure("frames followed", seen.frames, 1, at_least=True),
            Figure("frames with other masks than without restarts", seen.wrong_frames, 0),
        ]
    )


if __name__ == "__main__":
    main()

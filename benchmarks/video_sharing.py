"""Who gets how much of one device: four video sessions, a stream of prompts, an automatic request.

    python benchmarks/video_sharing.py [--seconds 30]

Starts the SAM 2 service with the demo weights. Four sessions follow one object each as fast as they
are answered, while prompts on pictures come at a steady rate: one on a new picture, one on the same
picture again. The second part adds automatic requests, one after the other. Prints each session's
share of the frames and how long prompts waited, in frames of the model.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
from dataclasses import dataclass, field

import clips
import machine
import served

import diptych

SESSIONS = 4
PROMPTS_EVERY_S = 0.4
MOST_APART = 0.2
MOST_WAIT_FRAMES = 3.0
PICTURES = (clips.encoded(clips.drawn(seed, 1)[0][0]) for seed in itertools.count(5000))
"""Each is asked about once, so that it is new."""
CLIP = [(clips.encoded(picture), labels) for picture, labels in clips.drawn(5, 64)]


@dataclass
class Part:
    """What happened in one part of the measurement."""

    frames: list[int] = field(default_factory=lambda: [0] * SESSIONS)
    frame_s: list[float] = field(default_factory=list)
    """The model's time for each frame."""
    waits_s: dict[str, list[float]] = field(default_factory=lambda: {"new": [], "held": []})
    """How long each prompt waited for the model."""
    automatic_s: list[float] = field(default_factory=list)

    @property
    def frame(self) -> float:
        """The median time of the model for a frame."""
        return statistics.median(self.frame_s)


async def follow(client: diptych.AsyncClient, number: int, part: Part, end: asyncio.Event) -> None:
    """One session that never pauses."""
    async with client.video() as session:
        for index in range(10**9):
            encoded, labels = CLIP[index % len(CLIP)]
            await session.send(encoded)
            if index == 0:
                await session.prompt(1, box=clips.box_of(labels, 1))
                await anext(session)
            result = await anext(session)
            assert isinstance(result, diptych.VideoFrameResult)
            if end.is_set():
                return
            part.frames[number] += 1
            part.frame_s.append(result.timings.predict_s)


async def click(client: diptych.AsyncClient, part: Part, end: asyncio.Event) -> None:
    """Prompts at a steady rate, whether or not earlier ones were answered."""

    async def ask(picture: bytes, x: float, kind: str) -> None:
        answer = await client.segment(picture, points=[(x, 128)])
        part.waits_s[kind].append(answer.timings.queue_s)

    async def twice() -> None:
        picture = next(PICTURES)
        await ask(picture, 100, "new")
        await ask(picture, 160, "held")

    async with asyncio.TaskGroup() as group:
        while not end.is_set():
            group.create_task(twice())
            await asyncio.sleep(PROMPTS_EVERY_S)


async def automatic(client: diptych.AsyncClient, part: Part, end: asyncio.Event) -> None:
    """One automatic request after the other."""
    number = 0
    while not end.is_set():
        picture = clips.drawn(1000 + number, 1)[0][0]
        answer = await client.segment(picture)
        part.automatic_s.append(answer.timings.total_s)
        number += 1


async def measure(address: str, seconds: float, *, with_automatic: bool) -> Part:
    """One part."""
    part, end = Part(), asyncio.Event()
    async with diptych.AsyncClient(address, timeout=120) as client, asyncio.TaskGroup() as group:
        for number in range(SESSIONS):
            group.create_task(follow(client, number, part, end))
        group.create_task(click(client, part, end))
        if with_automatic:
            group.create_task(automatic(client, part, end))
        await asyncio.sleep(seconds)
        end.set()
    return part


def judge(name: str, part: Part) -> bool:
    """Print one part; whether it is fair."""
    mean = statistics.fmean(part.frames)
    apart = max(abs(count - mean) for count in part.frames) / mean
    print(f"{name}: frames {part.frames}, apart {apart:.1%}, {part.frame * 1e3:.1f} ms a frame")
    fair = apart <= MOST_APART
    for kind, waits in part.waits_s.items():
        worst = machine.percentile(waits, 0.99)
        frames = worst / part.frame
        fair &= frames <= MOST_WAIT_FRAMES
        print(
            f"  {len(waits)} prompts, picture {kind}: waited {machine.milliseconds(waits)} ms, "
            f"p99 {worst * 1e3:.1f} ms = {frames:.2f} frames"
        )
    if part.automatic_s:
        took = machine.milliseconds(part.automatic_s)
        print(f"  {len(part.automatic_s)} automatic requests took {took} ms")
    return fair


def main() -> None:
    """Measure, print and judge."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30)
    args = parser.parse_args()
    print(machine.describe())
    parts = dict[str, Part]()
    with served.running("diptych_sam2") as service:
        asyncio.run(measure(service.address, 3, with_automatic=False))
        for name in ("sessions and prompts", "and automatic requests"):
            parts[name] = asyncio.run(
                measure(service.address, args.seconds, with_automatic=name.startswith("and"))
            )
    fair = [judge(name, part) for name, part in parts.items()]
    machine.keep("video_sharing", {name: vars(part) for name, part in parts.items()})
    if not all(fair):
        raise SystemExit("not shared fairly")


if __name__ == "__main__":
    main()

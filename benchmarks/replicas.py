"""Replicas behind gateways: encoder runs of real SAM 2 services, and a rolling restart.

    python benchmarks/replicas.py [--calls 2000]

First 1, 2 and 4 SAM 2 services with the demo weights, behind one gateway and behind two that one
client takes in turn: twelve images with five prompts each, three images at a time, have to run the
encoder twelve times. Then three services around an engine without a model are restarted one after
the other under calls: none may be lost, and the video sessions of the two others have to go on.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))
sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))

import clips
import grpc
import served
from fake_video import DRIFT
from harness.figures import Figure, finish
from harness.parts import Part, gateway, service
from serving_helpers import picture, png

from diptych import AsyncClient, AsyncVideoSession, DiptychError
from diptych.segment import v1 as pb

IMAGES, PROMPTS, TOGETHER = 12, 5, 3
CALLERS = 6


async def encoder_runs(addresses: list[str]) -> list[int]:
    """Count them, by service."""
    found = []
    for address in addresses:
        async with grpc.aio.insecure_channel(address) as channel:
            stub = pb.SegmentServiceStub(channel)
            found.append((await stub.GetModelStats(pb.GetModelStatsRequest())).encoder_run_count)
    return found


async def prompts(gateways: list[str], seed: int) -> None:
    """Prompt every image, each time through the next gateway."""
    async with AsyncClient(f"ipv4:{','.join(gateways)}", timeout=120) as client:

        async def user(number: int) -> None:
            image = clips.encoded(clips.drawn(seed + number, 1)[0][0])
            for prompt in range(PROMPTS):
                await client.segment(image, model="sam-2", points=[(100 + prompt, 128)])

        for first in range(0, IMAGES, TOGETHER):
            await asyncio.gather(*(user(number) for number in range(first, first + TOGETHER)))


async def replicas_up(address: str, count: int) -> None:
    """Wait until a gateway has found them all."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub, up = pb.GatewayServiceStub(channel), 0
        while up < count:
            (known,) = (await stub.ListModelCards(pb.ListModelCardsRequest())).models
            up = sum(not each.status.code for each in known.replicas)
            await asyncio.sleep(0.1)


async def homes() -> list[Figure]:
    """Count encoder runs with so many services and gateways."""
    figures = []
    for count in (1, 2, 4):
        with ExitStack() as stack:
            services = [
                stack.enter_context(served.running("diptych_sam2", threads=1)) for _ in range(count)
            ]
            addresses = [each.address for each in services]
            models = f"sam-2={'|'.join(addresses)}"
            for number in (1, 2):
                with ExitStack() as front:
                    ways = [
                        front.enter_context(
                            served.running("diptych_gateway", models=models, http_port="")
                        ).address
                        for _ in range(number)
                    ]
                    for way in ways:
                        await replicas_up(way, count)
                    before = await encoder_runs(addresses)
                    await prompts(ways, 1000 * count + 100 * number)
                    after = await encoder_runs(addresses)
                runs = [b - a for a, b in zip(before, after, strict=True)]
                print(f"{count} services, {number} gateways: {runs}", flush=True)
                name = f"encoder runs with {count} services and {number} gateways"
                figures.append(Figure(name, sum(runs), IMAGES))
    return figures


async def call(client: AsyncClient, number: int, seen: Counter[str], stop: asyncio.Event) -> None:
    """Ask about known images until told to stop."""
    while not stop.is_set():
        number += 7
        try:
            await client.segment(png(picture(seed=number % 50)), model="fake")
            seen["OK"] += 1
        except DiptychError as error:
            seen[f"{error.code} {error.reason} {error}"[:160]] += 1
        await asyncio.sleep(0.02)


async def session_counts(parts: list[Part]) -> list[int]:
    """Count the sessions of each service."""
    found = []
    for part in parts:
        async with grpc.aio.insecure_channel(part.address) as channel:
            stub = pb.SegmentServiceStub(channel)
            found.append((await stub.GetModelStats(pb.GetModelStatsRequest())).session_count)
    return found


async def follow(session: AsyncVideoSession, index: int) -> bool:
    """Send a frame; returns whether it was answered."""
    pixels = picture(seed=index)
    pixels[0, 0] = DRIFT
    try:
        await session.send(png(pixels), index=index)
        await anext(session)
    except DiptychError:
        return False
    return True


async def restart_under_sessions(client: AsyncClient, parts: list[Part], number: int) -> int:
    """Restart one of them; returns how many sessions of the others were lost."""
    sessions: dict[int, AsyncVideoSession] = {}
    lost = 0
    async with AsyncExitStack() as stack:
        for _ in parts:
            before = await session_counts(parts)
            session = await stack.enter_async_context(client.video(model="fake", auto_resume=False))
            await follow(session, 0)
            now = await session_counts(parts)
            grown = [i for i, (a, b) in enumerate(zip(before, now, strict=True)) if b > a]
            sessions[grown[0]] = session
        restarting = asyncio.create_task(again(parts[number]))
        index = 0
        while not restarting.done():
            index += 1
            for where, session in sessions.items():
                if where != number and not await follow(session, index):
                    lost += 1
            await asyncio.sleep(0.05)
        await restarting
        if len(sessions) != len(parts):
            print(f"sessions were on {sorted(sessions)} only", flush=True)
    while sum(await session_counts(parts)):
        await asyncio.sleep(0.05)
    return lost


async def again(part: Part) -> None:
    """Stop it and start it."""
    await part.terminate()
    await part.start()


async def rolling(calls: int) -> list[Figure]:
    """Restart three services one after the other under calls and sessions."""
    seen, stop = Counter[str](), asyncio.Event()
    lost = rounds = 0
    with tempfile.TemporaryDirectory() as name:
        folder, parts = Path(name), []
        for number in range(3):
            part = service("fake", folder)
            part.name, part.log = f"fake{number}", folder / f"fake{number}.log"
            parts.append(part)
        try:
            await asyncio.gather(*(part.start() for part in parts))
            front = gateway(folder, {"fake": "|".join(part.address for part in parts)})
            parts.append(front)
            await front.start()
            async with AsyncClient(front.address, timeout=30) as client:
                await asyncio.sleep(2)
                callers = [
                    asyncio.create_task(call(client, number, seen, stop))
                    for number in range(CALLERS)
                ]
                while rounds < 1 or seen.total() < calls:
                    for number in range(3):
                        lost += await restart_under_sessions(client, parts[:3], number)
                        await asyncio.sleep(1)
                    rounds += 1
                stop.set()
                await asyncio.gather(*callers)
        finally:
            for part in parts:
                with suppress(Exception):
                    part.kill()
    for outcome, count in seen.items():
        print(f"{count:>8} {outcome}")
    return [
        Figure("calls", seen.total(), calls, at_least=True),
        Figure("calls that failed", seen.total() - seen["OK"], 0),
        Figure("frames that sessions on other services lost", lost, 0),
    ]


async def measure(calls: int) -> list[Figure]:
    """Both parts."""
    return [*await homes(), *await rolling(calls)]


def main() -> None:
    """Measure, and compare with what has to be."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--calls", type=int, default=2000)
    finish(asyncio.run(measure(parser.parse_args().calls)))


if __name__ == "__main__":
    main()

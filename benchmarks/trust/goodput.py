"""What a service answers in time when it is offered more than it can do.

    python benchmarks/trust/goodput.py [--at service|gateway] [--seconds S] [--deadlines 0.3,1,3,30]
                                       [--queues 10,64,250] [--factors 2,5,10] [--short]

A model that takes 20 ms is offered 2, 5 and 10 times the 50 requests a second that it can do, with
each deadline and each length of the queue (0.2, 1.3 and 5 s of work). Good is an answer with the
right content inside its deadline. The peak is what as many callers as the engine process takes at
once get, each asking again when it is answered, in the same run. Model time for the departed is
that of requests whose callers were not answered. ``--short`` takes one queue and three points.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[2] / "tests"
sys.path[:0] = [str(_TESTS), str(_TESTS / "support")]

from harness.engine import Plan  # noqa: E402
from harness.figures import Figure, finish  # noqa: E402
from harness.load import Caller, Outcome, channel_to, closed_loop, open_loop, pictures  # noqa: E402
from harness.parts import Stack, running_stack  # noqa: E402

_MODEL_S = 0.02
_FLOORS = {2: 97.0, 5: 95.0, 10: 90.0}
_DEPARTED_MOST = 2.0
_WARM_S = 1.0


@dataclass(frozen=True)
class Point:
    """One point of the grid."""

    queue: int
    deadline_s: float
    factor: int


@asynccontextmanager
async def served(queue: int, at: str) -> AsyncIterator[tuple[Stack, int]]:
    """The service and a gateway, with the port of the one that is asked."""
    environment = {"DIPTYCH_QUEUE_REQUESTS": str(queue), "DIPTYCH_LOG_LEVEL": "info"}
    in_flight = {"DIPTYCH_IN_FLIGHT_REQUESTS": str(max(2 * queue, 128))}
    async with running_stack(
        plan=Plan(segment_s=_MODEL_S), service_env=environment, gateway_env=in_flight
    ) as stack:
        yield stack, stack.services["fake"].port if at == "service" else stack.gateway.port


async def peak_of(port: int, seconds: float) -> float:
    """Answers a second for as many callers as the engine process takes at once, and one."""
    files = pictures(64)
    async with channel_to(port) as channel:
        caller = Caller(channel, model="fake", deadline_s=30)

        async def ask(chance: random.Random) -> Outcome:
            return await caller.segment(chance.choice(files))

        until = time.monotonic() + seconds
        tally = await closed_loop(ask, callers=3, until=lambda _: time.monotonic() > until)
    return tally.ok / seconds


async def measure(
    stack: Stack, port: int, point: Point, seconds: float
) -> tuple[float, float, str]:
    """Good answers a second, percent of model time for the departed, and all outcomes."""
    count = int(point.factor / _MODEL_S * (seconds + _WARM_S)) + 1
    files = pictures(min(count, 400), first=1000)
    before = len(stack.work("fake"))
    async with channel_to(port) as channel:
        caller = Caller(channel, model="fake", deadline_s=point.deadline_s)

        async def ask(number: int) -> Outcome:
            return await caller.segment(files[number % len(files)])

        tally = await open_loop(ask, rate=point.factor / _MODEL_S, seconds=seconds + _WARM_S)
    # What fills the queue at first is answered later than in the long run.
    begin, end = tally.began + _WARM_S, tally.began + _WARM_S + seconds
    good = sum(one.ok and begin <= one.ended < end for one in tally.outcomes) / seconds
    worked = [row for row in stack.work("fake")[before:] if row[0] == "segment"]
    departed = max(len(worked) - tally.ok, 0) / max(len(worked), 1) * 100
    codes = ", ".join(f"{count} {code}" for code, count in sorted(tally.codes().items()))
    odd = {one.text for one in tally.outcomes if one.code == "UNAVAILABLE"}
    if odd:
        print(f"unavailable: {sorted(odd)[:3]}")
    text = f"p99 {tally.latency(0.99):.2f} s, {codes}, generator late {tally.lag_s * 1e3:.0f} ms"
    return good, departed, text


async def run(options: argparse.Namespace) -> list[Figure]:
    """Measure the grid, one pair of processes for each length of the queue."""
    figures = []
    for queue in options.queues:
        async with served(queue, options.at) as (stack, port):
            await peak_of(port, 1.0)
            peak = await peak_of(port, options.seconds)
            print(f"{options.at}, queue of {queue}: peak {peak:.1f}/s", flush=True)
            for deadline_s, factor in itertools.product(options.deadlines, options.factors):
                point = Point(queue, deadline_s, int(factor))
                good, departed, text = await measure(stack, port, point, options.seconds)
                name = f"{options.at}: queue {queue}, deadline {deadline_s:g} s, {factor:g}x"
                print(f"{name}: {good:.1f}/s good, {departed:.1f} % departed; {text}", flush=True)
                share, floor = 100 * good / peak, _FLOORS.get(int(factor), 90.0)
                figures += [
                    Figure(f"{name}: goodput of peak", share, floor, "%", at_least=True),
                    Figure(f"{name}: model time for the departed", departed, _DEPARTED_MOST, "%"),
                ]
                await asyncio.sleep(min(queue * _MODEL_S, 1.0))
    return figures


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")

    def numbers(text: str) -> list[float]:
        return [float(part) for part in text.split(",")]

    parser.add_argument("--at", choices=("service", "gateway"), default="service")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--deadlines", type=numbers, default=[0.3, 1.0, 3.0, 30.0])
    parser.add_argument("--queues", type=numbers, default=[10.0, 64.0, 250.0])
    parser.add_argument("--factors", type=numbers, default=[2.0, 5.0, 10.0])
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    if options.short:
        options.queues, options.deadlines, options.seconds = [64.0], [1.0], 6.0
    options.queues = [int(queue) for queue in options.queues]
    finish(asyncio.run(run(options)))


if __name__ == "__main__":
    main()

"""Mixed requests for minutes: whose answers they are, what cancelled work costs, how memory grows.

make soak MINUTES=30, or python -m harness.soak [--minutes N] [--fault FAULT]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from harness import oracles
from harness.engine import Plan
from harness.figures import Figure, report
from harness.load import Caller, Outcome, Picture, Tally, channel_to, closed_loop, pictures
from harness.parts import Stack, running_stack
from harness.watch import Samples, sampling
from processes import children

CALLERS = 12
WARM_SHARE = 0.4
CACHES = {"DIPTYCH_CACHE_BYTES": "20000000"}
GATEWAY_CACHES = {"DIPTYCH_IMAGE_CACHE_BYTES": "5000000"}
PLAN = Plan(segment_s=0.008, prompt_s=0.002, frame_s=0.002, step_s=0.002)
_NAMES = ("fake", "other")
_CANCELLED = "cancelled"


@dataclass
class Soaked:
    """What came of it."""

    tally: Tally
    samples: Samples
    cancelled: dict[str, float] = field(default_factory=dict)
    """Moments of cancelling, by watermark: each of an image that nobody else asks about."""
    wrong: list[str] = field(default_factory=list)
    warm: float = 0.0
    warm_calls: int = 0


class Mix:
    """Draws requests of all methods; one in ten is cancelled."""

    def __init__(self, callers: dict[str, Caller], soaked: Soaked) -> None:
        self._callers = callers
        self._soaked = soaked
        self._pictures = pictures(300)
        self._fresh = itertools.count(100_000)

    async def one(self, chance: random.Random) -> Outcome:
        """One request, judged."""
        if chance.random() < 0.1:
            return await self._cancelled(chance)
        caller = self._callers[chance.choice(_NAMES)]
        asked, what = chance.choice(self._pictures), chance.randrange(12)
        if what == 0:
            return await caller.video([asked, *chance.sample(self._pictures, 3)])
        if what <= 2:
            return await caller.compare(asked)
        if what <= 4:
            return await caller.stream_compare(asked)
        if what <= 6:
            return await self._by_digest(caller, asked)
        return await caller.segment(asked, prompt=what <= 9)

    async def _by_digest(self, caller: Caller, asked: Picture) -> Outcome:
        outcome = await caller.segment(asked, prompt=True, digest=True)
        not_held = outcome.reason == "IMAGE_NOT_HELD"
        return await caller.segment(asked, prompt=True) if not_held else outcome

    async def _cancelled(self, chance: random.Random) -> Outcome:
        asked = pictures(1, first=next(self._fresh))[0]
        began = time.monotonic()
        call = asyncio.create_task(self._callers["fake"].segment(asked))
        await asyncio.sleep(chance.random() * 0.05)
        if call.done():
            return call.result()
        self._soaked.cancelled[asked.mark] = time.monotonic()
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call
        return Outcome(_CANCELLED, began, time.monotonic(), _CANCELLED, mark=asked.mark)


async def soak(stack: Stack, until: Callable[[Tally], bool]) -> Soaked:
    """Ask until the condition holds, with oracles at the end."""
    soaked = Soaked(Tally(), Samples())
    async with channel_to(stack.gateway.port) as channel:
        callers = {name: Caller(channel, model=name, deadline_s=30.0) for name in _NAMES}
        mix = Mix(callers, soaked)
        # Every way once, so that threads and connections which stay are there.
        warm = await closed_loop(
            mix.one, callers=CALLERS, until=lambda tally: len(tally.outcomes) >= 100, seed=7
        )
        then = oracles.before(stack)
        async with sampling(lambda: _pids(stack), every_s=0.25) as soaked.samples:
            soaked.tally = await closed_loop(mix.one, callers=CALLERS, until=until)
        soaked.wrong = await oracles.check(stack, then, soaked.tally)
        soaked.wrong += oracles.accounts(warm)
    bad = set(soaked.tally.codes()) - {"OK", _CANCELLED}
    soaked.wrong += [f"callers got {code}" for code in sorted(bad)]
    span = soaked.tally.ended - soaked.tally.began
    soaked.warm = soaked.tally.began + WARM_SHARE * span
    soaked.warm_calls = sum(one.began >= soaked.warm for one in soaked.tally.outcomes)
    return soaked


def _pids(stack: Stack) -> list[int]:
    engines = [pid for part in stack.services.values() for pid in children(part.pid)]
    return [*(part.pid for part in stack.parts), *engines]


def wasted(stack: Stack, soaked: Soaked) -> float:
    """Share of the model's time that went to callers who had left."""
    total = lost = 0.0
    for name in stack.services:
        for _, mark, start, end in stack.work(name):
            total += end - start
            left = soaked.cancelled.get(mark)
            if left is not None:
                lost += max(end - max(start, left), 0.0)
    return lost / total if total else 0.0


def growth(stack: Stack, soaked: Soaked) -> dict[str, float]:
    """Bytes that each process grew by for each call, after it was warm."""
    pids = {part.name: part.pid for part in stack.parts}
    pids |= {f"engine of {n}": part.engine_pid for n, part in stack.services.items()}
    return {
        name: soaked.samples.slope(pid, soaked.warm_calls, after=soaked.warm)
        for name, pid in pids.items()
    }


async def run(minutes: float, fault: str) -> int:
    """Soak for so long and compare with the floors."""
    plan = Plan(**{**PLAN.__dict__, "fault": fault})
    environment = {"service_env": CACHES, "gateway_env": GATEWAY_CACHES}
    async with running_stack(*_NAMES, plan=plan, **environment) as stack:
        until = time.monotonic() + 60 * minutes
        soaked = await soak(stack, lambda _: time.monotonic() > until)
        share, grown = wasted(stack, soaked), growth(stack, soaked)
    for line in soaked.wrong:
        print(f"wrong: {line}")
    codes = dict(soaked.tally.codes())
    print(f"{soaked.tally.offered} calls: {codes}")
    figures = [Figure("answers that were somebody else's", soaked.tally.wrong, 0)]
    figures += [Figure("work for callers who had left", 100 * share, 2, "% of model time")]
    figures += [Figure(f"memory of {n}", g / 1024, 1, "KiB/call") for n, g in grown.items()]
    figures += [Figure("other things that were wrong", len(soaked.wrong), 0)]
    return report(figures)


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--fault", default="", help="of the engine, such as mixed_up: must be seen")
    arguments = parser.parse_args()
    return asyncio.run(run(arguments.minutes, arguments.fault))


if __name__ == "__main__":
    sys.exit(main())

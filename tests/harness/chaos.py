"""Faults under load: everybody gets one status, in time, not somebody else's; then all is well.

python tests/harness/chaos.py [--rounds N] [KIND ...]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Sequence

import grpc
from harness import oracles
from harness.faults import KINDS, MODEL, OTHER, Kind
from harness.figures import Figure, report
from harness.load import Caller, Outcome, Tally, channel_to, closed_loop, pictures
from harness.parts import Stack, running_stack

DEADLINE_S = 2.5
LATE_S = 0.5
"""Beyond its deadline; more on a machine that does other things as well is not the product's."""
BACK_S = 20.0
CALLERS = 5
SERVICE = {"DIPTYCH_STEP_TIMEOUT_S": "3", "DIPTYCH_SESSION_IDLE_S": "6", "DIPTYCH_DRAIN_S": "5"}
_PICTURES = 200


async def strike(stack: Stack, kind: Kind, *, pause_s: float = 1.0) -> tuple[list[str], Tally]:
    """Do one fault under load and say what was wrong, one line each, and what the load got."""
    asked = pictures(_PICTURES)
    await _warm(stack)
    then = oracles.before(stack)
    stop = False
    async with channel_to(stack.gateway.port) as channel:
        callers = {name: Caller(channel, model=name, deadline_s=DEADLINE_S) for name in _MODELS}

        async def one(chance: random.Random) -> Outcome:
            name, picked = chance.choice(_MODELS), chance.choice(asked)
            caller, what = callers[name], chance.randrange(10)
            if what == 0:
                return await caller.video([picked, *chance.sample(asked, 2)])
            if what == 1:
                return await caller.compare(picked)
            if what == 2:
                return await caller.stream_compare(picked)
            return await caller.segment(picked, prompt=what < 6)

        load = asyncio.create_task(
            closed_loop(one, callers=CALLERS, until=lambda _: stop, think_s=0.03)
        )
        await asyncio.sleep(pause_s)
        try:
            wrong = await kind.fault(stack)
            wrong += await _back(stack)
        finally:
            await asyncio.sleep(pause_s / 2)
            stop = True
            tally = await load
    seen = {code for code in tally.codes() if code != "OK"} - kind.seen
    wrong += [f"callers got {code}, {tally.codes()[code]} times" for code in sorted(seen)]
    wrong += await oracles.check(stack, then, tally)
    return wrong, tally


_MODELS = (MODEL, OTHER)


async def _warm(stack: Stack) -> None:
    """Use every way once, so that threads and connections which stay are there."""
    asked = pictures(8, first=90_000)
    async with channel_to(stack.gateway.port) as channel:
        for name in _MODELS:
            caller = Caller(channel, model=name, deadline_s=10.0)
            await asyncio.gather(*(caller.segment(one) for one in asked), caller.video(asked[:2]))
            await asyncio.gather(*(caller.compare(one) for one in asked))


async def _back(stack: Stack) -> list[str]:
    """Wait until every model answers again."""
    until = time.monotonic() + BACK_S
    asked = pictures(1, first=80_000)[0]
    waiting = list(_MODELS)
    async with channel_to(stack.gateway.port) as channel:
        while waiting and time.monotonic() < until:
            outcome = await Caller(channel, model=waiting[0], deadline_s=2.0).segment(asked)
            if outcome.ok:
                waiting.pop(0)
            else:
                await asyncio.sleep(0.1)
    return [f"{name} did not come back within {BACK_S:g} s" for name in waiting]


async def run(kinds: Sequence[Kind], rounds: int) -> int:
    """All kinds, each in a stack of its own if the one before left something broken."""
    faults = failed = late = calls = 0
    for _ in range(rounds):
        left = list(kinds)
        while left:
            stack_of = running_stack(*_MODELS, service_env=SERVICE, proxied=(MODEL,))
            async with stack_of as stack:
                while left:
                    kind = left.pop(0)
                    began = time.monotonic()
                    try:
                        wrong, tally = await strike(stack, kind)
                    except (OSError, RuntimeError, TimeoutError, grpc.RpcError) as error:
                        wrong, tally = [f"{type(error).__name__}: {error}"], Tally()
                    over = [o for o in tally.outcomes if o.seconds > DEADLINE_S + LATE_S]
                    faults, failed = faults + 1, failed + bool(wrong)
                    late, calls = late + len(over), calls + tally.offered
                    took = time.monotonic() - began
                    verdict = "FAILED" if wrong else "held"
                    codes = dict(tally.codes())
                    print(f"{kind.name:<20} {verdict:<7} {took:5.1f} s  {codes}", flush=True)
                    for line in wrong:
                        print(f"    {line}", flush=True)
                    if wrong:
                        break  # the next ones must not suffer from it
    return report(
        [
            Figure(f"kinds of faults that left something wrong, of {faults}", failed, 0),
            Figure(f"calls that ended after their deadline, of {calls}", late, 0),
        ]
    )


def main() -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(k.name for k in KINDS))
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    unknown = set(arguments.kinds) - {kind.name for kind in KINDS}
    if unknown:
        parser.error(f"no such kinds: {', '.join(sorted(unknown))}")
    chosen = [kind for kind in KINDS if not arguments.kinds or kind.name in arguments.kinds]
    return asyncio.run(run(chosen, arguments.rounds))


if __name__ == "__main__":
    sys.exit(main())

"""What other tenants get of a service while one asks for far more than its share.

    python benchmarks/trust/tenants.py [--tenants 20] [--factor 50] [--seconds S] [--short]

Each of the tenants asks so often that all together need 80 % of a model that takes 20 ms; first so,
then one of them ``factor`` times as often. Tenants are named in the metadata that a gateway sends.
Printed is what each of the others was answered, in percent of what it was answered before; the
least of them has a floor.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import sys
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[2] / "tests"
sys.path[:0] = [str(_TESTS), str(_TESTS / "support")]

from harness.engine import Plan  # noqa: E402
from harness.figures import Figure, finish  # noqa: E402
from harness.load import Caller, Outcome, Picture, Tally, channel_to, open_loop, pictures  # noqa: E402
from harness.parts import running_stack  # noqa: E402

MODEL_S = 0.02
_BUSY = 0.8
FLOOR = 95.0
DEADLINE_S = 3.0


@functools.cache
def pictures_of(name: str) -> list[Picture]:
    """Make what a tenant asks about, once, for the load has to wait for it."""
    return pictures(50, first=hash(name) % 1000)


async def tenant(port: int, name: str, rate: float, seconds: float) -> Tally:
    """The load of one tenant through a connection of its own; its name is also its token."""
    files = pictures_of(name)
    async with channel_to(port) as channel:
        caller = Caller(channel, model="fake", deadline_s=DEADLINE_S, token=name)
        caller._metadata += (("x-diptych-tenant", name),)

        async def ask(number: int) -> Outcome:
            return await caller.segment(files[number % len(files)])

        return await open_loop(ask, rate=rate, seconds=seconds)


def tenant_name(number: int) -> str:
    """What a tenant is called."""
    return f"tenant-{number}"


async def together(
    port: int, tenants: int, factor: float, seconds: float
) -> tuple[Tally, list[Tally]]:
    """The load of all; returns that of the first, which asks ``factor`` times as often."""
    rate = _BUSY / MODEL_S / tenants
    loads = (
        tenant(port, tenant_name(number), rate * (1 if number else factor), seconds)
        for number in range(tenants)
    )
    first, *others = await asyncio.gather(*loads)
    return first, others


async def measure(port: int, tenants: int, factor: float, seconds: float) -> list[Figure]:
    """Measure without the greedy one and with it."""
    await together(port, tenants, 1, 2.0)
    _, alone = await together(port, tenants, 1, seconds)
    greedy, beside = await together(port, tenants, factor, seconds)
    shares = [100 * now.ok / max(then.ok, 1) for now, then in zip(beside, alone, strict=True)]
    late = max(tally.lag_s for tally in (*beside, greedy))
    print(f"the greedy one: {dict(greedy.codes())}; generator late {late * 1e3:.0f} ms")
    print("the others: " + ", ".join(f"{share:.0f} %" for share in sorted(shares)))
    all_of = 100 * sum(t.ok for t in beside) / max(sum(t.ok for t in alone), 1)
    name = f"1 of {tenants} tenants at {factor:g}x"
    return [
        Figure(f"{name}: the others together, of before", all_of, FLOOR, "%", at_least=True),
        Figure(f"{name}: the least of them", min(shares), FLOOR, "%", at_least=True),
    ]


async def run(options: argparse.Namespace) -> list[Figure]:
    """Measure at a service."""
    async with running_stack(plan=Plan(segment_s=MODEL_S), gateways=0) as stack:
        port = stack.services["fake"].port
        return await measure(port, options.tenants, options.factor, options.seconds)


def arguments(about: str | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(about or "").partition("\n")[0])
    parser.add_argument("--tenants", type=int, default=20)
    parser.add_argument("--factor", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    if options.short:
        options.seconds = 10.0
    return options


if __name__ == "__main__":
    finish(asyncio.run(run(arguments(__doc__))))

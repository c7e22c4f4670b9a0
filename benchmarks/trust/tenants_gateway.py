"""What other tokens get through a gateway while one asks for far more than its share.

    python benchmarks/trust/tenants_gateway.py [--tenants 20] [--factor 50] [--seconds S] [--short]

The load is that of ``tenants.py``, each tenant with a token of its own, none of which has limits.
Then one token alone asks for twice what the model can do; printed is what it is answered, in
percent of what few callers get who each ask again when they are answered.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import sys
import tempfile
import time
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[2] / "tests"
sys.path[:0] = [str(_TESTS), str(_TESTS / "support")]

from harness.engine import Plan  # noqa: E402
from harness.figures import Figure, finish  # noqa: E402
from harness.load import Caller, Outcome, channel_to, closed_loop, pictures  # noqa: E402
from harness.parts import running_stack  # noqa: E402
from tenants import (  # noqa: E402
    DEADLINE_S,
    FLOOR,
    MODEL_S,
    arguments,
    measure,
    tenant,
    tenant_name,
)

_CALLERS = 4


def write_tokens(path: Path, tenants: int) -> None:
    """Write a tokens file in which each tenant's token is its name."""
    names = [tenant_name(number) for number in range(tenants)]
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in names}
    path.write_text("".join(f'[tokens.{n}]\nsha256 = "{d}"\n' for n, d in digests.items()))


async def alone(port: int, seconds: float) -> Figure:
    """Measure what one token gets that has the model to itself and asks for twice of it."""
    files = pictures(64)
    async with channel_to(port) as channel:
        caller = Caller(channel, model="fake", deadline_s=DEADLINE_S, token=tenant_name(0))

        async def ask(chance: random.Random) -> Outcome:
            return await caller.segment(chance.choice(files))

        until = time.monotonic() + seconds
        peak = await closed_loop(ask, callers=_CALLERS, until=lambda _: time.monotonic() > until)
    tally = await tenant(port, tenant_name(0), 2 / MODEL_S, seconds)
    good = sum(one.ok and one.ended < tally.began + seconds for one in tally.outcomes) / seconds
    print(f"one alone: peak {peak.ok / seconds:.1f}/s, at 2x {good:.1f}/s, {dict(tally.codes())}")
    share = 100 * good / max(peak.ok / seconds, 1)
    return Figure("one token alone at 2x: of the peak", share, FLOOR, "%", at_least=True)


async def run(options: argparse.Namespace) -> list[Figure]:
    """Measure through a gateway that asks for tokens."""
    with tempfile.TemporaryDirectory(prefix="diptych-") as folder:
        path = Path(folder) / "tokens.toml"
        write_tokens(path, options.tenants)
        environment = {"DIPTYCH_TOKENS_FILE": str(path)}
        plan = Plan(segment_s=MODEL_S)
        async with running_stack(plan=plan, gateway_env=environment) as stack:
            port = stack.gateway.port
            found = await measure(port, options.tenants, options.factor, options.seconds)
            return [*found, await alone(port, options.seconds)]


if __name__ == "__main__":
    finish(asyncio.run(run(arguments(__doc__))))

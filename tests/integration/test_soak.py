"""A short soak, and that the long one would see a leak and a mix-up."""

from __future__ import annotations

from dataclasses import replace

from harness.engine import Plan
from harness.load import Tally
from harness.parts import running_stack
from harness.soak import CACHES, GATEWAY_CACHES, PLAN, Soaked, growth, soak

CALLS = 250
LEAK = 256 * 1024


def enough(tally: Tally) -> bool:
    return len(tally.outcomes) >= CALLS


async def soaked_by(plan: Plan) -> tuple[Soaked, dict[str, float]]:
    environment = {"service_env": CACHES, "gateway_env": GATEWAY_CACHES}
    async with running_stack("fake", "other", plan=plan, **environment) as stack:
        soaked = await soak(stack, enough)
        return soaked, growth(stack, soaked)


async def test_mixed_requests_get_their_own_answers_and_leave_nothing() -> None:
    soaked, _ = await soaked_by(PLAN)
    assert soaked.wrong == []
    assert soaked.cancelled


async def test_a_mix_up_would_be_seen() -> None:
    soaked, _ = await soaked_by(replace(PLAN, fault="mixed_up"))
    assert soaked.tally.wrong
    assert any("somebody else's" in line for line in soaked.wrong)


async def test_a_leak_would_be_seen() -> None:
    _, grown = await soaked_by(replace(PLAN, leak_bytes=LEAK))
    assert grown["engine of fake"] > 10 * 1024

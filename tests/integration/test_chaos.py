"""Some kinds of faults under load; ``make chaos`` does them all, and repeats them."""

from __future__ import annotations

from harness.chaos import SERVICE, strike
from harness.faults import KINDS, MODEL, OTHER
from harness.parts import running_stack

SHORT = ("kill_engine", "raises", "reset_connections", "malformed_frames", "kill_gateway")


async def test_faults_cost_only_what_they_hit() -> None:
    chosen = [kind for kind in KINDS if kind.name in SHORT]
    assert len(chosen) == len(SHORT)
    wrong: dict[str, list[str]] = {}
    async with running_stack(MODEL, OTHER, service_env=SERVICE, proxied=(MODEL,)) as stack:
        for kind in chosen:
            lines, tally = await strike(stack, kind, pause_s=0.3)
            assert tally.ok
            if lines:
                wrong[kind.name] = lines
    assert wrong == {}

"""Whether the gateway says the truth of its models while they fail and while they are flooded.

An oracle that knows what was stopped, killed, frozen, cut off or flooded compares ``/readyz``,
``diptych_model_up`` and the codes and reasons of calls with it, four times a second, once the time
is over within which the gateway has to notice. That time is a figure of its own.

python benchmarks/trust/truth.py [--seconds S] [FAULT ...]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[2] / "tests"
sys.path[:0] = [str(_TESTS), str(_TESTS / "support")]

from harness import faults, proxy, readers  # noqa: E402
from harness.engine import Plan  # noqa: E402
from harness.figures import Figure, finish  # noqa: E402
from harness.load import Caller, Picture, channel_to, pictures  # noqa: E402
from harness.parts import Stack, running_stack  # noqa: E402

ONE, TWO = "one", "two"
NOTICE_S = 8.0
"""Within this the gateway has to know that a model is down, or up again: docs/deploy.md."""
BACK_S = 60.0
DEADLINE_S = 3.0
PAUSE_S = 0.25
DOWN = frozenset({"UNAVAILABLE/MODEL_LOADING", "UNAVAILABLE/ENGINE_LOST"})
BUSY = frozenset({"OK", "RESOURCE_EXHAUSTED/QUEUE_FULL", "DEADLINE_EXCEEDED/DEADLINE"})
SERVICE = {
    "DIPTYCH_STEP_TIMEOUT_S": "2",
    "DIPTYCH_RESTART_TRIES": "50",
    "DIPTYCH_QUEUE_REQUESTS": "16",
}
GATEWAY = {"DIPTYCH_IN_FLIGHT_REQUESTS": "24"}

Act = Callable[[Stack], Awaitable[object]]


@dataclass(frozen=True)
class Fault:
    """What is done to the first model, and what is true until it is undone."""

    strike: Act
    heal: Act
    up: bool = True
    codes: frozenset[str] = frozenset({"OK"})
    both: bool = False
    """Whether the second model has it too."""


@dataclass
class Findings:
    """Statements that were compared with the truth."""

    right: int = 0
    wrong: list[str] = field(default_factory=list)
    notice_s: float = 0.0

    def judge(self, what: str, said: object, true: bool) -> None:
        if true:
            self.right += 1
        else:
            self.wrong.append(f"{what} said {said}")


def _nothing() -> Act:
    async def act(stack: Stack) -> None:
        return None

    return act


def _on(*steps: Callable[[Stack], object]) -> Act:
    async def act(stack: Stack) -> None:
        for step in steps:
            step(stack)

    return act


def _start(*names: str) -> Act:
    async def act(stack: Stack) -> None:
        await asyncio.gather(*(stack.services[name].start() for name in names))

    return act


def _plan(plan: Plan) -> Act:
    async def act(stack: Stack) -> None:
        stack.plan(plan, ONE)

    return act


def _planned(fault: str, *codes: str, up: bool = True) -> Fault:
    return Fault(_plan(Plan(fault=fault)), _plan(Plan()), up, frozenset(codes) or DOWN)


def _network(mode: str, up: bool, codes: frozenset[str]) -> Fault:
    def set_mode(stack: Stack) -> None:
        stack.proxies[ONE].mode = mode

    def clear(stack: Stack) -> None:
        stack.proxies[ONE].mode = proxy.PASS
        if mode == proxy.HOLE:
            stack.proxies[ONE].reset()

    return Fault(_on(set_mode), _on(clear), up, codes)


async def _terminate(stack: Stack) -> None:
    await stack.services[ONE].terminate()


async def _frozen_gateway(stack: Stack) -> None:
    stack.gateway.freeze()
    await asyncio.sleep(6)
    stack.gateway.thaw()


async def _killed_gateway(stack: Stack) -> None:
    stack.gateway.kill()
    await stack.gateway.start()


def _kill_both(stack: Stack) -> None:
    for part in stack.services.values():
        part.kill()


def _flood(callers: int, plan: Plan) -> Fault:
    """Ten times what the model can do, and more than the gateway has places."""
    running: list[asyncio.Task[None]] = []

    async def strike(stack: Stack) -> None:
        stack.plan(plan, ONE)

        async def ask(number: int) -> None:
            async with channel_to(stack.gateway.port) as channel:
                caller = Caller(channel, model=ONE, deadline_s=DEADLINE_S)
                (picture,) = pictures(1, first=10_000 + number)
                while True:
                    await caller.segment(picture)
                    await asyncio.sleep(0.05)

        running.extend(asyncio.create_task(ask(number)) for number in range(callers))

    async def heal(stack: Stack) -> None:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        running.clear()
        stack.plan(Plan(), ONE)

    return Fault(strike, heal, codes=BUSY)


_S = Plan(segment_s=0.1, embed_s=0.01)
FAULTS: dict[str, Fault] = {
    "overload-10": _flood(60, _S),
    "black-hole": _network(proxy.HOLE, False, DOWN),
    "frozen-service": Fault(
        _on(lambda s: s.services[ONE].freeze()), _on(lambda s: s.services[ONE].thaw()), False, DOWN
    ),
    "killed-service": Fault(_on(lambda s: s.services[ONE].kill()), _start(ONE), False, DOWN),
    "stopped-service": Fault(_terminate, _start(ONE), False, DOWN),
    "all-killed": Fault(_on(_kill_both), _start(ONE, TWO), False, DOWN, both=True),
    "killed-engine": Fault(_on(lambda s: s.services[ONE].kill_engine()), _nothing()),
    "frozen-engine": Fault(
        _on(lambda s: s.services[ONE].freeze_engine()), _nothing(), codes=BUSY | DOWN
    ),
    "slow-network": _network(proxy.SLOW, True, frozenset({"OK"})),
    "reset-connections": Fault(_on(lambda s: s.proxies[ONE].reset()), _nothing()),
    "raise": _planned("raise", "INTERNAL/MODEL_FAILED"),
    "no-answer": _planned("no_answer", "INTERNAL/MODEL_FAILED"),
    "wrong-size": _planned("wrong_size", "INTERNAL/MODEL_FAILED", "OK"),
    "no-memory": _planned("no_memory", "RESOURCE_EXHAUSTED/DEVICE_MEMORY"),
    "crash": _planned("crash", up=False),
    "lost-device": _planned("lost", up=False),
    "slow-model": Fault(_plan(Plan(segment_s=1.0)), _plan(Plan()), codes=BUSY),
    "too-slow-model": Fault(
        _plan(Plan(segment_s=9.0, step_s=0.05)), _plan(Plan()), codes=BUSY - {"OK"}
    ),
    "overload-slow": _flood(60, Plan(segment_s=0.5)),
    "overload-fast": _flood(100, Plan(segment_s=0.01)),
    "frozen-gateway": Fault(_frozen_gateway, _nothing()),
    "killed-gateway": Fault(_killed_gateway, _nothing()),
    "malformed-frames": Fault(faults.malformed_frames, _nothing()),
    "malformed-http": Fault(faults.malformed_http, _nothing()),
    "half-uploads": Fault(faults.half_uploads, _nothing()),
}


_numbers = itertools.count()


def fresh() -> Picture:
    """A picture that nobody has sent, so that no held one hides what the engine does."""
    (made,) = pictures(1, first=next(_numbers))
    return made


async def says(stack: Stack) -> tuple[int, set[str], dict[str, float]]:
    """Ask ``/readyz`` for its status and its models, and metrics for those that are up."""
    port = stack.gateway.http_port
    (status, document), found = await asyncio.gather(readers.readiness(port), readers.metrics(port))
    up = {dict(labels)["model"]: value for labels, value in found["diptych_model_up"].items()}
    return status, set(document.get("models", ())), up


def true(said: tuple[int, set[str], dict[str, float]], *, up: bool, both: bool) -> bool:
    """Whether all statements about the models are right."""
    models = {ONE, TWO} if up else set() if both else {TWO}
    status = 200 if models else 503
    return said == (status, models, {name: float(name in models) for name in (ONE, TWO)})


async def until_true(stack: Stack, *, up: bool, both: bool, within_s: float) -> float:
    """Wait until the statements are right; returns the seconds that took, at most ``within_s``."""
    began = time.monotonic()
    while time.monotonic() < began + within_s:
        with suppress(OSError, TimeoutError):
            if true(await says(stack), up=up, both=both):
                break
        await asyncio.sleep(PAUSE_S / 2)
    return time.monotonic() - began


async def watch(stack: Stack, name: str, fault: Fault, seconds: float, found: Findings) -> None:
    """Compare statements and calls with the truth for a while."""
    until = time.monotonic() + seconds
    async with channel_to(stack.gateway.port) as channel:
        caller = Caller(channel, model=ONE, deadline_s=DEADLINE_S)
        while time.monotonic() < until:
            said, outcome = await asyncio.gather(says(stack), caller.segment(fresh()))
            right = true(said, up=fault.up, both=fault.both)
            found.judge(f"{name}: /readyz and model_up", said, right)
            code = f"{outcome.code}/{outcome.reason}" if outcome.reason else outcome.code
            found.judge(f"{name}: a call", f"{code} {outcome.text[:100]}", code in fault.codes)
            await asyncio.sleep(PAUSE_S)


async def one(stack: Stack, name: str, fault: Fault, seconds: float, found: Findings) -> None:
    """Strike, judge, heal, judge."""
    await fault.strike(stack)
    if fault.codes <= DOWN or name.endswith("-engine"):
        async with channel_to(stack.gateway.port) as channel:  # somebody has to meet it
            await Caller(channel, model=ONE, deadline_s=DEADLINE_S).segment(fresh())
    noticed = await until_true(stack, up=fault.up, both=fault.both, within_s=2 * NOTICE_S)
    await watch(stack, name, fault, seconds, found)
    await fault.heal(stack)
    # The service itself, asked without the gateway, says when it is back.
    for part in stack.services.values():
        async with asyncio.timeout(BACK_S), channel_to(part.port) as channel:
            while True:
                with suppress(Exception):
                    if await readers.serving(channel, seconds=1):
                        break
                await asyncio.sleep(0.1)
    back = await until_true(stack, up=True, both=False, within_s=2 * NOTICE_S)
    codes = frozenset({"OK"}) if fault.codes != BUSY else BUSY
    await watch(stack, f"after {name}", Fault(fault.heal, fault.heal, codes=codes), 1.0, found)
    found.notice_s = max(found.notice_s, noticed, back)
    print(f"{name:20} noticed after {noticed:4.1f} s, back after {back:4.1f} s", flush=True)


async def run(names: list[str], seconds: float) -> list[Figure]:
    """Do the faults one after the other."""
    found = Findings()
    async with running_stack(
        ONE, TWO, service_env=SERVICE, gateway_env=GATEWAY, proxied=(ONE,)
    ) as stack:
        await until_true(stack, up=True, both=False, within_s=30)
        for name in names:
            await one(stack, name, FAULTS[name], seconds, found)
    for line in found.wrong[:20]:
        print("wrong:", line, flush=True)
    statements = found.right + len(found.wrong)
    return [
        Figure("faults", len(names), 1, at_least=True),
        Figure(f"true of {statements} statements", 100 * found.right / statements, 100, "%", True),
        Figure("longest until the gateway noticed", found.notice_s, NOTICE_S, "s"),
    ]


def main() -> None:
    """Read the arguments, measure and say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faults", nargs="*", choices=[[], *FAULTS], metavar="FAULT")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each fault")
    arguments = parser.parse_args()
    finish(asyncio.run(run(arguments.faults or list(FAULTS), arguments.seconds)))


if __name__ == "__main__":
    main()

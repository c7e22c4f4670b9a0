"""What has to hold after every test, whatever was done in it.

Nothing is in flight, every process has as many handles, threads, children and shared segments as
before, what was offered is the sum of what came of it, and no reply told what is inside.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

import grpc
from harness.load import Outcome, Tally, channel_to
from harness.parts import Stack
from harness.readers import metrics, stats
from harness.watch import Usage, usage

SETTLE_S = 20.0
SPARE_FDS = 3
"""gRPC keeps some connections of those that asked a moment ago."""
SPARE_THREADS = 8
"""Threads of pools that the first calls start, and that stay."""

LEAK = re.compile(
    r"0x[0-9a-f]{6,}|Traceback|File \"|/usr/|/app/|/home/|/tmp/|site-packages|\w\.py\b"
    r"|127\.0\.0\.1|ipv4:|object at|secret"
)
"""What no reply may hold: addresses, paths, names of files, text of exceptions."""
_GAUGES = (
    "diptych_gateway_in_flight",
    "diptych_gateway_video_sockets",
    "diptych_model_queue_length",
    "diptych_model_running",
    "diptych_model_sessions",
)
_BY_CLIENTS = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"}
_SILENT_CODES = {"INTERNAL", "UNKNOWN", "DATA_LOSS"}


@dataclass(frozen=True)
class Before:
    """Processes as they were."""

    usages: dict[str, tuple[int, Usage]]
    threads: int


def before(stack: Stack) -> Before:
    """Look at everything before a test; connections should have been used once."""
    usages = {part.name: (part.pid, usage(part.pid)) for part in stack.parts if part.alive}
    return Before(usages, threading.active_count())


async def check(stack: Stack, then: Before, tally: Tally | None = None) -> list[str]:
    """What does not hold, one line each; waits up to ``SETTLE_S`` for things to come to rest."""
    until = time.monotonic() + SETTLE_S
    while True:
        wrong = [*await gauges(stack), *grown(stack, then)]
        if not wrong or time.monotonic() > until:
            break
        await asyncio.sleep(0.2)
    if tally is not None:
        wrong += accounts(tally)
    return wrong


async def gauges(stack: Stack) -> list[str]:
    """Gauges that are not 0, at the gateways and at the services."""
    wrong = []
    for part in stack.gateways:
        if not part.http_port:
            continue
        try:
            values = await metrics(part.http_port)
        except (OSError, RuntimeError, TimeoutError) as error:
            wrong.append(f"{part.name}: no metrics: {error}")
            continue
        wrong += [
            f"{part.name}: {name}{dict(labels)} is {value:g}"
            for name in _GAUGES
            for labels, value in values.get(name, {}).items()
            if value
        ]
    for name, part in stack.services.items():
        try:
            async with channel_to(part.port) as channel:
                found = await stats(channel)
        except grpc.aio.AioRpcError as error:
            wrong.append(f"{name}: no counters: {error.code().name}")
            continue
        counts = (found.queue_length, found.running_count, found.session_count)
        if any(counts):
            wrong.append(f"{name}: queue, running, sessions are {counts}")
    return wrong


def grown(stack: Stack, then: Before) -> list[str]:
    """Processes that have more of something than before; those started since are left out."""
    wrong = []
    for part in stack.parts:
        pid, old = then.usages.get(part.name, (0, None))
        if old is None or not part.alive or part.pid != pid:
            continue
        wrong += [f"{part.name}: {line}" for line in _more(old, usage(pid))]
    return wrong


def _more(old: Usage, new: Usage) -> Iterable[str]:
    if new.fds > old.fds + SPARE_FDS:
        yield f"{new.fds} handles, were {old.fds}"
    if new.threads > old.threads + SPARE_THREADS:
        yield f"{new.threads} threads, were {old.threads}"
    if new.children != old.children:
        yield f"{new.children} children, were {old.children}"
    if new.shared > old.shared:
        yield f"{new.shared} shared segments, were {old.shared}"


def accounts(tally: Tally) -> list[str]:
    """What is wrong with the outcomes of some load."""
    wrong = []
    ended = len(tally.outcomes) + tally.unfinished
    if tally.offered != ended:
        wrong.append(f"{tally.offered} calls offered, {ended} outcomes")
    if tally.unfinished:
        wrong.append(f"{tally.unfinished} calls hung")
    if tally.wrong:
        wrong.append(f"{tally.wrong} answers were somebody else's")
    return wrong + told(tally.outcomes)


def told(outcomes: Iterable[Outcome]) -> list[str]:
    """Replies that told what is inside, and codes that say nothing.

    What a client's own library says when the peer is gone holds the address that it was given.
    """
    wrong = {
        f"{outcome.code}: {outcome.text[:120]}"
        for outcome in outcomes
        if (outcome.reason or outcome.code not in _BY_CLIENTS)
        and (LEAK.search(outcome.text) or (outcome.code in _SILENT_CODES and not outcome.reason))
    }
    return sorted(wrong)

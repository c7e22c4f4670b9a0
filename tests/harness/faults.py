"""Kinds of faults, each one thing that goes wrong while others work, and what callers may see."""

from __future__ import annotations

import asyncio
import os
import random
import resource
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import grpc
from fake_engine import CRASH, HANG, HUGE, LOST, NO_ANSWER, NO_MEMORY, RAISE
from harness import engine
from harness.engine import Plan
from harness.load import Caller, Outcome, Picture, channel_to, pictures
from harness.parts import Part, Stack, gateway
from harness.proxy import HOLE, MANGLE, PASS, SLOW
from harness.readers import http, serving
from serving_helpers import picture, png

MODEL = "fake"
"""The one that suffers."""
OTHER = "other"

Fault = Callable[[Stack], Awaitable[list[str]]]
"""Does it to a stack; returns what went wrong with what it did itself."""

AWAY = {
    *("UNAVAILABLE", "UNAVAILABLE/ENGINE_LOST", "UNAVAILABLE/MODEL_LOADING"),
    *("UNAVAILABLE/DRAINING", "UNAVAILABLE/MODEL_DOWN", "DEADLINE_EXCEEDED"),
    *("RESOURCE_EXHAUSTED/QUEUE_FULL", "ABORTED/SESSION_LOST", "ABORTED/SESSION_EXPIRED"),
    *("DEADLINE_EXCEEDED/DEADLINE", "RESOURCE_EXHAUSTED/SESSION_LIMIT"),
}
"""What callers may be told while something is away: try again, somewhere else or later."""


@dataclass(frozen=True)
class Kind:
    """One kind of fault; ``seen`` is what ordinary callers may get beside OK."""

    name: str
    fault: Fault
    seen: frozenset[str] = frozenset(AWAY)


def away_for(
    act: Callable[[Stack], object], seconds: float, undo: Callable[[Stack], object]
) -> Fault:
    """Do something, wait, undo it."""

    async def fault(stack: Stack) -> list[str]:
        act(stack)
        try:
            await asyncio.sleep(seconds)
        finally:
            undo(stack)
        return []

    return fault


async def kill_engine(stack: Stack) -> list[str]:
    stack.services[MODEL].kill_engine()
    return []


async def freeze_engine(stack: Stack) -> list[str]:
    stack.services[MODEL].freeze_engine()  # the front ends it after its step timeout
    return []


async def kill_service(stack: Stack) -> list[str]:
    await stack.services[MODEL].restart()
    return []


async def restart_service(stack: Stack) -> list[str]:
    part = stack.services[MODEL]
    code = await part.terminate()
    await part.start()
    return [] if code == 0 else [f"ended with {code}"]


async def kill_gateway(stack: Stack) -> list[str]:
    await stack.gateway.restart()
    return []


async def restart_gateway(stack: Stack) -> list[str]:
    code = await stack.gateway.terminate()
    await stack.gateway.start()
    return [] if code == 0 else [f"ended with {code}"]


def poison(corner: tuple[int, int, int], *expected: str, times: int = 2) -> Fault:
    """Send an image that the engine fails at."""

    async def fault(stack: Stack) -> list[str]:
        async with channel_to(stack.gateway.port) as channel:
            caller = Caller(channel, model=MODEL, deadline_s=8.0)
            seed = random.randrange(10**6)  # an image of its own: it may be known as a killer
            found = []
            for number in range(times):
                encoded = png(picture(corner, seed=seed + number))
                found.append(await caller.segment(Picture(encoded, "", b"")))
        wrong = [_name(one) for one in found if _name(one) not in expected]
        return [f"the bad image got {name}, expected {expected}" for name in wrong]

    return fault


def _name(outcome: Outcome) -> str:
    return f"{outcome.code}/{outcome.reason}" if outcome.reason else outcome.code


def planned(plan: Plan, seconds: float) -> Fault:
    """The engine does something else for a while."""

    async def fault(stack: Stack) -> list[str]:
        stack.plan(plan, MODEL)
        await asyncio.sleep(seconds)
        stack.plan(Plan(), MODEL)
        return []

    return fault


def network(mode: str, seconds: float) -> Fault:
    """The way from the gateway to the model is spoiled for a while."""

    async def fault(stack: Stack) -> list[str]:
        proxy = stack.proxies[MODEL]
        proxy.mode = mode
        await asyncio.sleep(seconds)
        proxy.mode = PASS
        if mode in (HOLE, MANGLE):
            proxy.reset()
        return []

    return fault


async def reset_connections(stack: Stack) -> list[str]:
    for _ in range(10):
        stack.proxies[MODEL].reset()
        await asyncio.sleep(0.2)
    return []


async def cancel_storm(stack: Stack) -> list[str]:
    chance = random.Random(1)
    async with channel_to(stack.gateway.port) as channel:
        caller = Caller(channel, model=MODEL)

        async def one(asked: Picture) -> None:
            task = asyncio.create_task(caller.segment(asked))
            await asyncio.sleep(chance.uniform(0, 0.05))
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        for asked in pictures(400, first=50_000):
            asyncio.create_task(one(asked))  # noqa: RUF006  # awaited by the pause below
            await asyncio.sleep(0.004)
        await asyncio.sleep(0.3)
    return []


async def malformed_frames(stack: Stack) -> list[str]:
    """Bytes that are no HTTP/2, and HTTP/2 that is nonsense behind its preface."""
    chance = random.Random(2)
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    for part in stack.parts:
        for number in range(40):
            noise = chance.randbytes(chance.choice([1, 9, 100, 5000]))
            await _throw(part.port, preface + noise if number % 2 else noise)
    return []


async def malformed_http(stack: Stack) -> list[str]:
    lines = (b"GET", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01" * 50, b"A" * 100_000, b"\r\n" * 999)
    body = b"POST /api/segment HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n"
    chunked = b"POST /api/segment HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    for _ in range(10):
        for data in (*lines, body, chunked + b"zz\r\n", chunked + b"ffffffffffff\r\nxx"):
            await _throw(stack.gateway.http_port, data)
    status, _ = await http(stack.gateway.http_port, "GET", "/healthz")
    return [] if status == 200 else [f"/healthz answered {status}"]


async def half_uploads(stack: Stack) -> list[str]:
    """Callers that die in the middle of what they send."""
    head = (
        b"POST /api/segment HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n"
        b"Content-Type: multipart/form-data; boundary=X\r\n\r\n--X\r\n"
        b'Content-Disposition: form-data; name="image"\r\n\r\n'
    )
    for _ in range(20):
        await _throw(stack.gateway.http_port, head + bytes(500_000))
    return []


async def _throw(port: int, data: bytes) -> None:
    with suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        await asyncio.sleep(0.005)
        writer.transport.abort()


async def silent_connections(stack: Stack) -> list[str]:
    """More of them than the gateway may have handles; they leave after a while."""
    pid = stack.gateway.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (256, hard))
    writers = []
    try:
        for _ in range(400):
            with suppress(OSError):
                opened = asyncio.open_connection("127.0.0.1", stack.gateway.http_port)
                writers.append((await asyncio.wait_for(opened, 1))[1])
        await asyncio.sleep(2)
        try:
            # It counted its handles when it started, so the silent ones have to be let go first.
            status, _ = await http(stack.gateway.http_port, "GET", "/healthz", seconds=15)
        except (OSError, TimeoutError, IndexError) as error:
            return [f"nobody else gets in: {type(error).__name__}"]
        if status != 200:
            return [f"others get {status}"]
    finally:
        for writer in writers:
            writer.transport.abort()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    return []


async def full_disk(stack: Stack) -> list[str]:
    """No process of the listening ones can make a file longer: its log first of all."""
    parts = (stack.gateway, stack.services[MODEL])
    for part in parts:
        _, hard = resource.prlimit(part.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(part.pid, resource.RLIMIT_FSIZE, (0, hard))
    await asyncio.sleep(2)
    for part in parts:
        _, hard = resource.prlimit(part.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(part.pid, resource.RLIMIT_FSIZE, (hard, hard))
    return []


async def unread_log(stack: Stack) -> list[str]:
    """Nobody reads what a service writes: its pipe fills, and it must go on."""
    part = stack.services[MODEL]
    part.kill()
    read, write = os.pipe()
    try:
        await part.start(stderr=write)
        os.close(write)
        async with channel_to(part.port) as channel:
            await _until_serving(channel)
            caller = Caller(channel, deadline_s=20.0)
            asked = pictures(20)
            found = [await caller.segment(asked[n % 20]) for n in range(400)]
    finally:
        os.close(read)
        await part.restart()
    bad = [_name(one) for one in found if not one.ok and one.began > found[0].ended]
    return [f"{len(bad)} of 400 requests failed: {sorted(set(bad))}"] if bad else []


async def _until_serving(channel: grpc.aio.Channel) -> None:
    for _ in range(200):
        with suppress(grpc.aio.AioRpcError):
            if await serving(channel, seconds=1):
                return
        await asyncio.sleep(0.1)
    raise TimeoutError("not serving after 20 s")


async def broken_tokens(stack: Stack) -> list[str]:
    """A file of tokens that can no longer be read changes nothing."""
    path = stack.folder / "tokens.toml"
    extra = await _with_tokens(stack, path)
    try:
        async with channel_to(extra.port) as channel:
            caller = Caller(channel, model=MODEL, token=_TOKEN)
            first = await caller.segment(pictures(1)[0])
            path.write_bytes(b"\xff[[[")
            await asyncio.sleep(3)
            second = await caller.segment(pictures(1)[0])
    finally:
        extra.kill()
    return [f"{_name(one)}" for one in (first, second) if not one.ok]


_TOKEN = "harness-token-of-enough-letters-0123456789"


async def _with_tokens(stack: Stack, path: Path) -> Part:
    entry = f'[tokens.harness]\nsha256 = "{sha256(_TOKEN.encode()).hexdigest()}"\n'
    path.write_text(entry + 'scopes = ["read", "segment", "video"]\n')
    models = {name: part.address for name, part in stack.services.items()}
    part = gateway(
        stack.folder, models, name="tokens", environment={"DIPTYCH_TOKENS_FILE": str(path)}
    )
    await part.start()
    return part


def part_of(name: str) -> Callable[[Stack], Part]:
    return lambda stack: stack.gateway if name == "gateway" else stack.services[name]


def frozen(name: str, seconds: float) -> Fault:
    """A listening process stands still for a while."""
    part = part_of(name)
    return away_for(lambda s: part(s).freeze(), seconds, lambda s: part(s).thaw())


_FAILED = "INTERNAL/MODEL_FAILED"
_NOTHING: frozenset[str] = frozenset()
_LOSES_ENGINE = ("UNAVAILABLE/ENGINE_LOST", "UNAVAILABLE", "UNAVAILABLE/MODEL_LOADING")
_KILLS = (*_LOSES_ENGINE, _FAILED)  # the last where the engine ended over it
_STUCK = ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED/DEADLINE", *_KILLS)

KINDS = (
    Kind("none", away_for(lambda _: None, 1.0, lambda _: None), _NOTHING),
    Kind("kill_engine", kill_engine),
    Kind("frozen_engine", freeze_engine),
    Kind("frozen_front", frozen(MODEL, 4.0)),
    Kind("kill_service", kill_service),
    Kind("restart_service", restart_service),
    Kind("kill_gateway", kill_gateway),
    Kind("restart_gateway", restart_gateway),
    Kind("frozen_gateway", frozen("gateway", 4.0)),
    Kind("crash", poison(CRASH, *_KILLS, times=1)),
    Kind("hang", poison(HANG, *_STUCK, times=1)),
    Kind("device_lost", poison(LOST, *_KILLS, times=1)),
    Kind("raises", poison(RAISE, _FAILED), _NOTHING),
    Kind("device_memory", poison(NO_MEMORY, "RESOURCE_EXHAUSTED/DEVICE_MEMORY"), _NOTHING),
    Kind("memory_error", poison(engine.MEMORY_ERROR, _FAILED, "RESOURCE_EXHAUSTED/DEVICE_MEMORY")),
    Kind("no_answer", poison(NO_ANSWER, _FAILED), _NOTHING),
    Kind("huge_answer", poison(HUGE, _FAILED, "RESOURCE_EXHAUSTED", times=1)),
    Kind("not_a_number", poison(engine.NAN, _FAILED), _NOTHING),
    Kind("wrong_size", poison(engine.WRONG_SIZE, _FAILED), _NOTHING),
    Kind("slow_engine", planned(Plan(segment_s=0.01, prompt_s=0.01, times=10), 4.0)),
    Kind("memory_growth", planned(Plan(leak_bytes=100_000, hold_bytes=300_000_000), 3.0)),
    Kind("cancel_storm", cancel_storm),
    Kind("black_hole", network(HOLE, 5.0)),
    Kind("slow_network", network(SLOW, 3.0)),
    Kind("mangled_network", network(MANGLE, 2.0), frozenset({*AWAY, _FAILED})),
    Kind("reset_connections", reset_connections),
    Kind("malformed_frames", malformed_frames, _NOTHING),
    Kind("malformed_http", malformed_http, _NOTHING),
    Kind("half_uploads", half_uploads, _NOTHING),
    Kind("silent_connections", silent_connections),
    Kind("full_disk", full_disk, _NOTHING),
    Kind("unread_log", unread_log),
    Kind("broken_tokens", broken_tokens, _NOTHING),
)

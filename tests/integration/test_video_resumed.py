"""Sessions of the SDK over services that stop, crash or are cut off: not a mask is another one."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from fake_engine import watermark
from fake_video import DRIFT, drift
from harness.proxy import Proxy
from serving_helpers import eventually, picture, png, running_service

from diptych import AsyncClient, Client, Mask, VideoFrameResult
from diptych_gateway.server import Gateway
from diptych_gateway.settings import Endpoint, Settings
from diptych_runtime.front.service import ModelService

pytestmark = pytest.mark.asyncio(loop_scope="module")
AFTER = 6
"""Frames that are followed after the session went on."""


def frame(index: int) -> np.ndarray:
    return picture(DRIFT, seed=index % 20)


def right(index: int) -> tuple[Any, ...]:
    """What a session that is never lost says of a frame: drifting squares, told by its pixels."""
    boxes = [(1, (4 + drift(index), 10, 24 + drift(index), 30))]
    if index >= 2:
        boxes.append((2, (drift(index) - drift(2) + 30, 4, drift(index) - drift(2) + 40, 14)))
    label = watermark(frame(index))
    return (index, [(number, label, box) for number, box in boxes])


def told(event: Any) -> tuple[Any, ...]:
    assert isinstance(event, VideoFrameResult)
    return (
        event.frame_index,
        [(o.object_id, o.segment.label, corners(o.segment.mask)) for o in event.objects],
    )


def corners(mask: Mask | None) -> tuple[float, ...] | None:
    """Of a full rectangle; ``None`` for any other mask."""
    if mask is None or mask.box is None:
        return None
    box = mask.box
    full = mask.area == (box.x_max - box.x_min) * (box.y_max - box.y_min)
    return (box.x_min, box.y_min, box.x_max, box.y_max) if full else None


class Follower:
    """Follows two objects, frame by frame, until its session has gone on in another call."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.indexes: list[int] = []
        self.running = threading.Event()
        self.warned = False
        self.left = AFTER

    def wanted(self, session: Any) -> bool:
        self.warned = self.warned or session.going_away_s is not None
        self.left -= session.resume_count > 0
        return self.left > 0

    def take(self, event: Any) -> None:
        self.indexes.append(event.frame_index)
        if not (event.frame_index in (0, 2) and event.revision == 0):  # not prompted yet
            self.seen.append(told(event))
        if len(self.seen) == 12:  # the frames with prompts are not held any more
            self.running.set()

    def check(self) -> None:
        assert self.indexes[:4] == [0, 0, 1, 2]
        assert self.indexes[5:] == list(range(3, len(self.indexes) - 2))
        assert self.seen == [right(index) for index, _ in self.seen]


def follow(address: str, follower: Follower) -> None:
    with Client(address, timeout=60) as client, client.video(model="fake") as session:
        for index in range(3):
            session.send(png(frame(index)))
            follower.take(next(session))
            if index != 1:
                box = (4 + drift(0), 10, 24 + drift(0), 30) if index == 0 else (30, 4, 40, 14)
                session.prompt(index // 2 + 1, box=box)
                follower.take(next(session))
        while follower.wanted(session):
            session.send(png(frame(follower.indexes[-1] + 1)))
            follower.take(next(session))


async def follow_async(address: str, follower: Follower) -> None:
    async with (
        AsyncClient(address, timeout=60) as client,
        client.video(model="fake") as session,
    ):
        for index in range(3):
            await session.send(png(frame(index)))
            follower.take(await anext(session))
            if index != 1:
                box = (4 + drift(0), 10, 24 + drift(0), 30) if index == 0 else (30, 4, 40, 14)
                await session.prompt(index // 2 + 1, box=box)
                follower.take(await anext(session))
        while follower.wanted(session):
            await session.send(png(frame(follower.indexes[-1] + 1)))
            follower.take(await anext(session))


async def disturbed(address: str, disturb: Callable[[], Any]) -> list[Follower]:
    """Both kinds of session, something that happens to their server, and what they say of it."""
    followers = [Follower(), Follower()]
    following = [
        asyncio.create_task(follow_async(address, followers[0])),
        asyncio.create_task(asyncio.to_thread(follow, address, followers[1])),
    ]
    for follower in followers:
        await eventually(follower.running.is_set)
    happening = disturb()
    if asyncio.iscoroutine(happening):
        await happening
    async with asyncio.timeout(60):
        await asyncio.gather(*following)
    for follower in followers:
        follower.check()
    return followers


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def service() -> AsyncIterator[ModelService]:
    async with running_service("fake_video:create", held_frames=4) as service:
        yield service


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def gateway(service: ModelService) -> AsyncIterator[str]:
    endpoint = Endpoint("fake", f"127.0.0.1:{service.port}")
    gateway = Gateway(Settings(models=(endpoint,), port=0, http_port=0, drain_s=0.0))
    yield f"127.0.0.1:{await gateway.start()}"
    await gateway.stop()


async def test_connections_that_are_reset(service: ModelService) -> None:
    async with Proxy(service.port) as proxy:
        await disturbed(f"127.0.0.1:{proxy.port}", proxy.reset)


@pytest.mark.parametrize("through", ["direct", "gateway"])
async def test_an_engine_that_is_killed(service: ModelService, gateway: str, through: str) -> None:
    engine = service.supervisor.engine
    assert engine is not None
    address = gateway if through == "gateway" else f"127.0.0.1:{service.port}"
    await disturbed(address, lambda: os.kill(engine.pid, signal.SIGKILL))


async def test_a_service_that_stops_hands_over_to_the_other_one(service: ModelService) -> None:
    async with (
        running_service("fake_video:create", held_frames=4, drain_s=60.0) as first,
        Proxy(0) as other,  # nobody is behind it until the first one stops
    ):
        stopping: list[asyncio.Task[None]] = []

        def stop() -> None:
            other.target = service.port
            stopping.append(asyncio.create_task(first.stop()))

        followers = await disturbed(f"ipv4:127.0.0.1:{first.port},127.0.0.1:{other.port}", stop)
        assert all(follower.warned for follower in followers)
        # Long before its minute is over: nobody is left on it.
        await stopping[0]

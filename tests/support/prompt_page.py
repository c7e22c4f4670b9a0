"""The page's prompt view in a browser: its start, and what the models were asked."""

from __future__ import annotations

import asyncio

from browser_page import SIZE, Opened

from diptych.segment import v1 as pb
from diptych.testing import FakeSegmentService

HEIGHT, WIDTH = SIZE


async def start(opened: Opened, query: str = "") -> None:
    """The view with a grey picture, nothing asked yet."""
    await opened.go(f"?view=prompt{query}")
    await opened.choose()
    await opened.expect_state("second", "idle")


async def asked(service: FakeSegmentService, count: int) -> pb.SegmentRequest:
    """The newest question, once there were so many."""
    async with asyncio.timeout(20):
        while len(service.requests) < count:
            await asyncio.sleep(0.01)
    assert len(service.requests) == count
    return service.requests[-1]


def points(prompt: pb.ObjectPrompt) -> list[tuple[float, float, bool]]:
    """Shares of the grey picture, to two digits, and which side each is on."""
    on = pb.PointLabel.POINT_LABEL_FOREGROUND
    return [
        (round(p.x_px / WIDTH, 2), round(p.y_px / HEIGHT, 2), p.label == on) for p in prompt.points
    ]


def edges(prompt: pb.ObjectPrompt) -> list[float]:
    """Left, top, right and bottom of its box, in pixels of the picture."""
    box = prompt.box
    return [box.x_min_px, box.y_min_px, box.x_max_px, box.y_max_px]

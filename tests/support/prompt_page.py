"""The page's prompt view in a browser: its start, and what the models were asked."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from browser_page import SIZE, Opened
from playwright.async_api import expect

from diptych import Mask
from diptych.segment import v1 as pb
from diptych.testing import FakeSegmentService

HEIGHT, WIDTH = SIZE

# What panels are filled with, by model.
WATCH = """
async () => {
  const { Panel } = await import("./js/panels/panel.js");
  const fill = Panel.prototype.fill;
  window.filled = {};
  Panel.prototype.fill = function (answer, ...rest) {
    filled[this.modelId] = answer.segments.map(({ document }) => document);
    return fill.call(this, answer, ...rest);
  };
}
"""


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


async def watch(opened: Opened) -> None:
    """Note from now on what panels are filled with."""
    await opened.page.evaluate(WATCH)


async def expect_area(opened: Opened, *areas: int) -> None:
    """The sizes of what the first model's panel shows."""
    rows = opened.panel("first").locator(".legend .area")
    await expect(rows).to_have_text([f"{area:,} px" for area in areas])


async def shown(
    opened: Opened, models: Sequence[str] = ("first", "second")
) -> list[dict[str, Any]]:
    """What both panels show, in the order of the code that is copied."""
    filled: dict[str, list[dict[str, Any]]] = await opened.page.evaluate("filled")
    return [segment for model in models for segment in filled[model]]


async def copied(opened: Opened, language: str) -> str:
    """The text that a button of the page offers."""
    await opened.page.get_by_role("button", name=f"Copy as {language}").click()
    box = opened.page.locator("#take-text")
    await expect(box).to_be_visible()
    return await box.input_value()


async def expect_same(segments: list[dict[str, Any]], code: str, folder: Path) -> None:
    """The code has to find what is shown, pixel by pixel."""
    *lines, last = code.rstrip().splitlines()
    assert last.strip().startswith("print(")
    found_mask = "json.dumps([segment.mask.to_coco().decode(), segment.mask.to_array().shape])"
    printed = ["import json", *lines, f"        print({found_mask})"]
    environment = {**os.environ, "NO_PROXY": "127.0.0.1"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "\n".join(printed),
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    found = [json.loads(line) for line in out.decode().splitlines()]
    assert len(found) == len(segments)
    for (counts, size), segment in zip(found, segments, strict=True):
        mask = Mask.from_coco(counts, tuple(size))
        assert mask.iou(Mask.from_coco(segment["segmentation"]["counts"], tuple(size))) == 1

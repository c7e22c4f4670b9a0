"""The page in a browser: what tests do with it and what they look at."""

from __future__ import annotations

import io
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from PIL import Image
from playwright.async_api import Browser, Page, expect

from diptych import LowResLogits, Mask, Segment
from diptych.segment import v1 as pb
from diptych.testing import FakeCall, FakeSegmentService

SIZE = (60, 80)
GREY = 128
Color = tuple[int, int, int]
Modifier = Literal["Alt", "Shift"]


# Everything that a browser says when a page breaks a rule or itself.
LISTEN = """
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`);
});
"""
WATCH = """
window.shifted = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.shifted += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""
"""Shifts just after a click count too: a click that moves what is clicked at is the point here."""


class Opened:
    """A page, what went wrong in it, and what it asked for."""

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.base = base
        self.errors: list[str] = []
        self.foreign: list[str] = []
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._note)

    def _note(self, request: Any) -> None:
        if not request.url.startswith((self.base, "blob:", "data:")):
            self.foreign.append(request.url)

    async def go(self, query: str = "") -> None:
        """Go to the page, without the sample that visitors see unless the query names one."""
        if "sample=" not in query and not query.startswith("api"):
            query += f"{'&' if query else '?'}sample="
        await self.page.goto(f"{self.base}/{query}")

    async def come(self) -> None:
        """Come as somebody who knows the address only."""
        await self.page.goto(f"{self.base}/")

    async def choose(self, content: bytes | None = None, name: str = "grey.png") -> None:
        """Choose a file as a picture: a grey one unless told otherwise."""
        file = {
            "name": name,
            "mimeType": "image/png",
            "buffer": grey_picture() if content is None else content,
        }
        await self.page.locator("#file").set_input_files([file])  # type: ignore[list-item]

    def panel(self, model: str) -> Any:
        return self.page.locator(f'section:not([hidden]) .panel[data-model="{model}"]')

    async def expect_state(self, model: str, state: str) -> None:
        await expect(self.panel(model)).to_have_attribute("data-state", state)

    async def point_at(
        self, model: str, x: float, y: float, *, key: Modifier | None = None
    ) -> None:
        """Click on a model's picture at a share of its width and height."""
        canvas = self.panel(model).locator("canvas")
        box = await canvas.bounding_box()
        place = {"x": x * box["width"], "y": y * box["height"]}
        await canvas.click(position=place, modifiers=[key] if key else [])

    async def drag(
        self,
        model: str,
        start: tuple[float, float],
        end: tuple[float, float],
        *,
        button: Literal["left", "middle"] = "left",
    ) -> None:
        """Drag over a model's picture between two shares of its width and height."""
        canvas = self.panel(model).locator("canvas")
        await canvas.scroll_into_view_if_needed()
        box = await canvas.bounding_box()
        places = [
            (box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)
        ]
        await self.page.mouse.move(*places[0])
        await self.page.mouse.down(button=button)
        await self.page.mouse.move(*places[1], steps=4)
        await self.page.mouse.up(button=button)

    async def color(self, selector: str, x: float, y: float) -> Color:
        """The colour of a canvas at a share of its width and height, in the frame after next."""
        found = await self.page.evaluate(
            """([selector, x, y]) => new Promise((resolve) => {
              requestAnimationFrame(() => requestAnimationFrame(() => {
                const canvas = document.querySelector(selector);
                const place = [Math.floor(x * canvas.width), Math.floor(y * canvas.height)];
                const { data } = canvas.getContext("2d").getImageData(...place, 1, 1);
                resolve([...data.slice(0, 3)]);
              }));
            })""",
            [selector, x, y],
        )
        red, green, blue = found
        return red, green, blue


@asynccontextmanager
async def opened_page(browser: Browser, base: str) -> AsyncIterator[Opened]:
    """A page, not gone to yet; at the end nothing may have gone wrong in it."""
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    await context.add_init_script(LISTEN)
    opened = Opened(await context.new_page(), base)
    yield opened
    await context.close()
    assert opened.errors == [], opened.errors
    assert opened.foreign == []


def grey_picture(size: tuple[int, int] = SIZE) -> bytes:
    """A PNG file of one colour."""
    file = io.BytesIO()
    Image.fromarray(np.full((*size, 3), GREY, np.uint8)).save(file, "PNG")
    return file.getvalue()


def rectangle(
    x: int, y: int, width: int, height: int, *, label: str = "thing", score: float = 0.9
) -> Segment:
    """A segment of a picture of ``SIZE``."""
    mask = Mask.from_crop(np.ones((height, width), bool), x, y, SIZE)
    return Segment(score=score, box=mask.box, mask=mask, label=label, area=mask.area)


def placed(mask: Mask | None, size: tuple[int, int]) -> Mask:
    """The same pixels from the top left corner of a picture of another size."""
    assert mask is not None
    whole = np.zeros(size, bool)
    whole[: SIZE[0], : SIZE[1]] = mask.to_array()
    return Mask.from_array(whole)


def answer(service: FakeSegmentService, *segments: Segment) -> None:
    """Let a fake model find these."""

    def find(call: FakeCall) -> Sequence[Segment]:
        return [replace(s, mask=placed(s.mask, call.image_size)) for s in segments]

    service.answer_with(find)


def held_back(service: FakeSegmentService, *segments: Segment) -> threading.Event:
    """Let a fake model wait for this before it finds these."""
    go_on = threading.Event()

    def wait(call: FakeCall) -> Sequence[Segment]:
        go_on.wait(30)
        return segments

    service.answer_with(wait)
    return go_on


def answer_prompts(service: FakeSegmentService, side: int = 10) -> None:
    """Let a fake model find what is in each prompt's box, or a square around its first point."""

    def find(call: FakeCall) -> Sequence[Segment]:
        return [
            replace(_found(prompt, call.image_size, side), prompt_index=index, candidate_index=0)
            for index, prompt in enumerate(call.request.prompts)
        ]

    service.answer_with(find)


def _found(prompt: pb.ObjectPrompt, size: tuple[int, int], side: int) -> Segment:
    if prompt.HasField("box"):
        box = prompt.box
        edges = (box.x_min_px, box.y_min_px, box.x_max_px, box.y_max_px)
    else:
        x, y = prompt.points[0].x_px, prompt.points[0].y_px
        edges = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    left, top, right, bottom = (max(round(edge), 0) for edge in edges)
    pixels = np.zeros(size, bool)
    pixels[top:bottom, left:right] = True
    mask = Mask.from_array(pixels)
    return Segment(score=0.9, box=mask.box, mask=mask, area=mask.area)


CANDIDATES = ((10, 0.93), (20, 0.81), (40, 0.4))
"""Side in pixels and score of what a point may mean, best first."""


def answer_candidates(service: FakeSegmentService) -> None:
    """Let a fake model find squares around a prompt's first point.

    A lone point has ``CANDIDATES`` if all are asked for, with logits if those are. A prompt with
    logits goes on from their square, without the half that is right of its second point.
    """

    def find(call: FakeCall) -> Sequence[Segment]:
        output = call.request.output
        found = []
        for index, prompt in enumerate(call.request.prompts):
            sides = CANDIDATES if output.all_candidates else CANDIDATES[:1]
            if prompt.HasField("mask"):
                side = np.frombuffer(prompt.mask.low_res_logits.float16_le, "<f2")[0]
                sides = ((int(side), 0.7),)
            for rank, (side, score) in enumerate(sides):
                segment = _found(prompt, call.image_size, side)
                if prompt.HasField("mask"):
                    segment = _left_of(segment, prompt.points[1].x_px)
                logits = LowResLogits(1, 1, np.array([side], "<f2").tobytes())
                found.append(
                    replace(
                        segment,
                        score=score,
                        prompt_index=index,
                        candidate_index=rank,
                        low_res_logits=logits if output.low_res_logits else None,
                    )
                )
        return found

    service.answer_with(find)


def _left_of(segment: Segment, x: float) -> Segment:
    assert segment.mask is not None
    pixels = segment.mask.to_array().copy()
    pixels[:, round(x) :] = False
    mask = Mask.from_array(pixels)
    return replace(segment, mask=mask, box=mask.box, area=mask.area)

"""The page in a browser: what tests do with it and what they look at."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image
from playwright.async_api import Page, expect

from diptych import Mask, Segment
from diptych.testing import FakeCall, FakeSegmentService

SIZE = (60, 80)
GREY = 128
Color = tuple[int, int, int]
# Everything that a browser says when a page breaks a rule or itself.
LISTEN = """
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`);
});
"""


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
        await self.page.goto(f"{self.base}/{query}")

    async def choose(self, content: bytes | None = None, name: str = "grey.png") -> None:
        """Choose a file as a picture: a grey one unless told otherwise."""
        file = {
            "name": name,
            "mimeType": "image/png",
            "buffer": grey_picture() if content is None else content,
        }
        await self.page.locator("#file").set_input_files([file])  # type: ignore[list-item]

    def panel(self, model: str) -> Any:
        return self.page.locator(f'.panel[data-model="{model}"]')

    async def expect_state(self, model: str, state: str) -> None:
        await expect(self.panel(model)).to_have_attribute("data-state", state)

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

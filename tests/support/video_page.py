"""The page's video view in a browser, and fakes that see what moves in a clip."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from browser_page import Opened
from numpy.typing import NDArray
from PIL import Image
from playwright.async_api import Locator, expect

from diptych import Mask, Segment, VideoObject
from diptych.testing import FakeSegmentService, FakeVideoFrame

Pixels = NDArray[np.uint8]
VIOLET = (137, 84, 252)
"""The square of the sample clip, which moves and is never hidden."""

TINTED = (178, 58, 174)
"""The same under the first object's colour, at the opacity that the page starts with."""
ABOUT = 60


@dataclass(frozen=True)
class Square:
    """Pixels of a canvas."""

    painted: NDArray[np.bool_]
    """Of the square and under the first object's colour."""
    whole: NDArray[np.bool_]

    @property
    def covered(self) -> float:
        """Share of the square that is painted."""
        return float(self.painted.sum() / max(1, self.whole.sum()))

    @property
    def middle(self) -> tuple[float, float]:
        """As shares of the picture's width and height."""
        y, x = np.nonzero(self.whole)
        height, width = self.whole.shape
        return float(x.mean() / width), float(y.mean() / height)


def near(pixels: Pixels, color: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Where pixels have about this colour."""
    return np.abs(pixels.astype(int) - color).sum(axis=2) < ABOUT


def follow_violet(frame: FakeVideoFrame) -> Sequence[VideoObject]:
    """Each object that was prompted is the square, on every frame."""
    pixels = np.asarray(Image.open(io.BytesIO(frame.image)).convert("RGB"))
    mask = Mask.from_array(near(pixels, VIOLET))
    segment = Segment(score=0.9, box=mask.box, mask=mask, label="square", area=mask.area)
    return [VideoObject(object_id, segment, 0.9) for object_id in frame.prompts]


async def settled(services: Mapping[str, FakeSegmentService]) -> dict[str, int]:
    """How much each fake was told, once frames that were under way have come."""
    seen: dict[str, int] = {}
    while seen != (now := {model: len(each.video_requests) for model, each in services.items()}):
        seen = now
        await asyncio.sleep(0.3)
    return seen


class VideoPage:
    """What tests do with the view."""

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self.page = opened.page

    def panel(self, model: str) -> Locator:
        return self.page.locator(f'.panel[data-track="{model}"]')

    async def sample(self) -> None:
        """The first frame of the sample clip, held."""
        await self.opened.go("?view=video")
        await self.page.locator("#video-sample").click()
        await expect(self.page.locator("#video-new")).to_be_enabled()

    async def click(self, model: str, x: float, y: float, **how: Any) -> None:
        """Click at shares of the frame's width and height."""
        canvas = self.panel(model).locator("canvas")
        box = await canvas.bounding_box()
        assert box is not None
        await canvas.click(position={"x": x * box["width"], "y": y * box["height"]}, **how)

    async def live(self) -> None:
        """Track as it plays, dropping frames."""
        mode = self.page.locator("#video-mode")
        if await mode.is_enabled():
            await mode.select_option("live")
        await self.page.locator("#video-track").click()

    async def track(self) -> None:
        """Track every frame."""
        await self.page.locator("#video-mode").select_option("every")
        await self.page.locator("#video-track").click()

    async def pause(self) -> None:
        await self.page.get_by_role("button", name="Pause", exact=True).click()
        await expect(self.page.locator("#video-new")).to_be_enabled()

    async def seek(self, index: int) -> None:
        """Go to a frame of the time line."""
        await self.page.locator("#video-slider").fill(str(index))
        for panel in await self.page.locator(".panel[data-frame]").all():
            await expect(panel).to_have_attribute("data-frame", str(index))

    async def figure(self, model: str, name: str) -> int:
        """``answered``, ``dropped`` or the index of the ``frame`` that is shown."""
        return int(await self.panel(model).get_attribute(f"data-{name}") or 0)

    async def until_answered(self, model: str, count: int) -> None:
        await self.page.wait_for_function(
            "([model, count]) => Number(document.querySelector(`[data-track=${model}]`)"
            ".dataset.answered) >= count",
            arg=[model, count],
        )

    async def square(self, model: str) -> Square:
        """What a panel shows of the square, which is the first object or none."""
        pixels = await self._shown(model)
        painted, plain = near(pixels, TINTED), near(pixels, VIOLET)
        return Square(painted, painted | plain)

    async def _shown(self, model: str) -> Pixels:
        canvas = self.panel(model).locator("canvas")
        file = await canvas.evaluate(
            """(canvas) => new Promise((resolve) => {
              const read = () => resolve(canvas.toDataURL("image/png").split(",")[1]);
              requestAnimationFrame(() => requestAnimationFrame(read));
            })"""
        )
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(file))).convert("RGB"))


def sent(service: FakeSegmentService, kind: str) -> list[Any]:
    """The frames, prompts or removals that a fake was sent, in order."""
    return [getattr(r, kind) for r in service.video_requests if r.WhichOneof("event") == kind]

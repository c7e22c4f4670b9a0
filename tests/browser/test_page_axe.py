"""axe-core finds nothing: every view at work, on every screen, in both themes."""

from __future__ import annotations

from typing import Literal

import pytest
from accessible import violations
from browser_page import Opened
from playwright.async_api import expect
from video_page import VideoPage, follow_violet

from diptych.testing import FakeSegmentService

WIDTHS = (1440, 1024, 360)
VIEWS = ("side", "wipe", "difference", "prompt", "video", "models", "report")
Theme = Literal["light", "dark"]


async def _at_work(opened: Opened, view: str) -> None:
    """Bring a view to where a person spends the time: with answers, prompts, a clip."""
    await opened.go(f"?view={view}")
    if view == "video":
        page = VideoPage(opened)
        await page.sample()
        await page.click("first", 0.78, 0.69)
        for model in ("first", "second"):
            await expect(page.panel(model).locator(".followed li")).to_have_count(1)
    elif view == "models":
        await expect(opened.page.locator("table.cards")).to_be_visible()
    elif view == "prompt":
        await opened.choose()
        await opened.point_at("first", 0.5, 0.5)
        await opened.expect_state("second", "done")
    elif view != "report":
        await opened.choose()
        await opened.expect_state("second", "done")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
async def test_axe_finds_nothing(
    opened: Opened, services: dict[str, FakeSegmentService], view: str, theme: Theme
) -> None:
    for service in services.values():
        service.answer_video_with(follow_violet)
    await opened.page.emulate_media(color_scheme=theme)
    await opened.page.set_viewport_size({"width": WIDTHS[0], "height": 900})
    await _at_work(opened, view)
    for width in WIDTHS:
        await opened.page.set_viewport_size({"width": width, "height": 900})
        assert await violations(opened.page) == [], f"{view}, {width} px, {theme}"

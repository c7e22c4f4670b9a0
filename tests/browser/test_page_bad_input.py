"""What cannot be used, and a gateway that goes away: a sentence where it belongs, and no more."""

from __future__ import annotations

import pytest
from bad_pictures import heavy_picture, huge_picture
from browser_page import Opened, held_back, rectangle
from playwright.async_api import expect

from diptych.testing import FakeSegmentService
from diptych_gateway.server import Gateway

Services = dict[str, FakeSegmentService]


async def works_on(opened: Opened) -> None:
    await opened.choose()
    for model in ("first", "second"):
        await opened.expect_state(model, "done")


async def test_a_picture_of_80_million_pixels_is_refused_in_each_panel(
    opened: Opened, services: Services
) -> None:
    text = "image: expected at most 50000000 pixels, got 80000000"
    for service in services.values():
        service.fail("IMAGE_TOO_LARGE", text, times=1)
    await opened.go()
    await opened.choose(huge_picture(), "huge.png")
    for model in ("first", "second"):
        await opened.expect_state(model, "error")
        await expect(opened.panel(model).locator(".state")).to_contain_text("50000000 pixels")
    await works_on(opened)


async def test_a_file_over_the_limit_is_refused_in_each_panel(opened: Opened) -> None:
    await opened.go()
    await opened.choose(heavy_picture(), "heavy.png")
    for model in ("first", "second"):
        await opened.expect_state(model, "error")
        await expect(opened.panel(model).locator(".state")).to_contain_text(
            "at most 33554432 bytes"
        )
    opened.errors[:] = [text for text in opened.errors if "413" not in text]
    await works_on(opened)


async def test_a_gateway_that_goes_away_is_said_in_each_panel(
    opened: Opened, services: Services, gateway: Gateway
) -> None:
    go_on = held_back(services["second"], rectangle(20, 15, 40, 30))
    await opened.go()
    await opened.choose()
    await opened.expect_state("first", "done")
    await opened.expect_state("second", "waiting")
    await gateway.stop()
    await opened.expect_state("second", "error")
    await expect(opened.panel("second").locator(".state")).to_contain_text("server is stopping")
    await opened.expect_state("first", "done")
    await opened.choose(name="again.png")
    for model in ("first", "second"):
        await opened.expect_state(model, "error")
        state = opened.panel(model).locator(".state")
        await expect(state).to_have_text("The gateway cannot be reached. Is it running?")
    go_on.set()
    opened.errors[:] = [text for text in opened.errors if "CONNECTION_REFUSED" not in text]


@pytest.mark.parametrize("status", [502, 503])
async def test_a_proxy_that_answers_in_its_own_words_is_an_error_with_its_status(
    opened: Opened, status: int
) -> None:
    await opened.go()
    await opened.expect_state("first", "off")
    answer = {"status": status, "body": "<h1>Bad gateway</h1>"}
    await opened.page.route("**/api/compare/stream", lambda route: route.fulfill(**answer))
    await opened.choose()
    await opened.expect_state("first", "error")
    await expect(opened.panel("first").locator(".state")).to_contain_text(f"status {status}")
    opened.errors[:] = [text for text in opened.errors if str(status) not in text]

"""What cannot be used, and a gateway that goes away: a sentence where it belongs, and no more."""

from __future__ import annotations

import pytest
from bad_pictures import heavy_picture, huge_picture
from browser_page import Opened, answer, held_back, rectangle
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


async def test_a_large_picture_is_said_to_be_read_while_it_is(opened: Opened) -> None:
    await opened.go()
    await opened.page.evaluate(
        """() => {
          window.said = [];
          const line = document.getElementById("picture-name");
          new MutationObserver(() => said.push(line.textContent))
            .observe(line, { childList: true, characterData: true, subtree: true });
        }"""
    )
    await opened.choose(huge_picture(), "huge.png")
    await expect(opened.page.locator("#picture-name")).to_contain_text("huge.png, 10000")
    assert (await opened.page.evaluate("said"))[0] == "Reading the picture …"
    await opened.choose(b"dear diary", "diary.txt")
    await expect(opened.page.locator("#problem")).not_to_be_empty()
    await expect(opened.page.locator("#picture-name")).to_contain_text("huge.png, 10000")


async def test_a_thousand_objects_are_listed_and_can_be_worked_with(
    opened: Opened, services: Services
) -> None:
    many = [
        rectangle(2 * (n % 40), 2 * (n // 40 % 30), 2, 2, label=f"thing {n}", score=n / 1000)
        for n in range(1000)
    ]
    for service in services.values():
        answer(service, *many)
    await opened.go()
    legend = opened.panel("first").locator(".legend")
    height = await legend.evaluate("(list) => list.clientHeight")
    await opened.choose()
    await expect(opened.page.locator("#agreement-said")).to_contain_text(
        "agree on 1,000 objects", timeout=30_000
    )
    await expect(legend.locator("[aria-pressed]")).to_have_count(1000)
    assert await legend.evaluate("(list) => list.clientHeight") == height
    last = legend.get_by_text("thing 999")
    await last.click()
    await expect(opened.panel("first").locator(".legend [aria-pressed=false]")).to_have_count(1)
    await opened.page.locator("#least-score").fill("95")
    await expect(opened.panel("first").locator(".state")).to_contain_text("50 of 1,000 objects")
    await expect(opened.page.locator("#agreement tbody td").first).to_have_text("50")


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

"""Long answers: a clock, a way out, and another try for one model alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from browser_page import Opened, answer, answer_prompts, held_back, rectangle
from playwright.async_api import expect

from diptych.testing import FakeSegmentService

Services = dict[str, FakeSegmentService]
THING = rectangle(20, 15, 40, 30)


async def tops(opened: Opened) -> list[float]:
    """Where everything begins, from the top of the page."""
    found: list[float] = await opened.page.evaluate(
        """[...document.querySelectorAll("#panels :is(canvas, .legend, .costs), #agreement")]
          .map((element) => element.getBoundingClientRect().top + scrollY)"""
    )
    return found


async def test_a_long_answer_has_a_clock_and_can_be_cancelled_and_asked_again(
    opened: Opened, services: Services
) -> None:
    go_on = held_back(services["second"], THING)
    page, second = opened.page, opened.panel("second")
    await opened.go()
    await opened.choose()
    await opened.expect_state("first", "done")
    places = await tops(opened)
    await expect(second.locator(".clock")).to_have_text("1 s")
    await expect(second.get_by_role("status")).to_have_text("Asking …")
    await expect(opened.panel("first").get_by_role("button", name="Cancel")).to_have_count(0)
    await second.get_by_role("button", name="Cancel: Second").click()
    await expect(second.get_by_role("status")).to_have_text("Cancelled.")
    await expect(page.locator("#agreement tbody td")).to_have_text(["\N{EN DASH}"] * 5)
    go_on.set()
    answer(services["second"], THING)
    asked = len(services["first"].requests)
    await second.get_by_role("button", name="Retry: Second").click()
    await opened.expect_state("second", "done")
    await expect(page.locator("#agreement tbody td")).to_have_text(["1", "1.00", "0", "0", "100 %"])
    assert len(services["first"].requests) == asked
    assert await tops(opened) == places


async def test_a_cancelled_model_is_not_waited_for_and_the_others_are(
    opened: Opened, services: Services
) -> None:
    held = {name: held_back(service, THING) for name, service in services.items()}
    await opened.go()
    await opened.choose()
    await opened.panel("second").get_by_role("button", name="Cancel").click()
    await opened.expect_state("second", "cancelled")
    await opened.expect_state("first", "waiting")
    held["first"].set()
    await opened.expect_state("first", "done")
    await opened.expect_state("second", "cancelled")
    held["second"].set()


async def test_a_model_that_failed_is_asked_again_and_an_unfit_picture_is_not(
    opened: Opened, services: Services
) -> None:
    services["first"].fail("IMAGE_SHAPE", "image: expected sides of at least 90 pixels", times=1)
    services["second"].fail("MODEL_FAILED", "internal error 1234", times=1)
    await opened.go()
    await opened.choose()
    await opened.expect_state("first", "error")
    await opened.expect_state("second", "error")
    await expect(opened.panel("first").get_by_role("button", name="Retry")).to_have_count(0)
    await opened.panel("second").get_by_role("button", name="Retry").click()
    await opened.expect_state("second", "done")


async def test_prompts_are_asked_again_too(opened: Opened, services: Services) -> None:
    for service in services.values():
        answer_prompts(service)
    services["second"].fail("QUEUE_FULL", "32 requests wait already; try again later", times=1)
    await opened.go("?view=prompt&objects=40,30")
    await opened.choose()
    await opened.expect_state("second", "error")
    await opened.panel("second").get_by_role("button", name="Retry").click()
    await opened.expect_state("second", "done")
    await opened.expect_state("first", "done")


@pytest.mark.parametrize("width", [1440, 360])
async def test_a_large_area_stays_on_its_line(
    opened: Opened, services: Services, width: int
) -> None:
    answer(services["first"], replace(THING, area=123_456_789), THING)
    await opened.page.set_viewport_size({"width": width, "height": 900})
    await opened.go()
    await opened.choose()
    await opened.expect_state("first", "done")
    rows = opened.panel("first").locator(".legend .label")
    areas = opened.panel("first").locator(".legend .area")
    await expect(areas.first).to_have_text("123,456,789 px")
    heights = await areas.evaluate_all("(all) => all.map((one) => one.clientHeight)")
    assert len(set(heights)) == 1
    row = await rows.first.locator("..").bounding_box()
    legend = await opened.panel("first").locator(".legend").bounding_box()
    assert row["x"] + row["width"] <= legend["x"] + legend["width"]


async def test_figures_are_in_units_that_are_read_at_a_glance(opened: Opened) -> None:
    await opened.go()
    shown = await opened.page.evaluate(
        """async () => {
          const { duration } = await import("./js/panels/timings.js");
          return [0.0042, 0.23, 9.99, 9.9999, 12.34, 300].map(duration);
        }"""
    )
    assert shown == ["4.2 ms", "230 ms", "9,990 ms", "10.0 s", "12.3 s", "300.0 s"]

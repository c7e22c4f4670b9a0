"""The first ten seconds: what a visitor sees before touching anything, and what is not hidden."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from browser_page import WATCH, Opened, answer, rectangle
from playwright.async_api import Page, Route, expect

from diptych.testing import FakeSegmentService

SeeCards = Callable[[], Awaitable[None]]
Services = dict[str, FakeSegmentService]

CAUTION = "Demo weights: masks mean nothing on photographs."
SAID = ".caution:not(:empty):visible"


async def in_first_screen(page: Page, selector: str) -> float:
    """How much of an element's height is seen without scrolling."""
    box = await page.locator(selector).first.bounding_box()
    assert box is not None
    assert page.viewport_size is not None
    return min(1.0, (page.viewport_size["height"] - box["y"]) / box["height"])


@pytest.fixture
async def demo(services: Services, see_cards: SeeCards) -> None:
    """Both models have demo weights, as after a first start."""
    for name, service in services.items():
        service.cards[name].weights[0].name = "demo"
        service.cards[name].display_name = f"{name.title()} (demo weights)"
    await see_cards()


@pytest.mark.usefixtures("demo")
async def test_a_first_visitor(opened: Opened, services: Services) -> None:
    """She knows the address only, looks, looks closer, tries her own picture, and finds back."""
    page = opened.page
    answer(services["first"], rectangle(20, 15, 40, 30, label="person"))

    # She has done nothing, and sees what it is: what two models find in one picture.
    await opened.come()
    await expect(page.get_by_text("Two families of models, one picture")).to_be_in_viewport()
    for model in ("first", "second"):
        await opened.expect_state(model, "done")
        await expect(opened.panel(model).locator("canvas")).to_be_in_viewport()
    await expect(page).to_have_title("figure.webp \N{EN DASH} Compare \N{EN DASH} Diptych")
    assert [len(service.requests) for service in services.values()] == [1, 1]
    assert page.url == f"{opened.base}/"

    # What these weights are good for is said at once, and what to do about it.
    strip = page.locator("#demo")
    await expect(strip).to_contain_text("on photographs their masks mean nothing")
    await strip.get_by_role("button", name="How to load official weights").click()
    told = page.get_by_role("dialog", name="How to load official weights")
    await expect(told).to_contain_text("make up WEIGHTS=official")
    await page.keyboard.press("Escape")
    await expect(told).to_be_hidden()
    await strip.get_by_role("button", name="Dismiss").click()
    await expect(strip).to_be_hidden()
    await expect(page.locator(SAID)).to_have_count(0)

    # Her own photograph: the warning stands beside each answer, over one another as well.
    await opened.choose(name="holiday.png")
    for model in ("first", "second"):
        await opened.expect_state(model, "done")
        await expect(opened.panel(model).locator(".caution")).to_have_text(CAUTION)
    await page.locator("input[value=wipe]").check(force=True)
    await expect(page.locator("#pair .caution")).to_have_text(CAUTION)

    # Back, and back: to side by side, then to the sample; the strip stays away.
    await page.go_back()
    await expect(page.locator("#panels")).to_be_visible()
    await page.go_back()
    await expect(page.locator("#picture-name")).to_contain_text("figure.webp")
    await opened.expect_state("second", "done")
    await expect(page.locator(SAID)).to_have_count(0)
    await page.reload()
    await opened.expect_state("second", "done")
    await expect(strip).to_be_hidden()

    # What programs need is at the end of the page, from this gateway alone.
    end = page.get_by_role("contentinfo")
    await expect(end).to_contain_text("diptych.segment.v1 at 127.0.0.1:")
    await end.get_by_role("link", name="every request, to be tried").click()
    await expect(page).to_have_url(f"{opened.base}/api/docs/")


@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1024, 768), (360, 740)])
async def test_the_picture_is_on_the_first_screen_and_stands_still(
    opened: Opened, width: int, height: int
) -> None:
    page = opened.page
    await page.add_init_script(WATCH)
    await page.set_viewport_size({"width": width, "height": height})
    await opened.come()
    await opened.expect_state("first", "done")
    await expect(page.locator("#demo")).to_be_visible()
    await expect(page.locator("[data-grpc]").first).to_contain_text("127.0.0.1")
    assert await in_first_screen(page, "#panels canvas") > 0.5
    assert await page.evaluate("shifted") < 0.02
    assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_a_picture_that_was_chosen_first_is_not_replaced(
    opened: Opened, services: Services
) -> None:
    async def slowly(route: Route) -> None:
        await opened.choose(name="mine.png")
        await expect(opened.page.locator("#picture-name")).to_contain_text("mine.png")
        await route.continue_()

    await opened.page.route("**/samples/figure.webp", slowly)
    await opened.come()
    for model in ("first", "second"):
        await opened.expect_state(model, "done")
    await expect(opened.page.locator("#picture-name")).to_contain_text("mine.png")
    assert len(services["first"].requests) == 1


async def test_official_weights_need_no_warning(opened: Opened) -> None:
    await opened.go()
    await opened.choose()
    await opened.expect_state("second", "done")
    await expect(opened.page.locator("#demo")).to_be_hidden()
    await expect(opened.page.locator(SAID)).to_have_count(0)


async def test_the_strip_names_the_models_that_it_is_about(
    opened: Opened, services: Services, see_cards: SeeCards
) -> None:
    services["second"].cards["second"].weights[0].name = "keypoint-demo"
    await see_cards()
    await opened.go()
    await expect(opened.page.locator("#demo")).to_contain_text("Demo weights of Second: trained")
    await opened.page.locator("#model-choice input").nth(1).uncheck()
    await expect(opened.page.locator("#demo")).to_be_hidden()

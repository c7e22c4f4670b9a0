"""More models than two: which pair is laid over one another; and none at all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from browser_page import GREY, LISTEN, Opened, answer, rectangle
from playwright.async_api import Browser, expect

from diptych.testing import FakeSegmentService
from diptych_gateway.server import Gateway
from diptych_gateway.settings import Endpoint, Settings

SeeCards = Callable[[], Awaitable[None]]
PLAIN = (GREY, GREY, GREY)
CANVAS = ".pair canvas"


@pytest.fixture
def services() -> Iterator[dict[str, FakeSegmentService]]:
    """Three services that find a rectangle each, one beside the other."""
    made = {name: FakeSegmentService((name,), gateway=False) for name in ("one", "two", "three")}
    for number, service in enumerate(made.values()):
        answer(service, rectangle(25 * number, 0, 20, 60))
        service.start()
    yield made
    for service in made.values():
        service.stop()


@pytest.mark.parametrize("view", ["wipe", "difference"])
async def test_the_pair_is_chosen(opened: Opened, view: str) -> None:
    # Difference takes the picture's colours, and some of its contrast.
    plain = (GREY - 1,) * 3 if view == "difference" else PLAIN
    await opened.go(f"?view={view}")
    await opened.choose()
    chooser = opened.page.locator("select[name=pair]")
    await expect(chooser.locator("option")).to_have_text(
        ["One and Two", "One and Three", "Two and Three"]
    )
    await expect(chooser).to_have_value("one two")
    assert await opened.color(CANVAS, 0.12, 0.5) != plain  # the rectangle of the first, left
    assert await opened.color(CANVAS, 0.75, 0.5) == plain  # that of the third
    await chooser.select_option("two three")
    await expect(chooser).to_be_focused()
    assert await opened.color(CANVAS, 0.12, 0.5) == plain
    assert await opened.color(CANVAS, 0.75, 0.5) != plain
    await opened.choose(name="another.png")
    await expect(opened.page.locator("#picture-name")).to_contain_text("another.png")
    await expect(chooser).to_have_value("two three")


async def test_the_chooser_fits_a_narrow_screen(
    opened: Opened, services: dict[str, FakeSegmentService], see_cards: SeeCards
) -> None:
    for name, service in services.items():
        service.cards[name].display_name = f"{name}, a model with a very long name that goes on"
    await see_cards()
    await opened.page.set_viewport_size({"width": 360, "height": 740})
    await opened.go("?view=wipe")
    await opened.choose()
    await expect(opened.page.locator("select[name=pair]")).to_be_visible()
    assert await opened.page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.fixture
async def alone(browser: Browser) -> AsyncIterator[Opened]:
    """The page of a gateway whose models have never been there."""
    dead = tuple(Endpoint(name, "127.0.0.1:1") for name in ("one", "two"))
    gateway = Gateway(Settings(models=dead, port=0, http_port=0, drain_s=0.0))
    await gateway.start()
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    await context.add_init_script(LISTEN)
    opened = Opened(await context.new_page(), f"http://127.0.0.1:{gateway.http_port}")
    yield opened
    await context.close()
    await gateway.stop()
    assert opened.errors == []
    assert opened.foreign == []


async def test_the_page_is_there_before_any_model(alone: Opened) -> None:
    await alone.go()
    for model in ("one", "two"):
        await alone.expect_state(model, "error")
        await expect(alone.panel(model).locator(".state")).not_to_be_empty()
    await expect(alone.page.locator("#again")).to_be_visible()
    await alone.page.locator("#to-models").click()
    for model in ("one", "two"):
        said = f"model '{model}' cannot be reached: nothing listens there"
        await expect(alone.page.get_by_text(said, exact=True)).to_be_visible()
    organisation = alone.page.locator('tr[data-row="Organisation"] td')
    await expect(organisation).to_have_text(["not stated", "not stated"])
    await alone.choose()
    await expect(alone.page.locator("#picture-name")).to_contain_text("grey.png")

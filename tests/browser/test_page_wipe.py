"""Wipe as a hand uses it: dragged on the picture, with what was hidden staying hidden."""

from __future__ import annotations

from browser_page import GREY, Color, Opened, answer, rectangle
from playwright.async_api import Browser, expect

from diptych.testing import FakeSegmentService

Services = dict[str, FakeSegmentService]

PLAIN: Color = (GREY, GREY, GREY)
GREYED: Color = (GREY - 1, GREY - 1, GREY - 1)
"""The same with less contrast, rounded down."""
FIRST = '.panel[data-model="first"] canvas'
PAIR = ".pair canvas"


async def wipe(opened: Opened, services: Services) -> None:
    """The first finds what covers all, with a small object on it; the second finds nothing."""
    answer(services["first"], rectangle(0, 0, 80, 60, label="all"), rectangle(5, 20, 20, 20))
    answer(services["second"])
    await opened.go("?view=wipe&names=0")
    await opened.choose()
    await expect(opened.page.locator("input[name=wipe]")).to_have_count(1)


async def test_the_line_is_dragged_on_the_picture(opened: Opened, services: Services) -> None:
    await wipe(opened, services)
    mouse, grip = opened.page.mouse, opened.page.locator(".grip")
    await grip.scroll_into_view_if_needed()
    canvas, handle = await opened.page.locator(PAIR).bounding_box(), await grip.bounding_box()
    assert handle["width"] >= 24
    assert handle["height"] == canvas["height"]
    assert await opened.color(PAIR, 0.4, 0.9) != PLAIN
    assert await opened.color(PAIR, 0.6, 0.9) == PLAIN
    # Taken beside the line, away from the knob.
    await mouse.move(canvas["x"] + canvas["width"] / 2 + 10, canvas["y"] + 15)
    await mouse.down()
    await mouse.move(canvas["x"] + canvas["width"] * 0.2, canvas["y"] + 40, steps=3)
    assert await opened.color(PAIR, 0.4, 0.9) == PLAIN
    await mouse.move(canvas["x"] - 300, canvas["y"] + 40, steps=3)
    assert await opened.color(PAIR, 0.02, 0.9) == PLAIN
    await mouse.move(canvas["x"] + canvas["width"] * 0.8, canvas["y"] + 40, steps=3)
    await mouse.up()
    assert await opened.color(PAIR, 0.7, 0.9) != PLAIN
    slider = opened.page.locator("input[name=wipe]")
    await expect(slider).to_have_value("80")
    await slider.press("ArrowRight")
    await expect(slider).to_have_value("81")
    await mouse.move(canvas["x"] + canvas["width"] * 0.81, canvas["y"] + 40)
    await mouse.wheel(0, -300)
    await expect(opened.page.locator(f"{PAIR}.zoomed")).to_have_count(1)


async def test_names_stay_on_their_side_of_the_line(opened: Opened, services: Services) -> None:
    for service in services.values():
        answer(service, rectangle(30, 20, 30, 30, label="something"))
    await opened.page.add_init_script(
        """const fill = CanvasRenderingContext2D.prototype.fillRect;
        window.grounds = [];
        CanvasRenderingContext2D.prototype.fillRect = function (x, y, width, height) {
          if (this.canvas.closest(".pair") && height === 18) grounds.push([x, x + width]);
          fill.call(this, x, y, width, height);
        };"""
    )
    await opened.go("?view=wipe")
    await opened.choose()
    await expect(opened.page.locator("input[name=wipe]")).to_have_count(1)
    await opened.page.evaluate("grounds.length = 0")
    await opened.page.locator("input[name=wipe]").fill("55")
    await opened.color(PAIR, 0.5, 0.5)
    line: float = await opened.page.locator(PAIR).evaluate("(canvas) => canvas.width * 0.55")
    grounds: list[tuple[float, float]] = await opened.page.evaluate("grounds")
    assert any(right <= line for _, right in grounds)
    assert any(left >= line for left, _ in grounds)
    assert all(right <= line or left >= line for left, right in grounds)


async def test_a_finger_has_a_wider_grip(browser: Browser, opened: Opened) -> None:
    context = await browser.new_context(
        has_touch=True, is_mobile=True, viewport={"width": 360, "height": 740}
    )
    page = await context.new_page()
    await page.goto(f"{opened.base}/?view=wipe&sample=shapes")
    await expect(page.locator("input[name=wipe]")).to_have_count(1)
    assert (await page.locator(".grip").bounding_box())["width"] >= 40
    for control in ("#least-score", "#classes summary", "#match-iou"):
        assert (await page.locator(control).bounding_box())["height"] >= 40, control
    await context.close()


async def test_what_is_hidden_stays_hidden_and_a_click_says_and_does_what_it_says(
    opened: Opened, services: Services
) -> None:
    await wipe(opened, services)
    whole, small = (0.05, 0.1), (15 / 80, 30 / 60)
    canvas, hover = opened.page.locator(PAIR), opened.page.locator(".pair .hover")

    async def go_to(place: tuple[float, float], *, click: bool = False) -> None:
        box = await canvas.bounding_box()
        position = {"x": place[0] * box["width"], "y": place[1] * box["height"]}
        await (canvas.click if click else canvas.hover)(position=position)  # type: ignore[operator]

    before = await opened.color(PAIR, *small)
    await go_to(small)
    await expect(hover).to_have_text("thing · 0.90 · 400 px")
    await go_to(small, click=True)
    assert await opened.color(PAIR, *small) != before
    await expect(hover).to_have_text("all · 0.90 · 4,800 px")
    await go_to(small, click=True)
    assert await opened.color(PAIR, *small) == PLAIN
    await expect(hover).to_have_text("thing · 0.90 · 400 px · hidden: a click shows it")
    await opened.page.locator("input[value=side]").check(force=True)
    pressed = opened.panel("first").locator(".legend button[aria-pressed=true]")
    await expect(pressed).to_have_count(0)
    await opened.point_at("first", *small)
    await expect(opened.panel("first").locator(".hover")).to_have_text("thing · 0.90 · 400 px")
    await expect(pressed).to_have_count(1)
    await opened.page.locator("input[value=difference]").check(force=True)
    await opened.page.mouse.move(0, 0)
    assert await opened.color(PAIR, *whole) == GREYED
    await expect(opened.page.locator("#click-hint")).to_be_hidden()

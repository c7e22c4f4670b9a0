"""The hand on the picture: clicks that shake, the right button, long touches, marks that move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Literal

import pytest
from browser_page import GREY, LISTEN, Opened, answer, answer_prompts, rectangle
from playwright.async_api import Browser, expect
from prompt_page import HEIGHT, WIDTH, asked, edges, points, start
from video_page import VideoPage, follow_violet, sent

from diptych.segment import v1 as pb
from diptych.testing import FakeSegmentService
from diptych_gateway.server import Gateway

Services = dict[str, FakeSegmentService]
Place = tuple[float, float]
CANVAS = '#prompt-panels .panel[data-model="first"] canvas'
ABOUT_PX = 0.4


@pytest.fixture(autouse=True)
def prompted(services: Services) -> None:
    """Both models find what they are pointed at."""
    for service in services.values():
        answer_prompts(service)


async def on_screen(opened: Opened, place: Place) -> Place:
    """Where a share of the first panel's picture is on the screen."""
    canvas = opened.page.locator(CANVAS)
    await canvas.scroll_into_view_if_needed()
    box = await canvas.bounding_box()
    assert box is not None
    return box["x"] + place[0] * box["width"], box["y"] + place[1] * box["height"]


async def walk(
    opened: Opened,
    start: Place,
    *steps: Place,
    button: Literal["left", "middle", "right"] = "left",
) -> None:
    """Press at a share of the picture, move by CSS pixels from there, and let go."""
    x, y = await on_screen(opened, start)
    await opened.page.mouse.move(x, y)
    await opened.page.mouse.down(button=button)
    for right, down in steps:
        await opened.page.mouse.move(x + right, y + down)
    await opened.page.mouse.up(button=button)


async def cursor_at(opened: Opened, place: Place) -> str:
    """What the pointer looks like there."""
    await opened.page.mouse.move(*await on_screen(opened, place))
    found: str = await opened.page.locator(CANVAS).evaluate("(c) => getComputedStyle(c).cursor")
    return found


async def test_a_hand_that_shakes_has_clicked_and_leaves_a_box_alone(
    opened: Opened, services: Services
) -> None:
    first = services["first"]
    await start(opened)
    await opened.drag("first", (0.1, 0.1), (0.9, 0.9))
    box = edges((await asked(first, 1)).prompts[0])
    # Far along, but never far away.
    await walk(opened, (0.5, 0.5), (5, 0), (0, 5), (-5, 0), (0, -5), (5, 5))
    (prompt,) = (await asked(first, 2)).prompts
    assert edges(prompt) == box
    assert points(prompt) == [(0.5, 0.5, True)]
    # A drag that comes back to where it began is no box.
    await walk(opened, (0.3, 0.3), (40, 40), (3, 3))
    await opened.point_at("first", 0.6, 0.5)
    (prompt,) = (await asked(first, 3)).prompts
    assert edges(prompt) == box
    await walk(opened, (0.3, 0.3), (30, 30))
    assert edges((await asked(first, 4)).prompts[0]) != box


async def test_the_right_button_says_where_the_object_is_not(
    opened: Opened, services: Services
) -> None:
    await opened.page.add_init_script(
        "addEventListener('contextmenu', (e) => { window.menus = (window.menus ?? 0) + 1;"
        " window.prevented = e.defaultPrevented; })"
    )
    await start(opened)
    await opened.point_at("first", 0.25, 0.5)
    await asked(services["first"], 1)
    await walk(opened, (0.75, 0.5), button="right")
    (prompt,) = (await asked(services["first"], 2)).prompts
    assert points(prompt) == [(0.25, 0.5, True), (0.75, 0.5, False)]
    assert await opened.page.evaluate("[menus, prevented]") == [1, True]
    # In Compare a picture has the browser's own menu.
    await opened.page.locator("#to-compare").click()
    await opened.expect_state("first", "done")
    await opened.panel("first").locator("canvas").click(button="right")
    assert await opened.page.evaluate("[menus, prevented]") == [2, False]


async def test_marks_are_moved_and_that_is_one_step_and_one_question(
    opened: Opened, services: Services
) -> None:
    first = services["first"]
    await start(opened)
    await opened.point_at("first", 0.25, 0.5)
    await asked(first, 1)
    await opened.drag("first", (0.5, 0.2), (0.9, 0.8))
    await asked(first, 2)
    await opened.drag("first", (0.25, 0.5), (0.3, 0.7))  # the point
    (prompt,) = (await asked(first, 3)).prompts
    assert points(prompt) == [(0.3, 0.7, True)]
    assert edges(prompt) == pytest.approx([40, 12, 72, 48], abs=ABOUT_PX)
    await opened.drag("first", (0.9, 0.8), (0.8, 0.9))  # its corner
    assert edges((await asked(first, 4)).prompts[0]) == pytest.approx(
        [40, 12, 64, 54], abs=ABOUT_PX
    )
    await opened.drag("first", (0.5, 0.55), (0.7, 0.1))  # its left side, which goes left and right
    assert edges((await asked(first, 5)).prompts[0]) == pytest.approx(
        [56, 12, 64, 54], abs=ABOUT_PX
    )
    await opened.drag("first", (0.72, 0.9), (0.1, 0.3))  # its edge: the whole box, into the corner
    moved = edges((await asked(first, 6)).prompts[0])
    assert moved[2] - moved[0] == pytest.approx(8, abs=ABOUT_PX)
    assert moved[3] - moved[1] == pytest.approx(42, abs=ABOUT_PX)
    assert (moved[0], moved[1]) == pytest.approx((56 - 0.62 * WIDTH, 0), abs=1)
    for count, expected in ((7, [56, 12, 64, 54]), (8, [40, 12, 64, 54]), (9, [40, 12, 72, 48])):
        await opened.page.locator("#undo").click()
        found = edges((await asked(first, count)).prompts[0])
        assert found == pytest.approx(expected, abs=ABOUT_PX)
    await opened.page.locator("#undo").click()
    assert points((await asked(first, 10)).prompts[0]) == [(0.25, 0.5, True)]


async def test_a_mark_stays_in_the_picture_and_a_box_keeps_an_inside(
    opened: Opened, services: Services
) -> None:
    first = services["first"]
    await start(opened)
    await opened.drag("first", (0.5, 0.2), (0.9, 0.8))
    await asked(first, 1)
    await opened.drag("first", (0.5, 0.5), (1.2, 0.5))
    left, _, right, _ = edges((await asked(first, 2)).prompts[0])
    assert left < right == pytest.approx(72, abs=ABOUT_PX)
    await opened.point_at("first", 0.25, 0.5)
    await asked(first, 3)
    await opened.drag("first", (0.25, 0.5), (-0.2, 1.1))
    assert points((await asked(first, 4)).prompts[0]) == [(0, 1, True)]


async def test_the_pointer_says_what_a_press_would_do(opened: Opened, services: Services) -> None:
    await start(opened)
    assert await cursor_at(opened, (0.25, 0.5)) == "crosshair"
    await opened.point_at("first", 0.25, 0.5)
    await opened.drag("first", (0.5, 0.2), (0.9, 0.8))
    await asked(services["first"], 2)
    shapes = {
        (0.25, 0.5): "grab",
        (0.5, 0.2): "nwse-resize",
        (0.9, 0.2): "nesw-resize",
        (0.7, 0.8): "ns-resize",
        (0.5, 0.5): "ew-resize",
        (0.6, 0.2): "move",
        (0.7, 0.5): "crosshair",
    }
    for place, shape in shapes.items():
        assert await cursor_at(opened, place) == shape, place


async def test_names_are_not_crossed_by_the_lines_of_boxes(
    opened: Opened, services: Services
) -> None:
    found = replace(rectangle(20, 15, 40, 30), prompt_index=0, candidate_index=0)
    answer(services["first"], found)
    await opened.go("?view=prompt&objects=b10,13.8,70,50")
    await opened.choose()
    await opened.expect_state("first", "done")
    # The name stands above the rectangle, and the box would go through its dark ground.
    canvas = await opened.page.locator(CANVAS).bounding_box()
    assert canvas is not None
    assert max(await opened.color(CANVAS, 0.25 + 7 / canvas["width"], 13.8 / HEIGHT)) < 80
    assert await opened.color(CANVAS, 0.875, 0.5) != (GREY, GREY, GREY)


async def test_a_box_alone_is_removed_by_its_cross_a_key_and_the_list(
    opened: Opened, services: Services
) -> None:
    first, page = services["first"], opened.page
    await start(opened)
    await opened.point_at("first", 0.25, 0.5)
    await asked(first, 1)
    await opened.drag("first", (0.5, 0.2), (0.8, 0.8))
    await asked(first, 2)
    x, y = await on_screen(opened, (0.8, 0.2))
    await page.mouse.click(x + 18, y - 18)
    (prompt,) = (await asked(first, 3)).prompts
    assert not prompt.HasField("box")
    assert points(prompt) == [(0.25, 0.5, True)]
    await page.keyboard.press("Control+z")
    await asked(first, 4)
    await page.mouse.move(*await on_screen(opened, (0.5, 0.35)))
    await page.keyboard.press("Delete")
    assert not (await asked(first, 5)).prompts[0].HasField("box")
    await page.keyboard.press("Control+z")
    await asked(first, 6)
    await page.get_by_role("button", name="Remove the box of object 1").click()
    assert not (await asked(first, 7)).prompts[0].HasField("box")
    await page.keyboard.press("Control+z")
    await asked(first, 8)
    await page.mouse.move(*await on_screen(opened, (0.25, 0.5)))
    await page.keyboard.press("Backspace")  # on the point that the pointer is over
    (prompt,) = (await asked(first, 9)).prompts
    assert prompt.HasField("box")
    assert not prompt.points


async def test_keys_alone_move_and_remove_marks(opened: Opened, services: Services) -> None:
    first, press = services["first"], opened.page.keyboard.press
    said = opened.page.locator("#prompt-said")
    await start(opened)
    await opened.point_at("first", 0.25, 0.5)
    await opened.drag("first", (0.5, 0.2), (0.9, 0.8))
    await asked(first, 2)
    await press("t")
    await expect(said).to_contain_text(": point 1 of object 1")
    await press("g")
    await press("Shift+ArrowDown")
    await expect(said).to_have_text("Moved to 20, 36")
    await press("g")
    assert points((await asked(first, 3)).prompts[0]) == [(0.25, 0.6, True)]
    await press("t")
    await expect(said).to_contain_text(": top left of the box of object 1")
    await press("g")
    await press("Shift+ArrowLeft")
    await press("Escape")  # given up: it is where it was
    await press("g")
    await press("Shift+ArrowLeft")
    await press("Enter")
    found = edges((await asked(first, 4)).prompts[0])
    assert found == pytest.approx([32, 12, 72, 48], abs=ABOUT_PX)
    await press("Delete")
    (prompt,) = (await asked(first, 5)).prompts
    assert not prompt.HasField("box")
    assert points(prompt) == [(0.25, 0.6, True)]
    await press("g")  # nothing is there
    await expect(said).not_to_contain_text("Moved")
    for count in (6, 7, 8):
        await press("Control+z")
        await asked(first, count)
    assert points(first.requests[-1].prompts[0]) == [(0.25, 0.5, True)]


async def test_the_box_of_another_object_is_taken_by_its_edge_and_chosen(
    opened: Opened, services: Services
) -> None:
    first, page = services["first"], opened.page
    await start(opened)
    await opened.drag("first", (0.1, 0.2), (0.3, 0.8))
    await page.keyboard.press("n")
    await opened.drag("first", (0.5, 0.2), (0.9, 0.8))
    await asked(first, 2)
    await opened.drag("first", (0.1, 0.35), (0.15, 0.35))
    one, other = (await asked(first, 3)).prompts
    assert edges(one) == pytest.approx([12, 12, 28, 48], abs=ABOUT_PX)
    assert edges(other) == pytest.approx([40, 12, 72, 48], abs=ABOUT_PX)
    await expect(page.locator("#objects [aria-pressed=true]")).to_contain_text("Object 1")


async def test_in_a_video_marks_move_and_boxes_go_too(opened: Opened, services: Services) -> None:
    for service in services.values():
        service.answer_video_with(follow_violet)
    view = VideoPage(opened)
    await view.sample()
    await view.click("first", 0.3, 0.3)
    canvas = view.panel("first").locator("canvas")
    box = await canvas.bounding_box()
    assert box is not None
    mouse = opened.page.mouse

    async def drag(start: Place, end: Place) -> None:
        for at, (x, y) in enumerate((start, end)):
            await mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
            await (mouse.up() if at else mouse.down())

    async def newest(count: int) -> pb.ObjectPrompt:
        async with asyncio.timeout(20):
            while len(sent(services["first"], "prompt")) < count:
                await asyncio.sleep(0.01)
        prompt: pb.ObjectPrompt = sent(services["first"], "prompt")[-1].prompt
        return prompt

    await drag((0.3, 0.3), (0.5, 0.4))
    (point,) = (await newest(2)).points
    assert (point.x_px, point.y_px) == pytest.approx((128, 102.4), abs=1)
    await drag((0.2, 0.2), (0.7, 0.7))
    assert (await newest(3)).HasField("box")
    right, top = 0.7 * box["width"], 0.2 * box["height"]
    await mouse.click(box["x"] + right + 18, box["y"] + top - 18)
    assert not (await newest(4)).HasField("box")
    await canvas.click(button="right", position={"x": 0.8 * box["width"], "y": 20})
    assert [p.label for p in (await newest(5)).points] == [1, 2]


@pytest.fixture
async def touched(browser: Browser, gateway: Gateway) -> AsyncIterator[Opened]:
    """The page on a screen that is touched."""
    context = await browser.new_context(viewport={"width": 400, "height": 800}, has_touch=True)
    await context.add_init_script(LISTEN)
    opened = Opened(await context.new_page(), f"http://127.0.0.1:{gateway.http_port}")
    yield opened
    await context.close()
    assert opened.errors == []


async def test_a_long_touch_is_the_right_button_and_a_finger_reaches_further(
    touched: Opened, services: Services
) -> None:
    first, page = services["first"], touched.page
    await start_touched(touched)
    await page.touchscreen.tap(*await on_screen(touched, (0.25, 0.5)))
    await asked(first, 1)
    wire = await page.context.new_cdp_session(page)

    async def touch(kind: str, *places: Place) -> None:
        spots = [{"x": x, "y": y} for x, y in places]
        await wire.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": spots})

    await touch("touchStart", await on_screen(touched, (0.75, 0.5)))
    assert points((await asked(first, 2)).prompts[0])[1] == (0.75, 0.5, False)
    await touch("touchEnd")
    x, y = await on_screen(touched, (0.25, 0.5))
    await page.touchscreen.tap(x + 18, y)
    # The tap was on the first point's mark, and the end of the long touch was none.
    await expect(page.locator("#objects")).to_contain_text("1 point")
    assert points((await asked(first, 3)).prompts[0]) == [(0.75, 0.5, False)]
    await touch("touchStart", (x, y))
    await touch("touchMove", (x + 40, y))
    await touch("touchMove", (x + 80, y + 80))
    await touch("touchEnd")
    assert (await asked(first, 4)).prompts[0].HasField("box")


async def start_touched(opened: Opened) -> None:
    """The prompt view with a grey picture; one panel is seen."""
    await opened.go("?view=prompt")
    await opened.choose()
    await opened.expect_state("first", "idle")

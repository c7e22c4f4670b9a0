"""The compare view: panels that fill one by one, errors where they belong, masks where they are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import numpy as np
from browser_page import GREY, Color, Opened, answer, grey_picture, held_back, rectangle
from playwright.async_api import expect

from diptych.segment import v1 as pb
from diptych.testing import FakeSegmentService

Services = dict[str, FakeSegmentService]
SeeCards = Callable[[], Awaitable[None]]
PLAIN: Color = (GREY, GREY, GREY)
FIRST_CANVAS = '.panel[data-model="first"] canvas'
SECOND_CANVAS = '.panel[data-model="second"] canvas'


async def test_a_panel_fills_while_the_other_still_waits(
    opened: Opened, services: Services
) -> None:
    go_on = held_back(services["second"], rectangle(20, 15, 40, 30))
    await opened.go()
    await opened.choose()
    await opened.expect_state("first", "done")
    await opened.expect_state("second", "waiting")
    await expect(opened.panel("second")).to_have_attribute("aria-busy", "true")
    await expect(opened.page.locator("#agreement-said")).to_be_empty()
    go_on.set()
    await opened.expect_state("second", "done")
    await expect(opened.page.locator("#agreement-said")).to_contain_text(
        "First and Second agree on 1 object, mean IoU 1.00. Only First: 0. Only Second: 0."
    )


async def test_masks_are_drawn_where_they_are_and_matched_ones_alike(
    opened: Opened, services: Services
) -> None:
    answer(services["first"], rectangle(0, 0, 10, 10, label="corner"), rectangle(20, 15, 40, 30))
    await opened.go()
    await opened.choose()
    await opened.expect_state("second", "done")
    await expect(opened.page.locator("#agreement-said")).not_to_be_empty()
    inside = await opened.color(FIRST_CANVAS, 0.5, 0.5)
    assert inside != PLAIN
    assert await opened.color(SECOND_CANVAS, 0.5, 0.5) == inside
    assert await opened.color(FIRST_CANVAS, 0.05, 0.05) not in (inside, PLAIN)
    assert await opened.color(SECOND_CANVAS, 0.05, 0.05) == PLAIN
    assert await opened.color(FIRST_CANVAS, 0.9, 0.9) == PLAIN


async def test_the_legend_says_what_was_found_and_switches_it_off(
    opened: Opened, services: Services
) -> None:
    await opened.go()
    await opened.choose()
    await opened.expect_state("first", "done")
    row = opened.panel("first").locator(".legend button[aria-pressed]")
    await expect(row).to_have_text("thing0.901,200 px")
    await expect(row).to_have_attribute("aria-pressed", "true")
    await row.click()
    await expect(row).to_have_attribute("aria-pressed", "false")
    assert await opened.color(FIRST_CANVAS, 0.5, 0.5) == PLAIN
    await row.click()
    assert await opened.color(FIRST_CANVAS, 0.5, 0.5) != PLAIN


async def test_pointing_at_an_object_names_it_and_lights_both(opened: Opened) -> None:
    await opened.go()
    await opened.choose()
    await expect(opened.page.locator("#agreement-said")).not_to_be_empty()
    await opened.page.locator(FIRST_CANVAS).hover()
    await expect(opened.panel("first").locator(".hover")).to_have_text("thing · 0.90 · 1,200 px")
    for model in ("first", "second"):
        await expect(opened.panel(model).locator(".legend button.lit")).to_have_count(1)


async def test_a_failing_model_leaves_the_other_alone(opened: Opened, services: Services) -> None:
    services["second"].fail("DEVICE_MEMORY", "the device has no memory left for this picture")
    await opened.go()
    await opened.choose()
    await opened.expect_state("first", "done")
    await opened.expect_state("second", "error")
    await expect(opened.panel("second").locator(".state")).to_contain_text(
        "no memory left for this picture"
    )


async def test_a_model_that_is_down_is_an_error_in_its_panel_only(
    opened: Opened, services: Services
) -> None:
    services["second"].stop()
    await opened.go()
    await opened.choose()
    await opened.expect_state("first", "done")
    await opened.expect_state("second", "error")
    await expect(opened.panel("second").locator(".state")).not_to_be_empty()


async def test_a_text_file_is_refused_in_a_sentence_and_the_page_works_on(opened: Opened) -> None:
    await opened.go()
    await opened.choose(b"dear diary", "diary <b>of</b> mine.txt")
    await expect(opened.page.locator("#problem")).to_have_text(
        "“diary <b>of</b> mine.txt” is not a picture that can be read. "
        "Take a JPEG, PNG or WebP file."
    )
    await opened.choose()
    await opened.expect_state("first", "done")
    await expect(opened.page.locator("#problem")).to_be_empty()


async def test_labels_and_names_never_become_markup(
    opened: Opened, services: Services, see_cards: SeeCards
) -> None:
    hostile = '<img src="x" onerror="document.title = 1">'
    card = services["first"].cards["first"]
    card.display_name = card.architecture.overview = hostile
    card.references.append("javascript:document.title=1")
    await see_cards()
    answer(services["first"], rectangle(20, 15, 40, 30, label=hostile))
    services["second"].fail("DEVICE_MEMORY", f"cannot: {hostile}")
    await opened.go()
    await opened.choose(name=f"{hostile}.png")
    await opened.expect_state("first", "done")
    await expect(opened.panel("first").locator(".legend .label")).to_have_text(hostile)
    await opened.expect_state("second", "error")
    await expect(opened.panel("second").locator(".state")).to_contain_text(hostile)
    await expect(opened.panel("first").locator("h2")).to_have_text(hostile)
    await opened.page.locator("#to-models").click()
    await expect(opened.page.locator(".cards thead th").first).to_contain_text(hostile)
    assert await opened.page.locator('a[href^="javascript"]').count() == 0
    assert await opened.page.title() == "Models \N{EN DASH} Diptych"
    assert await opened.page.locator("img[onerror]").count() == 0


async def test_models_that_do_not_do_the_task_say_why(
    opened: Opened, services: Services, see_cards: SeeCards
) -> None:
    del services["second"].cards["second"].tasks[:]
    services["second"].cards["second"].tasks.append(pb.Task.TASK_INSTANCE_SEGMENTATION)
    await see_cards()
    await opened.go()
    await opened.choose()
    await opened.expect_state("second", "done")
    asked = len(services["second"].requests)
    await opened.page.locator("input[value=object-detection]").check()
    await opened.expect_state("second", "unable")
    await expect(opened.panel("second").locator(".state")).to_have_text(
        "Second does not do object detection. It does: instance segmentation."
    )
    await opened.expect_state("first", "done")
    assert len(services["second"].requests) == asked


async def test_a_sample_is_compared_and_the_address_brings_it_back(opened: Opened) -> None:
    await opened.go()
    await opened.page.locator('[data-sample="shapes"]').click()
    await opened.expect_state("first", "done")
    assert "sample=shapes" in opened.page.url
    await opened.go("?sample=shapes&task=object-detection&opacity=30")
    await opened.expect_state("first", "done")
    await expect(opened.page.locator("#opacity")).to_have_value("30")
    await expect(opened.page.locator("input[name=task]:checked")).to_have_value("object-detection")


async def test_the_picture_is_zoomed_in_every_panel_at_once(
    opened: Opened, services: Services
) -> None:
    for service in services.values():
        answer(service, rectangle(0, 0, 10, 60))
    await opened.go()
    await opened.choose()
    await opened.expect_state("second", "done")
    before = await opened.color(SECOND_CANVAS, 0.05, 0.5)
    assert before != PLAIN
    canvas = opened.page.locator(FIRST_CANVAS)
    await canvas.focus()
    for _ in range(4):
        await opened.page.keyboard.press("+")
    assert await opened.color(SECOND_CANVAS, 0.05, 0.5) == PLAIN
    for _ in range(12):
        await opened.page.keyboard.press("ArrowLeft")
    assert await opened.color(SECOND_CANVAS, 0.05, 0.5) != PLAIN
    await opened.page.keyboard.press("0")
    assert await opened.color(SECOND_CANVAS, 0.5, 0.5) == PLAIN


async def test_masks_are_crisp_at_the_largest_zoom(opened: Opened, services: Services) -> None:
    answer(services["first"], rectangle(40, 30, 1, 1))
    await opened.go("?names=0")
    await opened.choose()
    await opened.expect_state("first", "done")
    for _ in range(12):
        await opened.page.locator("#zoom-in").click()
    canvas = opened.page.locator(FIRST_CANVAS)
    # The middle of the canvas is the corner that four pixels share; two pixels fit in its width.
    inside = await opened.color(FIRST_CANVAS, 0.55, 0.55)
    assert inside != PLAIN
    assert await opened.color(FIRST_CANVAS, 0.9, 0.9) == inside
    for x, y in ((0.499, 0.501), (0.501, 0.499), (0.1, 0.9)):
        assert await opened.color(FIRST_CANVAS, x, y) == PLAIN
    await canvas.focus()
    await opened.page.keyboard.press("ArrowRight")
    assert await opened.color(FIRST_CANVAS, 0.45, 0.55) == inside


async def small_on_large(opened: Opened, services: Services) -> None:
    """A picture in which the first model finds an object on top of another."""
    answer(services["first"], rectangle(30, 20, 10, 10, label="small"), rectangle(20, 10, 40, 40))
    await opened.go()
    await opened.choose()
    await expect(opened.page.locator("#agreement-said")).not_to_be_empty()


async def test_a_hidden_object_uncovers_what_lies_under_it(
    opened: Opened, services: Services
) -> None:
    await small_on_large(opened, services)
    place = (35.5 / 80, 25.5 / 60)
    await opened.page.mouse.move(0, 0)
    above, beside = (
        await opened.color(FIRST_CANVAS, *place),
        await opened.color(FIRST_CANVAS, 0.6, 0.6),
    )
    assert above != beside
    rows = opened.panel("first").locator(".legend button[aria-pressed]")
    await rows.first.click()
    await opened.page.mouse.move(0, 0)
    await rows.first.blur()
    assert await opened.color(FIRST_CANVAS, *place) == beside
    await rows.first.click()
    await opened.page.mouse.move(0, 0)
    await rows.first.blur()
    assert await opened.color(FIRST_CANVAS, *place) == above


async def test_the_lit_object_is_over_all_others_and_they_are_faint(
    opened: Opened, services: Services
) -> None:
    await small_on_large(opened, services)
    small, beside = (35.5 / 80, 25.5 / 60), (0.6, 0.6)
    await opened.page.mouse.move(0, 0)
    before = await opened.color(FIRST_CANVAS, *beside)
    rows = opened.panel("first").locator(".legend button[aria-pressed]")
    await rows.nth(1).hover()
    assert await opened.color(FIRST_CANVAS, *small) == before
    await rows.first.hover()
    faint = await opened.color(FIRST_CANVAS, *beside)
    assert faint not in (before, PLAIN)


async def test_the_difference_is_painted_by_who_found_what(
    opened: Opened, services: Services
) -> None:
    answer(services["first"], rectangle(0, 0, 20, 60), rectangle(30, 0, 20, 60))
    answer(services["second"], rectangle(0, 0, 20, 60), rectangle(60, 0, 20, 60))
    await opened.go("?view=difference")
    await opened.choose()
    canvas = ".pair canvas"
    boxes = opened.page.locator(".pair-controls input")
    await expect(boxes).to_have_count(3)
    both = await opened.color(canvas, 0.1, 0.5)
    # Over a pixel of each stripe and of what is between.
    only_a, only_b = [
        np.mean([await opened.color(canvas, x, y / 60) for y in (30.5, 31.5, 32.5, 33.5)], axis=0)
        for x in (0.5, 0.9)
    ]
    assert both[1] > max(both[0], both[2])
    assert only_a[0] > only_a[1] > only_a[2]
    assert only_b[2] > only_b[1] > only_b[0]
    greyed = (GREY - 1, GREY - 1, GREY - 1)  # with less contrast, rounded down
    assert await opened.color(canvas, 0.32, 0.5) == greyed
    await boxes.nth(1).uncheck()
    assert await opened.color(canvas, 0.5, 0.5) == greyed
    assert await opened.color(canvas, 0.1, 0.5) == both


async def test_the_wipe_shows_the_first_left_and_the_second_right(
    opened: Opened, services: Services
) -> None:
    answer(services["second"])
    await opened.go("?view=wipe")
    await opened.choose()
    slider = opened.page.locator("input[name=wipe]")
    await expect(slider).to_have_count(1)
    canvas = ".pair canvas"
    assert await opened.color(canvas, 0.4, 0.5) != PLAIN
    assert await opened.color(canvas, 0.6, 0.5) == PLAIN
    await slider.fill("100")
    assert await opened.color(canvas, 0.6, 0.5) != PLAIN


async def test_a_picture_can_be_dropped_and_pasted(opened: Opened) -> None:
    await opened.go()
    for kind, carrier in (("drop", "DragEvent"), ("paste", "ClipboardEvent")):
        await opened.page.evaluate(
            """([kind, carrier, bytes]) => {
              const data = new DataTransfer();
              data.items.add(new File([new Uint8Array(bytes)], `${kind}.png`, {type: "image/png"}));
              const key = carrier === "DragEvent" ? "dataTransfer" : "clipboardData";
              const init = {bubbles: true, cancelable: true, [key]: data};
              document.body.dispatchEvent(new window[carrier](kind, init));
            }""",
            [kind, carrier, list(grey_picture())],
        )
        await expect(opened.page.locator("#picture-name")).to_contain_text(f"{kind}.png, 80 ")
        await opened.expect_state("first", "done")


async def test_an_address_of_no_view_becomes_that_of_the_first(opened: Opened) -> None:
    await opened.go("?view=nothing&opacity=40")
    await expect(opened.page.locator("#compare-view")).to_be_visible()
    await expect(opened.page.locator("input[name=view][value=side]")).to_be_checked()
    await expect(opened.page).to_have_url(f"{opened.base}/?opacity=40&sample=")
    await opened.choose()
    await opened.expect_state("first", "done")

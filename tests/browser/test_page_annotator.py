"""An annotator's afternoon in the prompt view: three things are cut out, by hand and by keys."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from browser_page import Opened, answer_candidates, answer_prompts, grey_picture
from playwright.async_api import Page, expect
from prompt_page import copied, expect_area, expect_same, shown, start, watch

from diptych.testing import FakeSegmentService

Services = dict[str, FakeSegmentService]


@pytest.fixture(autouse=True)
def ambiguous(services: Services) -> None:
    """The first model offers candidates, the second does not."""
    answer_candidates(services["first"])
    answer_prompts(services["second"])


async def call_it(page: Page, name: str) -> None:
    """Name the current object, by keys."""
    await page.keyboard.press("r")
    await page.keyboard.type(name)
    await page.keyboard.press("Enter")


async def test_an_annotator_cuts_out_three_things(opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "grey.png").write_bytes(grey_picture())
    page = opened.page
    await start(opened)
    await watch(opened)

    # The first thing: a click means a part of it, the second candidate all and a bit too much.
    await opened.point_at("first", 0.3, 0.5)
    await expect(opened.panel("first").locator(".candidates button")).to_have_count(3)
    await page.keyboard.press("2")
    await expect_area(opened, 400)
    box = await opened.panel("first").locator("canvas").bounding_box()
    assert box is not None
    await page.mouse.click(
        box["x"] + 0.35 * box["width"], box["y"] + 0.5 * box["height"], button="right"
    )
    await expect_area(opened, 14 * 20)
    await call_it(page, "cat")
    await expect(opened.panel("first").locator(".legend .label")).to_have_text(["cat"])

    # The second one has a box, which was drawn too small and is pulled wider.
    await page.keyboard.press("n")
    await opened.drag("first", (0.6, 0.2), (0.8, 0.5))
    await expect_area(opened, 14 * 20, 16 * 18)
    await opened.drag("first", (0.8, 0.35), (0.9, 0.35))
    await expect_area(opened, 14 * 20, 24 * 18)
    await call_it(page, "dog")

    # The third one is pointed at beside it; the point is moved, and that is undone and done again.
    await page.locator("#new-object").click()
    await opened.point_at("first", 0.7, 0.8)
    await expect_area(opened, 14 * 20, 24 * 18, 100)
    await opened.drag("first", (0.7, 0.8), (0.8, 0.7))
    await expect(page).to_have_url(re.compile("/6[34][.0-9]*,4[12]"))
    await page.keyboard.press("Control+z")
    await page.keyboard.press("Control+Shift+z")
    await call_it(page, "cat")
    await expect(opened.panel("second").locator(".legend .label")).to_have_text(
        ["cat", "dog", "cat"]
    )

    # What is hidden is not shown and not taken along; an afternoon's work is in the address.
    await page.keyboard.press("h")
    await expect_area(opened, 14 * 20, 24 * 18)
    asked = (await copied(opened, "Python")).partition("prompts=[")[2].partition("\n")[0]
    assert asked.count("Prompt(") == 2
    await page.keyboard.press("h")
    await expect_area(opened, 14 * 20, 24 * 18, 100)
    named = [(one["label"], one["category_id"]) for one in (await shown(opened))[:3]]
    assert named == [("cat", 1), ("dog", 2), ("cat", 1)]
    await opened.expect_state("second", "done")
    await expect_same(await shown(opened), await copied(opened, "Python"), tmp_path)


async def test_the_same_by_keys_alone(opened: Opened) -> None:
    press, page = opened.page.keyboard.press, opened.page
    await start(opened)
    await opened.panel("first").locator("canvas").focus()
    await press("Enter")
    await expect_area(opened, 100)
    await press("2")
    await expect_area(opened, 400)
    await press("Shift+ArrowRight")
    await press("Shift+Enter")
    await expect_area(opened, 18 * 20)
    await call_it(page, "cat")
    # Enter in the name has gone back to the picture.
    await press("n")
    await press("b")
    await press("Shift+ArrowRight")
    await press("Shift+ArrowDown")
    await press("b")
    await expect_area(opened, 18 * 20, 8 * 6)
    for _ in range(3):
        await press("t")  # from the corner to the left side
    await press("g")
    await press("Shift+ArrowLeft")
    await press("g")
    await expect_area(opened, 18 * 20, 16 * 6)
    await press("Delete")
    await expect_area(opened, 18 * 20)
    await press("Control+z")
    await expect_area(opened, 18 * 20, 16 * 6)
    await press("Shift+o")
    current = page.locator("#objects [aria-pressed=true]")
    await expect(current).to_contain_text("Object 1 cat")
    await press("h")
    await expect(current).to_contain_text("hidden")
    await expect_area(opened, 16 * 6)
    await press("Control+z")
    await expect_area(opened, 18 * 20, 16 * 6)
    await current.focus()
    await press("ArrowRight")
    await expect(current).to_contain_text("Object 2")
    await expect(current).to_be_focused()
    await press("Delete")
    await expect_area(opened, 18 * 20)
    await expect(page.locator("#objects [data-choose]")).to_have_count(1)


async def test_all_keys_are_listed_under_a_question_mark(opened: Opened) -> None:
    page = opened.page
    await start(opened)
    await page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys and gestures")
    await expect(keys).to_be_visible()
    for text in ("candidates", "background point", "crosshair", "undo"):
        await expect(keys).to_contain_text(text)
    await page.keyboard.press("n")  # is for the dialog now
    await expect(page.locator("#objects [data-choose]")).to_have_count(1)
    await page.keyboard.press("Escape")
    await expect(keys).to_be_hidden()
    await page.locator("#show-keys").click()
    await keys.get_by_role("button", name="Close").click()
    await expect(keys).to_be_hidden()


async def test_what_is_typed_is_a_name_and_no_key(opened: Opened) -> None:
    page = opened.page
    await start(opened)
    await opened.point_at("first", 0.5, 0.5)
    await opened.expect_state("first", "done")
    await call_it(page, "n1 o/2;h?")
    await expect(page.locator("#objects [data-choose]")).to_contain_text(["Object 1 n1 o/2;h?"])
    await page.keyboard.press("Control+z")
    await expect(page.locator("#objects [data-choose]")).not_to_contain_text(["n1"])
    await page.keyboard.press("Control+Shift+z")
    query = page.url.partition("?")[2]
    await opened.go(f"?sample=shapes&{query}")
    await expect(page.locator("#objects [data-choose]")).to_contain_text(["Object 1 n1 o/2;h?"])
    await expect(page.locator("#object-name")).to_have_value("n1 o/2;h?")

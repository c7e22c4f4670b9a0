"""An engineer who chooses between the models, on a picture of hers."""

from __future__ import annotations

import re

from browser_page import Opened, answer, grey_picture, opened_page, rectangle
from playwright.async_api import Browser, expect

from diptych.testing import FakeSegmentService


async def test_an_engineer_chooses_between_the_models_on_her_picture(
    opened: Opened, browser: Browser, services: dict[str, FakeSegmentService]
) -> None:
    cat = rectangle(0, 0, 20, 60, label="cat", score=0.95)
    answer(
        services["first"],
        cat,
        rectangle(30, 0, 20, 60, label="dog", score=0.8),
        rectangle(60, 0, 18, 60, label="bench", score=0.2),
    )
    answer(
        services["second"],
        rectangle(2, 0, 20, 60, label="cat", score=0.9),
        rectangle(30, 2, 20, 58, label="dog", score=0.7),
    )
    page = opened.page
    table = page.locator("#agreement tbody td")
    none = "\N{EN DASH}"

    # She opens the page and chooses a file; both models answer, and a table says how they agree.
    await opened.go()
    await opened.choose(name="street.png")
    await expect(page.locator("#picture-name")).to_contain_text("street.png, 80")
    await expect(opened.panel("first").locator(".state")).to_contain_text("3 objects in")
    await expect(table).to_have_text(["2", "0.89", "1", "0", "62 %"])

    # The bench is a guess; she leaves out what is below a score of 0.5, and then all but cats.
    await page.get_by_label(re.compile("Score from")).fill("50")
    await expect(opened.panel("first").locator(".state")).to_contain_text("2 of 3 objects shown")
    await expect(table).to_have_text(["2", "0.89", "0", "0", "89 %"])
    await page.get_by_text("All classes").click()
    await page.locator("#class-list").get_by_label("cat").check()
    await page.keyboard.press("Escape")
    await expect(table).to_have_text(["1", "0.82", "0", "0", "82 %"])

    # How exact are the outlines? From an overlap of 0.85 on, the two cats are two things.
    await page.get_by_label(re.compile("match from IoU")).fill("85")
    await expect(table).to_have_text(["0", none, "1", "1", "82 %"])
    await page.get_by_label(re.compile("match from IoU")).fill("80")
    await expect(table).to_have_text(["1", "0.82", "0", "0", "82 %"])

    # She lays one over the other and drags the line: to its left is the first model's cat.
    await page.locator("input[value=wipe]").check(force=True)
    grip = page.locator(".grip")
    await grip.scroll_into_view_if_needed()
    box, canvas = await grip.bounding_box(), await page.locator(".pair canvas").bounding_box()
    await page.mouse.move(box["x"] + 3, box["y"] + 20)
    await page.mouse.down()
    await page.mouse.move(canvas["x"] + canvas["width"] * 0.9, box["y"] + 20, steps=5)
    await page.mouse.up()
    await expect(page.locator("input[name=wipe]")).to_have_value("90")
    seen = await opened.color(".pair canvas", 0.01, 0.6)
    assert len(set(seen)) > 1

    # In the way: a click hides it, here and side by side, and its row in the legend says so.
    await page.mouse.click(canvas["x"] + canvas["width"] * 0.05, canvas["y"] + canvas["height"] / 2)
    assert len(set(await opened.color(".pair canvas", 0.01, 0.6))) == 1
    await page.locator("input[value=side]").check(force=True)
    row = opened.panel("first").locator(".legend button[aria-pressed]:visible")
    await expect(row).to_have_attribute("aria-pressed", "false")
    await row.click()
    await expect(row).to_have_attribute("aria-pressed", "true")

    # Her colleague opens the address that she sends, chooses the same file, and sees the same.
    async with opened_page(browser, opened.base) as colleague:
        await colleague.page.goto(page.url)
        await colleague.choose(grey_picture(), name="street.png")
        same = colleague.page.locator("#agreement tbody td")
        await expect(same).to_have_text(["1", "0.82", "0", "0", "82 %"])
        await expect(colleague.page.locator("#classes-text")).to_have_text("cat")
        await expect(colleague.panel("first").locator(".state")).to_contain_text("1 of 3 objects")

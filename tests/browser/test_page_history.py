"""Back and forward: what is a step, what is kept, and how the page is called meanwhile."""

from __future__ import annotations

from browser_page import Opened, answer_prompts
from playwright.async_api import expect

from diptych.testing import FakeSegmentService

Services = dict[str, FakeSegmentService]


async def test_back_undoes_view_task_and_picture_and_stays_on_the_page(
    opened: Opened, services: Services
) -> None:
    page, name = opened.page, opened.page.locator("#picture-name")
    await opened.come()
    await opened.expect_state("second", "done")
    await expect(page).to_have_title("figure.webp \N{EN DASH} Compare \N{EN DASH} Diptych")
    await opened.choose(name="mine.png")
    await expect(name).to_contain_text("mine.png")
    await page.locator("input[value=object-detection]").check(force=True)
    await page.locator("input[value=wipe]").check(force=True)
    await page.locator("#opacity").fill("40")
    await page.locator("#grey").check()
    await page.locator("[data-sample=crowd]").click()
    await expect(page).to_have_title("crowd.webp \N{EN DASH} Compare \N{EN DASH} Diptych")
    await page.locator("#to-models").click()
    await expect(page).to_have_title("Models \N{EN DASH} Diptych")
    await expect(page.locator("#to-models")).to_have_attribute("aria-current", "page")

    await page.go_back()
    await expect(page.locator("#pair")).to_be_visible()
    await expect(page.locator("#to-models:not([aria-current])")).to_be_visible()
    await page.go_back()
    await expect(name).to_contain_text("mine.png")
    await expect(page.locator("input[value=wipe]")).to_be_checked()
    await page.go_back()
    await expect(page.locator("#pair")).to_be_hidden()
    await expect(page.locator("input[value=object-detection]")).to_be_checked()
    await page.go_back()
    await expect(page.locator("input[value=instance-segmentation]")).to_be_checked()
    await page.go_back()
    await expect(name).to_contain_text("figure.webp")
    await opened.expect_state("second", "done")
    await expect(page.locator("#opacity")).to_have_value("40")
    await expect(page.locator("#grey")).to_be_checked()
    await page.go_forward()
    await expect(name).to_contain_text("mine.png")
    await opened.expect_state("second", "done")


async def test_back_to_another_picture_brings_what_was_pointed_at(
    opened: Opened, services: Services
) -> None:
    for service in services.values():
        answer_prompts(service)
    await opened.go("?view=prompt&sample=figure")
    await opened.expect_state("second", "idle")
    await opened.point_at("first", 0.9, 0.9)
    await opened.expect_state("second", "done")
    pointed = opened.page.url
    await opened.page.locator("[data-sample=crowd]").click()
    await opened.expect_state("second", "idle")
    assert "objects=" not in opened.page.url
    await opened.page.go_back()
    await opened.expect_state("second", "done")
    assert opened.page.url == pointed


async def test_a_picture_of_before_a_reload_is_not_taken_for_another(opened: Opened) -> None:
    await opened.go()
    await opened.choose()
    await opened.expect_state("first", "done")
    await opened.page.reload()
    said = "The picture that was here is not kept. Choose it again."
    await expect(opened.page.locator("#problem")).to_have_text(said)
    await opened.expect_state("first", "off")
    await opened.choose(name="other.png")
    await opened.expect_state("first", "done")


async def test_a_picture_that_comes_in_another_view_is_compared(opened: Opened) -> None:
    await opened.go("?view=models")
    await expect(opened.page.locator("table.cards")).to_be_visible()
    await opened.choose()
    await opened.expect_state("first", "done")
    await opened.page.go_back()
    await expect(opened.page.locator("#models-view")).to_be_visible()

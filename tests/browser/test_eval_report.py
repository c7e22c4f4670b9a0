"""The report of an evaluation in a real browser: for everybody, on any screen, without a server."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accessible import violations
from browser_page import LISTEN
from PIL import Image
from playwright.async_api import Browser, Page, expect
from report_runs import drawn_run

from diptych_eval.report import write_report

WIDTHS = (360, 1024, 1440)
MODELS = ("mask-rcnn", "mask-rcnn-sam-2")


@pytest.fixture(scope="module", params=[1, 2, 4])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on so many models."""
    folder = tmp_path_factory.mktemp("report")
    models = [*MODELS, *(f"model-{index}" for index in range(6))][: request.param]
    write_report(folder, *drawn_run(folder, pictures=3, models=models))
    return folder / "report.html"


@pytest.fixture
async def page(browser: Browser) -> Any:
    """A page on which nothing may go wrong, and nothing be asked for."""
    context = await browser.new_context()
    await context.add_init_script(LISTEN)
    page = await context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda r: r.url.startswith(("file:", "data:")) or said.append(r.url))
    yield page
    await context.close()
    assert said == []


async def test_it_fits_every_screen_and_axe_finds_nothing(report: Path, page: Page) -> None:
    await page.goto(report.as_uri())
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 800})
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
    assert await violations(page) == []


@pytest.mark.parametrize("report", [2], indirect=True)
async def test_axe_finds_nothing_on_a_phone_in_the_dark(report: Path, page: Page) -> None:
    await page.emulate_media(color_scheme="dark")
    await page.set_viewport_size({"width": 360, "height": 740})
    await page.goto(report.as_uri())
    assert await violations(page) == []


@pytest.mark.parametrize("report", [2], indirect=True)
async def test_the_wipe_works_by_keyboard(report: Path, page: Page) -> None:
    await page.goto(report.as_uri())
    wipe = page.locator(".wipe").first
    slider = wipe.locator("input")
    width = float(await wipe.get_attribute("data-width") or 0)
    await slider.focus()
    await page.keyboard.press("Home")
    await expect(wipe.locator(".left")).to_have_attribute("width", "0")
    await page.keyboard.press("ArrowRight")
    await expect(wipe.locator(".right")).to_have_attribute("x", f"{width / 100:g}")
    await page.keyboard.press("End")
    await expect(wipe.locator(".right")).to_have_attribute("width", "0")


@pytest.mark.parametrize("report", [2], indirect=True)
async def test_objects_of_the_wipe_are_drawn_in_their_colours(report: Path, page: Page) -> None:
    await page.goto(report.as_uri())
    panels = page.locator(".panels").first
    await panels.locator(".wipe input").fill("100")
    # What <use> draws cannot be asked for its style; its pixels can be looked at.
    alone, wiped = [
        Image.open(io.BytesIO(await panels.locator(each).screenshot())).convert("RGB")
        for each in ("figure:nth-child(2) svg", ".wipe svg")
    ]
    away = np.abs(np.subtract(alone, wiped.resize(alone.size), dtype=int)).max(-1)
    assert (away[:, :-4] > 60).mean() < 0.01


@pytest.mark.parametrize("report", [2], indirect=True)
async def test_classes_are_sorted_by_a_click_and_by_keyboard(report: Path, page: Page) -> None:
    await page.goto(report.as_uri())
    table = page.locator("table.sortable").first
    head = table.locator("thead th").nth(1)
    await head.locator("button").click()
    await expect(head).to_have_attribute("aria-sort", "ascending")
    cells = table.locator("tbody td:nth-child(2)")
    values = await cells.evaluate_all("all => all.map((each) => each.dataset.sort)")
    known = [float(each) for each in values if each]
    assert known == sorted(known)
    assert values[-1] == ""  # what is none stays last
    await page.keyboard.press("Enter")
    await expect(head).to_have_attribute("aria-sort", "descending")
    values = await cells.evaluate_all("all => all.map((each) => each.dataset.sort)")
    assert values == [f"{each:.6f}" for each in sorted(known, reverse=True)] + [""]


@pytest.mark.parametrize("report", [2], indirect=True)
async def test_light_and_dark_can_be_chosen(report: Path, page: Page) -> None:
    await page.emulate_media(color_scheme="light")
    await page.goto(report.as_uri())
    color = "getComputedStyle(document.body).backgroundColor"
    before = await page.evaluate(color)
    await page.locator("#theme").click()
    assert await page.evaluate(color) != before
    await page.locator("#theme").click()
    assert await page.evaluate(color) == before


@pytest.mark.parametrize("report", [2], indirect=True)
async def test_it_says_everything_without_scripts(report: Path, browser: Browser) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(report.as_uri())
    await expect(page.locator(".verdict")).to_be_visible()
    await expect(page.locator(".wipe svg").first).to_be_visible()
    await expect(page.locator(".wipe input").first).to_be_hidden()
    await expect(page.locator("#theme")).to_be_hidden()
    await context.close()

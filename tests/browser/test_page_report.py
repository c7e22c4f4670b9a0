"""The page opens a report of ``diptych eval`` and compares its pictures anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser_page import Opened
from playwright.async_api import FilePayload, expect
from report_runs import drawn_run

from diptych.testing import FakeSegmentService
from diptych_eval.report import write_report

TIMES = "\N{MULTIPLICATION SIGN}"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a report and, in ``p``, its pictures of 700 x 900 pixels."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "p").mkdir()
    write_report(folder, *drawn_run(folder / "p", pictures=3, size=(700, 900)))
    return folder


async def test_a_picture_of_a_report_opens_in_compare(
    opened: Opened, run: Path, services: dict[str, FakeSegmentService]
) -> None:
    page = opened.page
    await opened.go("?view=report")
    await page.locator("#report-file").set_input_files([run / "report.html"])
    await expect(page.locator("#report-said")).to_contain_text("on these 3 pictures")
    differ, worst = await page.locator("#report-pictures section").all()
    for section in (differ, worst):
        await expect(section.locator("button img")).to_have_count(3)
    await expect(differ.locator("small").first).to_contain_text("mask-rcnn .")
    button = differ.locator("button").first
    name = await button.locator("strong").inner_text()
    await button.click()
    await opened.expect_state("first", "done")
    await expect(page.locator("#compare-view")).to_be_visible()
    await expect(page.locator("#picture-name")).to_contain_text(f"{name}, 560 {TIMES} 436 pixels")
    assert "view" not in page.url
    await page.go_back()
    await expect(differ).to_be_visible()


async def test_pictures_that_are_chosen_with_it_are_compared_in_full(
    opened: Opened, run: Path
) -> None:
    page = opened.page
    await opened.go("?view=report")
    files = [run / "report.html", *sorted((run / "p").glob("*.png"))]
    await page.locator("#report-file").set_input_files(files)
    await page.locator("#report-pictures button").first.focus()
    await page.keyboard.press("Enter")
    await opened.expect_state("second", "done")
    await expect(page.locator("#picture-name")).to_contain_text(f"900 {TIMES} 700 pixels")


async def test_a_file_that_is_no_report_is_named_and_runs_nothing(opened: Opened) -> None:
    await opened.go("?view=report")
    hostile = (
        "<img src=http://example.org/x onerror=alert(1)><script>alert(1)</script>"
        "<section><h2>x</h2><article data-name=y><a href='#z'>z</a>"
        "<svg><image href='http://example.org/y'/></svg></article></section>"
    )
    file: FilePayload = {"name": "x.html", "mimeType": "text/html", "buffer": hostile.encode()}
    await opened.page.locator("#report-file").set_input_files([file])
    said = opened.page.locator("#report-said")
    await expect(said).to_have_text("“x.html” is not a report of diptych eval.")
    await opened.page.locator("#report-pictures button").click()
    await expect(opened.page.locator("#report-view")).to_be_visible()
    assert await opened.page.locator("#report-pictures img").count() == 0

"""The viewer of the HTTP description: renders offline under its policy, and asks with a token."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest
from browser_page import Opened, grey_picture
from playwright.async_api import expect

import diptych_gateway

VIEWER = Path(diptych_gateway.__file__).parent / "viewer"
# Of the files in the package swagger-ui-dist 5.35.0.
PUBLISHED = {
    "swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    "swagger-ui.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_foreign_files_are_those_that_were_published(name: str) -> None:
    unpacked = gzip.decompress((VIEWER / f"{name}.gz").read_bytes())
    assert hashlib.sha256(unpacked).hexdigest() == PUBLISHED[name]
    assert {"LICENSE", "NOTICE", "README.md"} <= {path.name for path in VIEWER.iterdir()}


async def test_every_operation_is_shown_and_tried(opened: Opened) -> None:
    await opened.go()
    await opened.page.get_by_role("link", name="HTTP").click()
    operations = opened.page.locator(".opblock")
    await expect(operations).to_have_count(9)
    await expect(opened.page.get_by_role("heading", name="Diptych")).to_be_visible()
    models = opened.page.locator("#operations-default-models")
    await models.locator(".opblock-summary-control").click()
    await models.get_by_role("button", name="Execute").click()
    answer = models.locator(".live-responses-table")
    await expect(answer.locator("td.response-col_status").first).to_contain_text("200")
    await expect(answer).to_contain_text('"model_id": "first"')


async def test_a_picture_is_sent_from_it(opened: Opened) -> None:
    await opened.go("api/docs")
    segment = opened.page.locator("#operations-default-segment")
    await segment.locator(".opblock-summary-control").click()
    file = {"name": "grey.png", "mimeType": "image/png", "buffer": grey_picture()}
    await segment.locator("input[type=file]").set_input_files([file])  # type: ignore[list-item]
    await segment.locator("textarea").fill('{"model": "first"}')
    await segment.get_by_role("button", name="Execute").click()
    answer = segment.locator(".live-responses-table")
    await expect(answer.locator("td.response-col_status").first).to_contain_text("200")
    await expect(answer).to_contain_text('"segments"')

"""The viewer of the HTTP description: renders offline under its policy, and asks with a token."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path
from typing import Literal

import pytest
from browser_page import Opened, grey_picture
from playwright.async_api import Browser, expect

import diptych_gateway
from diptych_gateway.server import Gateway
from diptych_gateway.settings import Endpoint, Settings

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
    await expect(operations).to_have_count(14)
    await expect(opened.page.get_by_role("heading", name="Diptych")).to_be_visible()
    models = opened.page.locator("#operations-Models-models")
    await models.locator(".opblock-summary-control").click()
    await models.get_by_role("button", name="Execute").click()
    answer = models.locator(".live-responses-table")
    await expect(answer.locator("tr.response td.response-col_status").first).to_contain_text("200")
    await expect(answer).to_contain_text('"model_id": "first"')


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_operations_are_in_groups_in_the_colours_of_the_system_with_a_way_back(
    opened: Opened, scheme: Literal["light", "dark"]
) -> None:
    page = opened.page
    await page.emulate_media(color_scheme=scheme)
    await opened.go("api/docs/")
    await expect(page.locator(".opblock-tag")).to_contain_text(["Pictures", "Models", "Server"])
    await expect(page).to_have_title("HTTP interface · Diptych")
    ground, ink = await page.evaluate(
        """[["body", "backgroundColor"], [".swagger-ui .info .title", "color"]].map(
          ([part, name]) => getComputedStyle(document.querySelector(part))[name])"""
    )
    light = [sum(map(int, re.findall(r"\d+", color)[:3])) > 384 for color in (ground, ink)]
    assert light == [scheme == "light", scheme == "dark"]
    await page.get_by_role("link", name="Back to Diptych").click()
    await expect(page.locator("#compare-view")).to_be_visible()


async def test_a_picture_is_sent_from_it(opened: Opened) -> None:
    await opened.go("api/docs")
    segment = opened.page.locator("#operations-Pictures-segment")
    await segment.locator(".opblock-summary-control").click()
    file = {"name": "grey.png", "mimeType": "image/png", "buffer": grey_picture()}
    await segment.locator("input[type=file]").set_input_files([file])  # type: ignore[list-item]
    await segment.locator("textarea").fill('{"model": "first"}')
    await segment.get_by_role("button", name="Execute").click()
    answer = segment.locator(".live-responses-table")
    await expect(answer.locator("tr.response td.response-col_status").first).to_contain_text("200")
    await expect(answer).to_contain_text('"segments"')


async def test_a_token_is_given_to_it(browser: Browser, tmp_path: Path) -> None:
    secret = "diptych_secret"
    hashed = hashlib.sha256(secret.encode()).hexdigest()
    (tmp_path / "tokens.toml").write_text(f'[tokens.me]\nsha256 = "{hashed}"\n')
    models = (Endpoint("first", "127.0.0.1:1"),)
    tokens_file = tmp_path / "tokens.toml"
    gateway = Gateway(
        Settings(models=models, port=0, http_port=0, drain_s=0.0, tokens_file=tokens_file)
    )
    await gateway.start()
    page = await browser.new_page()
    await page.goto(f"http://127.0.0.1:{gateway.http_port}/api/docs/")
    models_block = page.locator("#operations-Models-models")
    await models_block.locator(".opblock-summary-control").click()
    status = models_block.locator("tr.response td.response-col_status").first
    await models_block.get_by_role("button", name="Execute").click()
    await expect(status).to_contain_text("401")
    await page.locator(".auth-wrapper .authorize").click()
    await page.locator(".auth-container input").fill(secret)
    await page.locator(".auth-btn-wrapper .authorize").click()
    await page.locator(".btn-done").click()
    await models_block.get_by_role("button", name="Execute").click()
    await expect(status).to_contain_text("200")
    await page.close()
    await gateway.stop()

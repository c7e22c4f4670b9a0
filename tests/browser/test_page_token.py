"""The form for a token: when it comes, what it says, and how long a token is kept."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from browser_page import Opened
from playwright.async_api import Browser, expect

from diptych.testing import FakeSegmentService
from diptych_gateway.server import Gateway
from diptych_gateway.settings import Endpoint, Settings

SECRET = "diptych_right"


@pytest.fixture
async def gateway(
    services: dict[str, FakeSegmentService], tmp_path: Path
) -> AsyncIterator[Gateway]:
    """One that wants a token."""
    hashed = hashlib.sha256(SECRET.encode()).hexdigest()
    (tmp_path / "tokens.toml").write_text(f'[tokens.me]\nsha256 = "{hashed}"\n')
    models = tuple(Endpoint(name, service.address) for name, service in services.items())
    tokens_file = tmp_path / "tokens.toml"
    gateway = Gateway(
        Settings(models=models, port=0, http_port=0, drain_s=0.0, tokens_file=tokens_file)
    )
    await gateway.start()
    yield gateway
    await gateway.stop()


async def give(opened: Opened, token: str) -> None:
    await opened.page.locator("#token").fill(token)
    await opened.page.get_by_role("button", name="Use it in this tab").click()


async def test_a_token_is_asked_for_checked_and_kept_for_this_tab(
    opened: Opened, browser: Browser
) -> None:
    page, form, problem = opened.page, opened.page.locator("#token-form"), "#problem"
    await opened.go()
    await expect(form).to_be_visible()
    await expect(page.locator("#token")).to_be_focused()
    await give(opened, "diptych_wrong")
    await expect(page.locator(problem)).to_contain_text("not known here")
    await expect(form).to_be_visible()
    await give(opened, SECRET)
    await expect(form).to_be_hidden()
    await expect(page.locator(problem)).to_be_empty()
    await opened.choose()
    await opened.expect_state("first", "done")
    # What needs a token, too, is asked for with it.
    await expect(page.locator("#take-format option[value=coco]")).to_have_count(1)
    await expect(page.locator("[data-grpc]").first).not_to_contain_text("PORT")
    await opened.go()
    await expect(opened.panel("first")).to_be_visible()
    await expect(form).to_be_hidden()
    kept = await page.evaluate("[sessionStorage.length, localStorage.length, document.cookie]")
    assert kept == [1, 0, ""]
    other = await page.context.new_page()
    await other.goto(opened.base)
    await expect(other.locator("#token-form")).to_be_visible()
    await other.close()
    opened.errors[:] = [text for text in opened.errors if "401" not in text]

"""The video view where the gateway asks for tokens."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from browser_page import Opened
from playwright.async_api import expect
from video_page import VideoPage

from diptych.testing import FakeSegmentService

FOR_ALL, WITHOUT_VIDEO = "diptych_all", "diptych_pictures"


@pytest.fixture
def gateway_settings(tmp_path: Path) -> dict[str, Any]:
    """A gateway that wants tokens."""
    scopes = {FOR_ALL: "", WITHOUT_VIDEO: 'scopes = ["read", "segment"]'}
    entries = [
        f'[tokens.{token}]\nsha256 = "{hashlib.sha256(token.encode()).hexdigest()}"\n{scope}\n'
        for token, scope in scopes.items()
    ]
    (tmp_path / "tokens.toml").write_text("\n".join(entries))
    return {"tokens_file": tmp_path / "tokens.toml"}


@pytest.fixture
async def view(opened: Opened) -> VideoPage:
    """The view, which has asked for a token."""
    await opened.go("?view=video")
    await expect(opened.page.locator("#token-form")).to_be_visible()
    assert opened.errors  # the browser's own note of the refusal
    opened.errors.clear()
    return VideoPage(opened)


async def give(view: VideoPage, token: str) -> None:
    await view.page.locator("#token").fill(token)
    await view.page.get_by_role("button", name="Use it in this tab").click()
    await expect(view.page.locator("#token-form")).to_be_hidden()
    await view.page.locator("#video-sample").click()
    await expect(view.page.locator("#video-new")).to_be_enabled()
    await view.click("first", 0.5, 0.5)


async def test_the_token_of_the_tab_opens_sessions(
    view: VideoPage, services: dict[str, FakeSegmentService]
) -> None:
    await give(view, FOR_ALL)
    for model, service in services.items():
        await expect(view.panel(model).locator(".state")).to_have_text("Following 1 object")
        assert service.video_requests
    assert FOR_ALL not in view.page.url


async def test_a_token_for_something_else_is_a_sentence_in_each_panel(
    view: VideoPage, services: dict[str, FakeSegmentService]
) -> None:
    await give(view, WITHOUT_VIDEO)
    for model, service in services.items():
        await expect(view.panel(model)).to_have_attribute("data-state", "error")
        await expect(view.panel(model).locator(".state")).to_contain_text(
            "This token is for something else"
        )
        assert service.video_requests == ()

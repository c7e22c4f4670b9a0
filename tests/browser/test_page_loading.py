"""What is loaded when: the first view at once, the others when somebody looks at them."""

from __future__ import annotations

import asyncio
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from browser_page import Opened, answer_prompts
from page_graph import PAGE, imported, preloaded
from playwright.async_api import Route, expect

from diptych.testing import FakeSegmentService


def names(modules: set[Path]) -> list[str]:
    return sorted(str(path.relative_to(PAGE.resolve())) for path in modules)


def test_what_the_first_view_imports_is_named_in_the_page() -> None:
    main = PAGE / "js" / "main.js"
    early = names(imported(PAGE / "js" / "early.js"))
    rest = [name for name in names(imported(main) - {main.resolve()}) if name not in early]
    assert preloaded() == early + rest


async def test_what_is_seen_first_is_asked_for_before_the_page_is_there(opened: Opened) -> None:
    asked: list[str] = []

    async def late(route: Route) -> None:
        await expect(opened.page.locator("#samples")).to_be_attached()
        while not {"/api/models", "/samples/figure.webp"} <= set(asked):
            await asyncio.sleep(0.01)
        await route.continue_()

    opened.page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    await opened.page.route("**/js/views.js", late)
    await opened.come()
    await opened.expect_state("second", "done")
    assert [asked.count(path) for path in ("/api/models", "/samples/figure.webp")] == [1, 1]


async def test_a_view_is_loaded_when_somebody_looks_at_it(opened: Opened) -> None:
    loaded: list[str] = []
    opened.page.on("request", lambda request: loaded.append(PurePosixPath(request.url).name))
    await opened.go()
    await opened.choose()
    await opened.expect_state("second", "done")
    others = ["prompt-view.js", "video-view.js", "cards-view.js", "report-view.js", "prompt.css"]
    assert not set(others) & set(loaded)
    assert [name for name in set(loaded) if loaded.count(name) > 1] == []
    await opened.page.locator("#to-models").click()
    await expect(opened.page.locator(".cards thead th")).to_have_count(2)
    assert {"cards-view.js", "cards.css"} <= set(loaded)
    await opened.page.locator("#to-compare").click()
    await opened.page.locator("#to-models").click()
    await expect(opened.page.locator("#models-view")).to_be_visible()
    assert loaded.count("cards-view.js") == 1


async def test_a_view_that_is_loaded_later_knows_what_the_others_do(
    opened: Opened, services: dict[str, FakeSegmentService]
) -> None:
    for service in services.values():
        answer_prompts(service)
    await opened.go("?opacity=0")
    await opened.page.locator("#model-choice input").nth(1).uncheck()
    await opened.choose()
    await opened.expect_state("first", "done")
    await opened.page.locator("#to-prompt").click()
    await opened.expect_state("first", "idle")
    await expect(opened.panel("second")).to_have_count(0)
    await opened.point_at("first", 0.5, 0.5)
    await opened.expect_state("first", "done")
    canvas = '#prompt-panels .panel[data-model="first"] canvas'
    assert await opened.color(canvas, 0.47, 0.5) == (128, 128, 128)
    await opened.page.locator("#opacity").fill("100")
    assert await opened.color(canvas, 0.47, 0.5) != (128, 128, 128)


async def test_a_view_that_cannot_be_loaded_says_so_and_is_tried_again(opened: Opened) -> None:
    async def refuse(route: Route) -> None:
        await route.abort()

    await opened.go("?grey=1")
    await opened.page.route("**/js/prompt/**", refuse)
    await opened.page.locator("#to-prompt").click()
    said = opened.page.locator("#view-state")
    await expect(said).to_contain_text("This view cannot be loaded. Is the gateway running?")
    await expect(opened.page.locator("#prompt-view")).to_be_hidden()
    await opened.page.locator("#to-compare").click()
    await expect(said).to_be_empty()
    await expect(opened.page.locator("#compare-view")).to_be_visible()
    await opened.page.locator("#to-prompt").click()
    await opened.page.unroute("**/js/prompt/**")
    await said.get_by_role("button", name="Try again").click()
    await expect(opened.page.locator("#prompt-view")).to_be_visible()
    await expect(said).to_be_empty()
    await opened.choose()
    await opened.expect_state("second", "idle")
    assert opened.errors
    assert all("ERR_FAILED" in error for error in opened.errors)
    opened.errors.clear()

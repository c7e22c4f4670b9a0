"""What one point may mean: the candidates, the choice among them, and what goes on from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser_page import Opened, answer_candidates, answer_prompts, grey_picture
from playwright.async_api import Locator, expect
from prompt_page import (
    asked,
    copied,
    expect_area,
    expect_same,
    points,
    shown,
    start,
    watch,
)

from diptych.testing import FakeSegmentService

Services = dict[str, FakeSegmentService]
OFFERED = ["1 .93", "2 .81", "3 .40"]


@pytest.fixture(autouse=True)
def ambiguous(services: Services) -> None:
    """The first model offers candidates, the second does not."""
    answer_candidates(services["first"])
    answer_prompts(services["second"])


def offered(opened: Opened, model: str = "first") -> Locator:
    return opened.panel(model).locator(".candidates button")


async def test_a_lone_point_offers_candidates_and_the_choice_is_kept(
    opened: Opened, services: Services
) -> None:
    first, page = services["first"], opened.page
    await start(opened)
    await opened.point_at("first", 0.5, 0.5)
    assert (await asked(first, 1)).output.all_candidates
    await expect(offered(opened)).to_have_text(OFFERED)
    await expect(offered(opened, "second")).to_have_count(0)
    await expect_area(opened, 100)
    await expect(offered(opened).first).to_have_attribute("aria-pressed", "true")
    await page.keyboard.press("2")
    await expect_area(opened, 400)
    await expect(opened.panel("first").locator(".legend .score")).to_have_text("0.81")
    await expect(page.locator("#overlaps")).to_have_text("First and Second: IoU 0.25 on object 1.")
    await offered(opened).nth(2).click()
    await expect(offered(opened).nth(2)).to_be_focused()
    await expect_area(opened, 1600)
    await page.keyboard.press("Control+z")
    await expect_area(opened, 400)
    await page.keyboard.press("Control+z")
    await expect_area(opened, 100)
    await page.keyboard.press("Control+Shift+z")
    await expect_area(opened, 400)
    assert len(first.requests) == 1  # nothing of this was asked
    assert ";c2-first" in page.url
    query = page.url.partition("?")[2].replace("view=prompt", "view=prompt&sample=shapes")
    await opened.go(f"?{query}")
    await expect_area(opened, 400)
    await expect(offered(opened).nth(1)).to_have_attribute("aria-pressed", "true")


async def test_further_clicks_go_on_from_the_chosen_candidate(
    opened: Opened, services: Services
) -> None:
    first, page = services["first"], opened.page
    await start(opened)
    await opened.point_at("first", 0.5, 0.5)
    await expect(offered(opened)).to_have_count(3)
    await page.keyboard.press("3")
    await expect_area(opened, 1600)
    await (
        opened.panel("first")
        .locator("canvas")
        .click(button="right", position=await place(opened, 0.6, 0.5))
    )
    await expect_area(opened, 28 * 40)
    seed, further = first.requests[-2:]
    assert seed.output.low_res_logits
    assert points(seed.prompts[0]) == [(0.5, 0.5, True)]
    assert further.prompts[0].mask.HasField("low_res_logits")
    assert points(further.prompts[0]) == [(0.5, 0.5, True), (0.6, 0.5, False)]
    # Without a choice, and where there are no candidates, the points alone are asked.
    assert not services["second"].requests[-1].prompts[0].HasField("mask")
    await expect(offered(opened)).to_have_count(0)
    await page.keyboard.press("Control+z")
    await expect_area(opened, 1600)
    await page.keyboard.press("Control+z")
    await expect_area(opened, 100)
    # The first point is elsewhere: its candidates are others, and none is chosen.
    await page.keyboard.press("Control+Shift+z")
    await expect_area(opened, 1600)
    await opened.drag("first", (0.5, 0.5), (0.4, 0.5))
    await expect_area(opened, 100)
    assert "c3" not in page.url


async def place(opened: Opened, x: float, y: float) -> Any:
    """A share of the first panel's picture in CSS pixels."""
    box = await opened.panel("first").locator("canvas").bounding_box()
    return {"x": x * box["width"], "y": y * box["height"]}


async def test_a_box_beside_a_point_is_asked_as_before_and_both_are_one_answer(
    opened: Opened, services: Services
) -> None:
    first, page = services["first"], opened.page
    await start(opened)
    await opened.drag("first", (0.1, 0.1), (0.3, 0.3))
    assert not (await asked(first, 1)).output.all_candidates
    await expect(offered(opened)).to_have_count(0)
    await page.keyboard.press("n")
    await opened.point_at("first", 0.5, 0.5)
    await asked(first, 3)
    lone = [request for request in first.requests[1:] if request.output.all_candidates]
    assert [points(request.prompts[0]) for request in lone] == [[(0.5, 0.5, True)]]
    await expect(offered(opened)).to_have_text(OFFERED)
    await expect(opened.panel("first").locator(".legend .label")).to_have_text(
        ["object 1", "object 2"]
    )
    await page.keyboard.press("3")
    await expect_area(opened, 16 * 12, 1600)
    await expect(page.locator("#overlaps")).to_contain_text(
        "IoU 1.00 on object 1, 0.06 on object 2"
    )
    await page.get_by_role("button", name="Object 1").first.click()
    await expect(offered(opened)).to_have_count(0)


async def test_copied_code_chooses_the_same_candidates(
    opened: Opened, services: Services, tmp_path: Path
) -> None:
    (tmp_path / "grey.png").write_bytes(grey_picture())
    await start(opened)
    await watch(opened)
    await opened.point_at("first", 0.5, 0.5)
    await expect(offered(opened)).to_have_count(3)
    await opened.page.keyboard.press("2")
    await expect_area(opened, 400)
    assert "One request cannot say" in await copied(opened, "curl")
    await expect_same(await shown(opened), await copied(opened, "Python"), tmp_path)
    await opened.page.keyboard.press("3")
    await opened.point_at("first", 0.6, 0.5, key="Alt")
    await expect_area(opened, 28 * 40)
    await opened.page.keyboard.press("n")
    await opened.point_at("first", 0.2, 0.2)
    await expect_area(opened, 28 * 40, 100)
    await opened.page.keyboard.press("2")
    await expect_area(opened, 28 * 40, 400)
    await opened.expect_state("second", "done")
    await expect_same(await shown(opened), await copied(opened, "Python"), tmp_path)

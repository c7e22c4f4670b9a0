"""Objects of Compare, taken along: an annotator corrects what a detector found."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser_page import SIZE, Opened, grey_picture, rectangle
from mask_page import HALF, answer_masks, exported, prompt_mask, rerun
from playwright.async_api import Browser, expect
from prompt_page import asked

from diptych import Mask
from diptych.segment import v1 as pb
from diptych.testing import FakeCall, FakeSegmentService
from diptych_gateway.server import Gateway

Services = dict[str, FakeSegmentService]
SeeCards = Callable[[], Awaitable[None]]
FOUND = (
    replace(rectangle(20, 15, 40, 30, label="cat"), category_id=17),
    replace(rectangle(2, 2, 10, 10, label="ox / cow; %"), category_id=21),
)


@pytest.fixture(autouse=True)
async def detector(services: Services, see_cards: SeeCards) -> None:
    """The first model finds two named objects; only the second one takes masks."""
    answer_masks(services["second"])
    services["first"].answer_with(lambda call: [] if call.request.prompts else FOUND)
    services["first"].cards["first"].prompt_kinds.remove(pb.PromptKind.PROMPT_KIND_MASK)
    await see_cards()


async def compared(opened: Opened, query: str = "") -> None:
    """Both models have answered in Compare; the second one has found nothing."""
    await opened.go(query)
    await opened.choose()
    await opened.expect_state("first", "done")
    await opened.expect_state("second", "done")


def objects(request: pb.SegmentRequest) -> list[np.ndarray]:
    return [prompt_mask(prompt) for prompt in request.prompts]


async def test_an_annotator_corrects_what_a_detector_found(
    opened: Opened, services: Services, tmp_path: Path
) -> None:
    page, second = opened.page, services["second"]
    # She compares, and the detector's cat is nearly right.
    await compared(opened)
    cat = FOUND[0].mask
    assert cat is not None
    await opened.panel("first").get_by_role("button", name="Refine cat by clicks").click()
    # Its mask and its box are what the other model is asked with, and it keeps its name.
    request = await asked(second, 2)
    (prompt,) = request.prompts
    assert request.task == pb.Task.TASK_PROMPTED_SEGMENTATION
    assert np.array_equal(prompt_mask(prompt), cat.to_array())
    assert (prompt.box.x_min_px, prompt.box.y_max_px) == (20, 45)
    await opened.expect_state("second", "done")
    await expect(page.locator("#objects")).to_contain_text("Object 1 cat")
    await expect(opened.panel("second").locator(".legend .label")).to_have_text("cat")
    await expect(opened.panel("first").locator(".state")).to_contain_text("not masks")
    # A right click where it is no cat: the mask is corrected, and its box does not hold it back.
    await opened.point_at("second", 0.5, 0.5, key="Alt")
    (prompt,) = (await asked(second, 3)).prompts
    assert np.array_equal(prompt_mask(prompt), cat.to_array())
    assert not prompt.HasField("box")
    assert [point.label for point in prompt.points] == [pb.PointLabel.POINT_LABEL_BACKGROUND]
    await opened.expect_state("second", "done")
    corrected = cat.to_array().copy()
    corrected[30 - HALF : 30 + HALF, 40 - HALF : 40 + HALF] = False
    ((seen, _),) = (await exported(opened, "second")).values()
    assert np.array_equal(seen, corrected)
    # Whoever copies the code gets the very same mask.
    counts = Mask.from_array(corrected).to_coco().decode()
    (tmp_path / "grey.png").write_bytes(grey_picture())
    printed = await rerun(opened, "Python", tmp_path)
    assert printed.splitlines()[-1] == counts
    for language in ("command line", "curl"):
        document = json.loads(await rerun(opened, language, tmp_path))
        (segment,) = document["results"][-1]["result"]["segments"]
        assert segment["segmentation"]["counts"] == counts
    # A corner is wrong still: she erases it, and what she has painted is kept.
    await page.locator("#prompt-view canvas").nth(1).focus()
    await page.keyboard.press("e")
    await page.locator("#brush-size").fill("60")
    await opened.drag("second", (0.25, 0.25), (0.25, 0.3))
    await expect(page.locator("#keep")).to_be_checked()
    await expect(opened.panel("second").locator(".state")).to_have_text("1 object as painted")
    for model in services:
        (name, (kept, annotation)), *_ = (await exported(opened, model)).items()
        assert (name, annotation["category_id"]) == ("cat", 17)
        assert not (kept & ~corrected).any()
        assert not kept[16, 20]
        assert kept[44, 59]
    assert len(second.requests) == 6  # three are the copied code's
    # Back in Compare everything is as it was, and another object comes along beside the first.
    await page.go_back()
    await expect(page.locator("#compare-view")).to_be_visible()
    await opened.expect_state("first", "done")
    await page.go_forward()
    await expect(page.locator("#objects")).to_contain_text("kept mask")
    await page.go_back()
    await opened.panel("first").get_by_role("button", name="Refine ox").focus()
    await page.keyboard.press("Enter")
    (prompt,) = (await asked(second, 7)).prompts  # not the one that is kept
    assert prompt_mask(prompt).sum() == 100
    await expect(page.locator("#objects")).to_contain_text("Object 2 ox / cow; %")
    await expect(opened.panel("second").locator(".legend .label")).to_have_text(
        ["ox / cow; %", "cat"]
    )
    found = await exported(opened, "second")
    assert {name: one["category_id"] for name, (_, one) in found.items()} == {
        "cat": 17,
        "ox / cow; %": 21,
    }


@pytest.mark.parametrize("query", ["", "?view=wipe"])
async def test_a_double_click_on_the_picture_takes_an_object_along(
    opened: Opened, services: Services, query: str
) -> None:
    await compared(opened, query)
    canvas = opened.page.locator("#compare-view canvas:visible").first
    box = await canvas.bounding_box()
    place = {"x": 0.4 * box["width"], "y": 0.5 * box["height"]}
    await canvas.dblclick(position=place)
    (prompt,) = (await asked(services["second"], 2)).prompts
    assert np.array_equal(prompt_mask(prompt), np.asarray(FOUND[0].mask))
    # The two clicks have hidden nothing.
    await opened.page.go_back()
    await expect(opened.page.locator("#compare-view")).to_be_visible()
    hidden = opened.page.locator('#panels .legend [aria-pressed="false"]')
    await expect(hidden).to_have_count(0)


async def test_two_taps_take_an_object_along(
    browser: Browser, gateway: Gateway, services: Services
) -> None:
    context = await browser.new_context(
        viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True
    )
    opened = Opened(await context.new_page(), f"http://127.0.0.1:{gateway.http_port}")
    await compared(opened)
    await opened.panel("first").locator("canvas").scroll_into_view_if_needed()
    box = await opened.panel("first").locator("canvas").bounding_box()
    place = box["x"] + 0.4 * box["width"], box["y"] + 0.5 * box["height"]
    for _ in range(2):
        await opened.page.touchscreen.tap(*place)
    assert objects(await asked(services["second"], 2))[0].sum() == FOUND[0].area
    # A finger paints as well.
    page = opened.page
    await page.locator("label:has(input[value=eraser])").tap()
    client = await context.new_cdp_session(page)
    await page.locator("#prompt-panels canvas:visible").scroll_into_view_if_needed()
    box = await page.locator("#prompt-panels canvas:visible").bounding_box()
    middle = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
    for kind, move in [("touchStart", 0), ("touchMove", 30), ("touchMove", 60), ("touchEnd", 60)]:
        points = [] if kind == "touchEnd" else [{"x": middle[0] + move, "y": middle[1]}]
        await client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    await expect(page.locator("#objects")).to_contain_text("kept mask")
    assert opened.errors == []
    await context.close()


async def test_what_has_no_mask_comes_with_its_box(opened: Opened, services: Services) -> None:
    plain = [replace(FOUND[0], mask=None)]

    def find(call: FakeCall) -> list:  # type: ignore[type-arg]
        return [] if call.request.prompts else plain

    services["first"].answer_with(find)
    await compared(opened, "?task=object-detection")
    await opened.panel("first").get_by_role("button", name="Refine cat by clicks").click()
    (prompt,) = (await asked(services["second"], 2)).prompts
    assert not prompt.HasField("mask")
    assert (prompt.box.x_min_px, prompt.box.x_max_px) == (20, 60)
    await expect(opened.page.locator("#objects")).to_contain_text("Object 1 cat")
    assert "n17,cat" in opened.page.url
    assert SIZE == (60, 80)

"""A cascade on the page: a panel with the labels of one model and the outlines of another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
from browser_page import GREY, Opened, rectangle
from playwright.async_api import expect

from diptych import Segment
from diptych.testing import FakeCall, FakeSegmentService
from diptych_gateway.server import Gateway
from diptych_gateway.settings import Endpoint, Pair, Settings

Services = dict[str, FakeSegmentService]
PLAIN = (GREY, GREY, GREY)
CASCADE = "first-second"
FOUND = (rectangle(0, 0, 40, 60, label="star"), rectangle(50, 0, 20, 60, label="ring", score=0.8))
DRAWN = (rectangle(0, 0, 20, 60, label=""), rectangle(60, 0, 10, 60, label=""))


@pytest.fixture
async def gateway(services: Services) -> AsyncIterator[Gateway]:
    """The first model finds, the second draws the left half of one object, the right of another."""

    def draw(call: FakeCall) -> Sequence[Segment]:
        if not call.request.prompts:
            return DRAWN
        return [replace(s, prompt_index=i, candidate_index=0) for i, s in enumerate(DRAWN)]

    services["first"].answer_with(lambda call: FOUND)
    services["second"].answer_with(draw)
    gateway = Gateway(
        Settings(
            models=tuple(Endpoint(name, s.address) for name, s in services.items()),
            cascades=(Pair("first", "second"),),
            port=0,
            http_port=0,
            drain_s=0.0,
        )
    )
    await gateway.start()
    while not all(known.HasField("model_card") for known in gateway.registry.known_models()):
        await asyncio.sleep(0.01)
    yield gateway
    await gateway.stop()


def canvas(model: str) -> str:
    return f'.panel[data-model="{model}"] canvas'


async def test_labels_of_the_detector_with_the_outlines_of_the_segmenter(opened: Opened) -> None:
    await opened.go()
    await opened.choose()
    for model in ("first", "second", CASCADE):
        await opened.expect_state(model, "done")
    panel = opened.panel(CASCADE)
    await expect(panel.locator("h2")).to_have_text("First → Second")
    rows = panel.locator(".legend .label")
    await expect(rows).to_have_text(["star IoU 0.50", "ring IoU 0.50"])
    await expect(panel.locator(".legend .area")).to_have_text(["1,200 px", "600 px"])
    # Left and right of the middle of either box: what was found is more than what was drawn.
    places = {"left half": 0.1, "right half": 0.4, "left of ring": 0.65, "right of ring": 0.8}
    painted = {}
    for model in ("first", CASCADE, "second"):
        colors = [await opened.color(canvas(model), x, 0.5) for x in places.values()]
        painted[model] = [color != PLAIN for color in colors]
    assert painted["first"] == [True, True, True, True]
    assert painted[CASCADE] == painted["second"] == [True, False, False, True]


async def test_the_overlap_is_told_where_the_pointer_is(opened: Opened) -> None:
    await opened.go()
    await opened.choose()
    await opened.expect_state(CASCADE, "done")
    await opened.panel(CASCADE).locator(".legend button").first.hover()
    hover = opened.panel(CASCADE).locator(".hover")
    await expect(hover).to_have_text("star · 0.90 · 1,200 px · IoU 0.50 with the outline before")
    await opened.panel("first").locator(".legend button").first.hover()
    await expect(opened.panel("first").locator(".hover")).to_have_text("star · 0.90 · 2,400 px")
    await expect(opened.panel("first").locator(".legend .label").first).to_have_text("star")


async def test_it_has_a_card_among_the_others(opened: Opened) -> None:
    await opened.go("?view=models")
    heads = opened.page.locator(".cards thead th")
    await expect(heads.last).to_contain_text("First → Second")
    row = opened.page.locator(".cards tr", has_text="Instance segmentation")
    await expect(row.locator(".yes")).to_have_count(3)


async def test_it_says_when_one_of_both_is_away(opened: Opened, services: Services) -> None:
    services["second"].fail("DEVICE_MEMORY", "no room")
    await opened.go()
    await opened.choose()
    await opened.expect_state("first", "done")
    await opened.expect_state(CASCADE, "error")
    await expect(opened.panel(CASCADE).locator(".state")).to_contain_text("second: no room")

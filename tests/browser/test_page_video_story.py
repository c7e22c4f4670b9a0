"""Somebody follows two objects through a clip; what the time line offers for that."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import numpy as np
import pytest
from browser_page import Opened
from playwright.async_api import expect
from video_page import VideoPage, follow_violet, sent, settled

from diptych import Mask, Segment, VideoObject
from diptych.testing import FakeSegmentService, FakeVideoFrame

Services = dict[str, FakeSegmentService]
LAST = 47
SQUARE = (0.78, 0.69)
"""Where the violet square of the sample is on its first frame, as shares."""
OTHER = (0.2, 0.3)
NOTE_SHIFTS = """
window.moved = [];
new PerformanceObserver((list) => {
  const entries = list.getEntries().filter((entry) => !entry.hadRecentInput);
  const nodes = entries.flatMap(({ sources }) => sources.map(({ node }) => node));
  window.moved.push(...nodes.map((node) => node?.id || node?.className || String(node?.nodeName)));
}).observe({ type: "layout-shift", buffered: true });
"""


def follow_two(frame: FakeVideoFrame) -> list[VideoObject]:
    """The first object is the square, any other one lies still in the corner."""
    found = follow_violet(frame)
    corner = np.zeros(frame.image_size, bool)
    corner[:40, :40] = True
    mask = Mask.from_array(corner)
    other = Segment(score=0.8, box=mask.box, mask=mask, label="corner", area=mask.area)
    return [one if one.object_id == 1 else VideoObject(one.object_id, other, 0.8) for one in found]


@pytest.fixture
def view(opened: Opened, services: Services) -> VideoPage:
    """The page before models that see the square of the sample, one of them slow."""
    for service in services.values():
        service.answer_video_with(follow_violet)
    services["second"].delay_s = 0.06
    return VideoPage(opened)


def indexes(service: FakeSegmentService) -> list[int]:
    return [frame.frame_index for frame in sent(service, "frame")]


def on_frame(service: FakeSegmentService, index: int) -> dict[int, Any]:
    """What a fake was told on a frame, by object."""
    return {p.object_id: p for p in sent(service, "prompt") if p.frame_index == index}


async def test_somebody_follows_two_objects_through_a_clip(
    view: VideoPage, services: Services
) -> None:
    page = view.page
    for service in services.values():
        service.answer_video_with(follow_two)
    await page.add_init_script(NOTE_SHIFTS)
    await view.sample()
    await page.evaluate("window.moved = []")
    # She points at both on the first frame, and every frame is asked about.
    await view.click("first", *SQUARE)
    await page.keyboard.press("n")
    await view.click("first", *OTHER)
    for model in services:
        await expect(view.panel(model).locator(".state")).to_have_text("Following 2 objects")
    await expect(page.locator("#video-track")).to_have_text("Track from frame 1")
    await view.track()
    await view.until_answered("second", 20)
    await view.pause()
    held = await view.figure("first", "frame")
    assert held < LAST
    # She looks back: what was answered is there, and no model is asked again.
    asked = await settled(services)
    await view.seek(5)
    for model, service in services.items():
        await expect(view.panel(model).locator(".followed li")).to_have_count(2)
        assert (await view.square(model)).covered > 0.8
        assert len(service.video_requests) == asked[model]
    # The second object is wrong from here on: she corrects it, and what follows is stale.
    await page.get_by_role("radio", name="Object 2").check()
    await view.click("first", 0.5, 0.5)
    await expect(page.locator("#video-track")).to_have_text("Track again from frame 6")
    await expect(page.locator("#video-note")).to_contain_text("before your last change")
    for service in services.values():
        async with asyncio.timeout(20):
            while len(told := on_frame(service, 5)) < 2:
                await asyncio.sleep(0.02)
        assert len(told[2].prompt.points) == 1
    await view.seek(8)
    await expect(view.panel("first").locator(".stale")).to_be_visible()
    # She tracks again from there, to the end.
    await view.track()
    for model in services:
        await expect(view.panel(model)).to_have_attribute("data-answered", "48", timeout=30_000)
        await expect(view.panel(model)).to_have_attribute("data-dropped", "0")
    await expect(page.locator("#video-at")).to_have_text("Frame 47 / 47")
    await expect(page.locator("#video-note")).to_have_text("Every frame is answered.")
    for service in services.values():
        # A session that was begun anew knows the other object by its mask on that frame.
        again = [p for p in sent(service, "prompt") if p.frame_index == 5]
        assert [p.object_id for p in again if p.prompt.HasField("mask")] == [1]
        newest = indexes(service)
        assert newest[-42:] == list(range(6, LAST + 1))
    # She takes the second one away, everywhere.
    await page.get_by_role("button", name="Remove object 2").click()
    await view.seek(20)
    for model in services:
        await expect(view.panel(model).locator(".followed li")).to_have_count(1)
    # And looks at it all, without asking anybody.
    asked = {model: len(service.video_requests) for model, service in services.items()}
    await view.seek(0)
    await page.get_by_role("button", name="Play", exact=True).click()
    await expect(page.locator("#video-at")).to_have_text("Frame 47 / 47", timeout=20_000)
    await expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    assert {m: len(service.video_requests) for m, service in services.items()} == asked
    assert (await view.square("second")).covered > 0.8
    # Nothing has moved under her pointer.
    assert await page.evaluate("window.moved") == []


async def test_a_slow_model_is_sent_every_frame_of_the_sample(
    view: VideoPage, services: Services
) -> None:
    await view.sample()
    await view.click("first", *SQUARE)
    await view.track()
    for model, service in services.items():
        await expect(view.panel(model)).to_have_attribute("data-answered", "48", timeout=30_000)
        figures = view.panel(model).locator(".figures")
        await expect(figures).to_contain_text("48 of 48 frames answered, 0 dropped")
        assert indexes(service) == list(range(48))
    square = await view.square("second")
    assert square.covered > 0.8
    assert math.dist(square.middle, SQUARE) > 0.1  # each frame is another one
    # The sessions may end: what was answered stays.
    for service in services.values():
        service.stop()
    await view.seek(0)
    assert (await view.square("second")).middle == pytest.approx(SQUARE, abs=0.03)


async def test_both_ways_from_the_frame_that_somebody_points_at(
    view: VideoPage, services: Services
) -> None:
    await view.sample()
    await view.seek(20)
    canvas = view.panel("first").locator("canvas")
    await expect(canvas).to_be_visible()
    await view.click("first", 0.5, 0.5)
    await view.page.locator("#video-both").check()
    await view.track()
    for model, service in services.items():
        await expect(view.panel(model)).to_have_attribute("data-answered", "48", timeout=30_000)
        # A session of its own goes back, by numbers that grow.
        assert indexes(service) == [*range(20, 48), *range(21)]
        back = sent(service, "prompt")[1]
        assert back.frame_index == 0
    first = view.panel("first")
    await view.seek(3)
    await expect(first.locator(".followed li")).to_have_text("Object 1, square: 0.90")
    assert (await view.square("first")).covered > 0.8


async def test_prompts_are_undone_with_what_was_answered(
    view: VideoPage, services: Services
) -> None:
    page = view.page
    await view.sample()
    await view.click("first", *SQUARE)
    await expect(view.panel("second").locator(".state")).to_have_text("Following 1 object")
    await page.keyboard.press("n")
    await view.click("first", *OTHER)
    await expect(view.panel("second").locator(".followed li")).to_have_count(2)
    mark = page.get_by_role("button", name="Object 2 is pointed at on frame 0")
    await expect(mark).to_be_visible()
    await view.seek(4)
    await page.keyboard.press("Control+z")
    await expect(page.locator("#video-at")).to_have_text("Frame 0 / 47")
    await expect(view.panel("second").locator(".followed li")).to_have_count(1)
    await expect(mark).to_have_count(0)
    await page.keyboard.press("Control+Shift+z")
    await expect(view.panel("second").locator(".followed li")).to_have_count(2)
    await view.seek(4)
    await mark.click()
    await expect(page.locator("#video-at")).to_have_text("Frame 0 / 47")


async def test_the_time_line_by_keys_and_for_screen_readers(view: VideoPage) -> None:
    page = view.page
    await view.sample()
    slider = page.get_by_role("slider", name="Frame")
    await slider.focus()
    for key, index in (("End", 47), ("ArrowLeft", 46), (",", 45), ("Home", 0), (".", 1)):
        await page.keyboard.press(key)
        await expect(view.panel("second")).to_have_attribute("data-frame", str(index))
    await expect(slider).to_have_attribute("aria-valuetext", "Frame 1 of 0 to 47, 0.08 seconds")
    await page.get_by_role("button", name="Last frame").click()
    await expect(page.locator("#video-at")).to_have_text("Frame 47 / 47")
    await page.get_by_role("button", name="One frame back").click()
    await expect(page.locator("#video-at")).to_have_text("Frame 46 / 47")


async def test_a_record_keeps_within_its_bytes(view: VideoPage) -> None:
    await view.opened.go("?view=video")
    said = await view.page.evaluate(
        """async () => {
          const { Record } = await import("./js/video/track/video-record.js");
          const { Told } = await import("./js/video/told.js");
          const record = new Record(new Told(), 1000);
          const document = { objects: [] };
          for (let index = 0; index < 8; index += 1) record.put(index, 1, document, 100);
          record.mark(1);
          for (let index = 0; index < 8; index += 1) record.put(index, 1, document, 100);
          const whole = record.count;
          record.back(1);
          const undone = record.count;
          for (let index = 0; index < 30; index += 1) record.put(index, 1, document, 100);
          const { count, lost, frames } = record;
          return { whole, undone, count, lost, newest: frames.at(-1) };
        }"""
    )
    # Earlier steps go first, then the oldest answers.
    assert (said["whole"], said["undone"]) == (8, 0)
    assert (said["count"], said["lost"], said["newest"]) == (10, 20, 29)

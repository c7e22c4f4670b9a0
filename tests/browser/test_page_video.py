"""The video view: masks that follow, dropped frames, corrections, every end of a session."""

from __future__ import annotations

import asyncio
import math

import pytest
from browser_page import Opened
from playwright.async_api import expect
from video_page import VideoPage, follow_violet, sent, settled

from diptych.testing import FakeSegmentService

Services = dict[str, FakeSegmentService]
SQUARE = (0.78, 0.69)
"""Where the violet square of the sample is on its first frame, as shares."""


@pytest.fixture
def view(opened: Opened, services: Services) -> VideoPage:
    """The page before models that see the square of the sample."""
    for service in services.values():
        service.answer_video_with(follow_violet)
    return VideoPage(opened)


async def test_nothing_is_asked_before_somebody_points(view: VideoPage, services: Services) -> None:
    await view.sample()
    for model, service in services.items():
        await expect(view.panel(model).locator(".state")).to_have_text("Click on an object.")
        assert service.video_requests == ()
    assert "view=video" in view.page.url


async def test_a_point_is_answered_by_both_models_on_that_frame(
    view: VideoPage, services: Services
) -> None:
    await view.sample()
    await view.click("first", *SQUARE)
    for model, service in services.items():
        await expect(view.panel(model).locator(".state")).to_have_text("Following 1 object")
        await expect(view.panel(model).locator(".followed li")).to_have_text(
            "Object 1, square: 0.90"
        )
        (prompt,) = sent(service, "prompt")
        (point,) = prompt.prompt.points
        assert (prompt.object_id, prompt.frame_index) == (1, 0)
        assert (point.x_px, point.y_px) == pytest.approx((256 * SQUARE[0], 256 * SQUARE[1]), abs=1)
        square = await view.square(model)
        assert square.covered > 0.8
        assert square.middle == pytest.approx(SQUARE, abs=0.03)


async def test_masks_follow_and_belong_to_the_frame_that_is_shown(
    view: VideoPage, services: Services
) -> None:
    await view.sample()
    await view.click("second", *SQUARE)
    await view.live()
    for model in services:
        await view.until_answered(model, 10)
    await view.pause()
    await settled(services)
    shown = {await view.figure(model, "frame") for model in services}
    assert len(shown) == 1  # both stand on the same frame
    for model, service in services.items():
        await expect(view.panel(model).locator(".followed li")).to_have_count(1)
        frames = sent(service, "frame")
        assert [frame.frame_index for frame in frames] == sorted({f.frame_index for f in frames})
        assert frames[-1].frame_index == shown.copy().pop()
        square = await view.square(model)
        assert square.covered > 0.8
        assert math.dist(square.middle, SQUARE) > 0.1  # it has moved


async def test_frames_are_dropped_and_not_queued_when_a_model_is_slow(
    view: VideoPage, services: Services
) -> None:
    services["second"].delay_s = 0.4
    await view.sample()
    await view.click("first", *SQUARE)
    await view.live()
    await view.until_answered("second", 4)
    await view.pause()
    held = await view.figure("first", "frame")
    await expect(view.panel("second")).to_have_attribute("data-frame", str(held))
    await expect(view.panel("second").locator(".followed li")).to_have_count(1)
    answered, dropped = [await view.figure("second", name) for name in ("answered", "dropped")]
    indexes = [frame.frame_index for frame in sent(services["second"], "frame")]
    assert dropped > 0
    # Every frame up to the one that is held was either answered or dropped; no other was sent.
    assert answered + dropped == held + 1
    assert len(indexes) == answered
    assert await view.figure("first", "dropped") < dropped
    figures = view.panel("second").locator(".figures")
    await expect(figures).to_contain_text(f"{answered} of 48 frames answered, {dropped} dropped")


async def test_pause_correct_and_go_on(view: VideoPage, services: Services) -> None:
    await view.sample()
    await view.click("first", *SQUARE)
    await view.live()
    await view.until_answered("first", 4)
    await view.pause()
    held = await view.figure("first", "frame")
    await view.click("first", 0.5, 0.5)
    await view.click("second", 0.1, 0.1, modifiers=["Alt"])
    await view.page.locator("#video-new").click()
    canvas = view.panel("first").locator("canvas")
    box = await canvas.bounding_box()
    assert box is not None
    await view.page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.2 * box["height"])
    await view.page.mouse.down()
    await view.page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.5 * box["height"])
    await view.page.mouse.up()
    for model, service in services.items():
        await expect(view.panel(model).locator(".state")).to_have_text("Following 2 objects")
        one, both, boxed = sent(service, "prompt")[1:]
        assert [prompt.frame_index for prompt in (one, both, boxed)] == [held] * 3
        # What is said of an object on a frame replaces what was said before.
        assert [point.label for point in one.prompt.points] == [1]
        assert [point.label for point in both.prompt.points] == [1, 2]
        assert boxed.object_id == 2
        edges = (boxed.prompt.box.x_min_px, boxed.prompt.box.y_max_px)
        assert edges == pytest.approx((0.2 * 256, 0.5 * 256), abs=1)
    before = await view.figure("first", "answered")
    await view.live()
    await view.until_answered("first", before + 4)
    await view.pause()
    await view.page.get_by_role("button", name="Remove object 2").click()
    for model, service in services.items():
        await expect(view.panel(model).locator(".followed li")).to_have_count(1)
        assert [removal.object_id for removal in sent(service, "removal")] == [2]
    assert [service.video_session_count for service in services.values()] == [1, 1]


async def test_a_click_beside_an_object_alone_corrects_it(
    view: VideoPage, services: Services
) -> None:
    await view.sample()
    await view.click("first", 0.1, 0.1, modifiers=["Alt"])
    assert sent(services["first"], "prompt") == []  # nothing is followed yet
    await view.page.locator("#video-restart").click()
    await view.click("first", *SQUARE)
    await view.live()
    await view.until_answered("first", 4)
    await view.pause()
    held = await view.figure("first", "frame")
    await view.click("first", 0.1, 0.1, modifiers=["Alt"])
    for model, service in services.items():
        await expect(view.panel(model).locator(".state")).to_have_text("Following 1 object")
        first, correction = sent(service, "prompt")
        assert (first.object_id, first.frame_index) == (1, 0)
        assert (correction.object_id, correction.frame_index) == (1, held)
        assert [point.label for point in correction.prompt.points] == [2]
        assert service.video_session_count == 1


async def test_starting_over_ends_the_sessions_and_begins_at_the_first_frame(
    view: VideoPage, services: Services
) -> None:
    await view.sample()
    await view.click("first", *SQUARE)
    await view.live()
    await view.until_answered("first", 6)
    await view.page.locator("#video-restart").click()
    await expect(view.panel("first").locator(".state")).to_have_text("Click on an object.")
    assert await view.figure("first", "answered") == 0
    await view.click("first", *SQUARE)
    await expect(view.panel("first").locator(".state")).to_have_text("Following 1 object")
    assert (await view.square("first")).middle == pytest.approx(SQUARE, abs=0.03)
    await view.page.locator("#video-stop").click()
    await expect(view.page.locator("#video-tools")).to_be_hidden()
    for service in services.values():
        await ended(service)


async def ended(service: FakeSegmentService) -> None:
    """Wait until no session is open."""
    async with asyncio.timeout(20):
        while service.video_session_count:
            await asyncio.sleep(0.02)


async def test_a_clip_that_ends_stands_still_on_its_last_frame(view: VideoPage) -> None:
    await view.sample()
    await view.click("first", *SQUARE)
    await view.live()
    await expect(view.page.locator("#video-new")).to_be_enabled(timeout=20_000)
    await expect(view.page.locator("#video-at")).to_have_text("Frame 47 / 47")
    await expect(view.panel("first").locator(".followed li")).to_have_count(1)


async def test_a_clip_that_cannot_be_played_is_a_sentence(view: VideoPage) -> None:
    await view.opened.go("?view=video")
    broken = {"name": "my <b>clip</b>.mp4", "mimeType": "video/mp4", "buffer": b"no clip at all"}
    await view.page.locator("#video-file").set_input_files([broken])  # type: ignore[list-item]
    await expect(view.page.locator("#video-problem")).to_have_text(
        "“my <b>clip</b>.mp4” is not a video that a browser knows. "
        "It plays MP4 and WebM with H.264, VP8, VP9 or AV1."
    )
    await view.sample()
    await view.click("first", *SQUARE)
    await expect(view.panel("first").locator(".state")).to_have_text("Following 1 object")
    await expect(view.page.locator("#video-problem")).to_be_empty()


async def test_a_lost_session_is_a_sentence_in_its_panel_and_can_be_started_again(
    view: VideoPage, services: Services
) -> None:
    await view.sample()
    await view.click("first", *SQUARE)
    await expect(view.panel("second").locator(".state")).to_have_text("Following 1 object")
    services["second"].fail("SESSION_EXPIRED", "the session was closed after 60 s")
    await view.live()
    await expect(view.panel("second")).to_have_attribute("data-state", "error")
    await expect(view.panel("second").locator(".state")).to_contain_text("has given up this video")
    await view.until_answered("first", 5)
    assert await view.panel("first").get_attribute("data-state") == "open"
    services["second"].recover()
    count = len(sent(services["second"], "frame"))
    await view.panel("second").get_by_role("button", name="Start again").click()
    await expect(view.panel("second").locator(".state")).to_have_text("Following 1 object")
    await expect(view.panel("second").locator(".followed li")).to_have_count(1)
    assert len(sent(services["second"], "frame")) > count
    assert sent(services["second"], "prompt")[-1].object_id == 1


async def test_a_model_that_is_down_leaves_the_other_alone(
    view: VideoPage, services: Services
) -> None:
    await view.sample()
    services["second"].stop()
    await view.click("first", *SQUARE)
    await expect(view.panel("first").locator(".state")).to_have_text("Following 1 object")
    await expect(view.panel("second")).to_have_attribute("data-state", "error")
    await expect(view.panel("second").locator(".state")).to_contain_text("cannot be reached")


async def test_a_camera_that_a_page_may_not_have_is_a_sentence(view: VideoPage) -> None:
    await view.page.add_init_script(
        "Object.defineProperty(navigator, 'mediaDevices', {value: undefined})"
    )
    await view.opened.go("?view=video")
    await view.page.locator("#video-camera").click()
    await expect(view.page.locator("#video-problem")).to_have_text(
        "A browser gives the camera to localhost and https pages only."
    )


async def test_the_keyboard_points_plays_and_pauses(view: VideoPage, services: Services) -> None:
    await view.opened.go("?view=video")
    await expect(view.page.locator("#video-sample")).to_be_visible()
    await view.page.locator("#video-sample").focus()
    await view.page.keyboard.press("Enter")
    await expect(view.page.locator("#video-new")).to_be_enabled()
    await view.panel("first").locator("canvas").focus()
    await view.page.keyboard.press("ArrowRight")
    await view.page.keyboard.press("Enter")
    await expect(view.panel("first").locator(".state")).to_have_text("Following 1 object")
    (prompt,) = sent(services["first"], "prompt")
    assert prompt.prompt.points[0].x_px == pytest.approx(128, abs=4)
    await view.page.locator("#video-track").focus()
    await view.page.keyboard.press("Space")
    await view.until_answered("first", 3)
    await view.page.keyboard.press("Space")
    await expect(view.page.locator("#video-track")).to_contain_text("Track from frame")

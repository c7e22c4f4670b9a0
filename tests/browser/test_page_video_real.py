"""The video view on the running product, with a camera that shows a drawn clip."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from pathlib import Path

import av
import pytest
from browser_page import opened_page
from playwright.async_api import Browser, expect
from stack import MODELS, Stack
from video_page import VideoPage

import diptych_gateway

SAMPLE = Path(diptych_gateway.__file__).parent / "page" / "samples" / "clip.webm"
FPS = 3
"""A camera goes on while the page stands still: what moves fast is elsewhere then, and Mask R-CNN,
which follows by overlap, has lost it."""
FRAMES = 24
"""Later the square leaves the picture in part, and Mask R-CNN's demo weights miss it."""
ROUNDS = 4
MIN_COVERED = 0.7
SQUARE, STAR = (0.78, 0.69), (0.72, 0.236)
"""Where two objects of the sample are on its first frame, as shares of its width and height."""
AGAIN = 20
"""The frame on which one of them is corrected."""
MIN_MOVED = 0.05
"""As a share of the picture's side."""
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def browser_arguments(tmp_path: Path) -> list[str]:
    """A camera that shows the beginning of the sample to and fro, so that nothing ever jumps."""
    film = tmp_path / "camera.y4m"
    with av.open(str(SAMPLE)) as clip:
        frames = [frame.to_ndarray(format="yuv420p").tobytes() for frame in clip.decode(video=0)]
        stream = clip.streams.video[0]
        size = stream.width, stream.height
    with film.open("wb") as file:
        file.write(f"YUV4MPEG2 W{size[0]} H{size[1]} F{FPS}:1 Ip A1:1 C420\n".encode())
        for frame in [*frames[:FRAMES], *frames[FRAMES - 2 : 0 : -1]]:
            file.write(b"FRAME\n" + frame)
    return [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    ]


@pytest.fixture
async def real(browser: Browser, stack: Stack) -> AsyncIterator[VideoPage]:
    """The video view of the running product."""
    async with opened_page(browser, f"http://{stack.address('http')}") as opened:
        await opened.go("?view=video")
        yield VideoPage(opened)


async def test_masks_follow_what_a_camera_sees(real: VideoPage) -> None:
    await real.page.locator("#video-camera").click()
    await expect(real.page.locator("#video-new")).to_be_enabled()
    start = await real.square("sam-2")
    assert start.covered < 0.2
    for model in MODELS:  # what a camera sees is not what demo weights were trained on
        await expect(real.panel(model).locator(".caution")).to_contain_text("Demo weights")
    await real.click("sam-2", *start.middle)
    places = [start.middle]
    for _ in range(ROUNDS):
        for model in MODELS:
            await expect(real.panel(model).locator(".followed li")).to_have_count(1, timeout=60_000)
            square = await real.square(model)
            assert square.covered >= MIN_COVERED, model
            places.append(square.middle)
        seen = {model: await real.figure(model, "answered") for model in MODELS}
        await real.live()
        for model in MODELS:
            await real.until_answered(model, seen[model] + 4)
        await real.pause()
    assert max(math.dist(place, start.middle) for place in places) > MIN_MOVED
    await real.page.locator("#video-stop").click()
    await expect(real.page.locator("#video-live video")).to_have_count(0)


async def test_two_objects_are_followed_through_the_sample_and_one_is_corrected(
    real: VideoPage,
) -> None:
    page = real.page
    await real.sample()
    await expect(page.locator(".caution:not(:empty)")).to_have_count(0)
    await expect(page.locator("#demo")).to_be_hidden()  # it would cover the dock's last row
    await real.click("sam-2", *SQUARE)
    await page.keyboard.press("n")
    await real.click("sam-2", *STAR)
    for model in MODELS:
        await expect(real.panel(model).locator(".state")).to_have_text("Following 2 objects")
    await real.track()
    for model in MODELS:
        await expect(real.panel(model)).to_have_attribute("data-answered", "48", timeout=120_000)
        await expect(real.panel(model)).to_have_attribute("data-dropped", "0")
    await real.seek(AGAIN)
    square = await real.square("sam-2")
    assert square.covered >= MIN_COVERED
    assert math.dist(square.middle, SQUARE) > MIN_MOVED
    # No session holds that frame any more: new ones are told of the star as it was answered.
    await page.get_by_role("radio", name="Object 1").check()
    await real.click("sam-2", *square.middle)
    await expect(page.locator("#video-track")).to_have_text(f"Track again from frame {AGAIN + 1}")
    await real.track()
    await expect(page.locator("#video-note")).to_have_text(
        "Every frame is answered.", timeout=120_000
    )
    await real.seek(AGAIN + 4)
    assert (await real.square("sam-2")).covered >= MIN_COVERED
    for model in MODELS:
        await expect(real.panel(model).locator(".state")).to_have_text("Following 2 objects")
        await expect(real.panel(model).locator(".followed li")).to_have_count(2)
        await expect(real.panel(model).locator(".stale")).to_be_hidden()


async def test_a_dead_service_is_an_error_in_its_panel_and_the_other_follows_on(
    real: VideoPage, stack: Stack
) -> None:
    await real.page.locator("#video-camera").click()
    await expect(real.page.locator("#video-new")).to_be_enabled()
    await real.click("sam-2", *(await real.square("sam-2")).middle)
    for model in MODELS:
        await expect(real.panel(model).locator(".followed li")).to_have_count(1, timeout=60_000)
    await real.live()
    await real.until_answered("sam-2", 3)
    stack.kill("sam-2")
    await expect(real.panel("sam-2")).to_have_attribute("data-state", "error", timeout=60_000)
    await expect(real.panel("sam-2").locator(".state")).to_contain_text("has lost this video")
    count = await real.figure("mask-rcnn", "answered")
    await real.until_answered("mask-rcnn", count + 3)

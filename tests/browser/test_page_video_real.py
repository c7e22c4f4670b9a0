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
    await real.click("sam-2", *start.middle)
    places = [start.middle]
    for _ in range(ROUNDS):
        for model in MODELS:
            await expect(real.panel(model).locator(".followed li")).to_have_count(1, timeout=60_000)
            square = await real.square(model)
            assert square.covered >= MIN_COVERED, model
            places.append(square.middle)
        seen = {model: await real.figure(model, "answered") for model in MODELS}
        await real.play()
        for model in MODELS:
            await real.until_answered(model, seen[model] + 4)
        await real.pause()
    assert max(math.dist(place, start.middle) for place in places) > MIN_MOVED
    await real.page.locator("#video-stop").click()
    live = await real.page.locator("#video-live").evaluate("(video) => video.srcObject === null")
    assert live


async def test_a_dead_service_is_an_error_in_its_panel_and_the_other_follows_on(
    real: VideoPage, stack: Stack
) -> None:
    await real.page.locator("#video-camera").click()
    await expect(real.page.locator("#video-new")).to_be_enabled()
    await real.click("sam-2", *(await real.square("sam-2")).middle)
    for model in MODELS:
        await expect(real.panel(model).locator(".followed li")).to_have_count(1, timeout=60_000)
    await real.play()
    await real.until_answered("sam-2", 3)
    stack.kill("sam-2")
    await expect(real.panel("sam-2")).to_have_attribute("data-state", "error", timeout=60_000)
    await expect(real.panel("sam-2").locator(".state")).to_contain_text("has lost this video")
    count = await real.figure("mask-rcnn", "answered")
    await real.until_answered("mask-rcnn", count + 3)

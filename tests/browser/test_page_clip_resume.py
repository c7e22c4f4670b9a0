"""A model, its gateway or the machine between is lost in a video: the page goes on where it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser_page import Opened
from clip_page import COUNT, colored, make_run, open_folder
from playwright.async_api import expect
from video_page import VideoPage, sent

from diptych.testing import FakeSegmentService
from diptych_gateway.server import Gateway
from diptych_gateway.settings import Endpoint, Settings

Services = dict[str, FakeSegmentService]


@pytest.fixture
async def view(opened: Opened, services: Services, tmp_path: Path) -> VideoPage:
    """A folder of frames of which one object is pointed at, before models that take their time."""
    for service in services.values():
        service.answer_video_with(colored)
    view = VideoPage(opened)
    await opened.go("?view=video")
    await open_folder(view, make_run(tmp_path / "run"))
    await view.click("first", 14 / 96, 18 / 64)
    for model, service in services.items():
        await expect(view.panel(model).locator(".followed li")).to_have_count(1)
        service.delay_s = 0.2
    return view


async def test_a_service_that_dies_is_waited_for(view: VideoPage, services: Services) -> None:
    lost = services["second"]
    await view.page.locator("#video-track").click()
    await view.until_answered("second", 3)
    lost.stop()
    state = view.panel("second").locator(".state")
    await expect(state).to_contain_text("Trying again")
    before = len(lost.video_requests)
    known = await view.figure("second", "answered")
    assert known >= 3  # nothing that was answered is lost
    lost.start()
    await view.until_answered("second", COUNT)
    await view.until_answered("first", COUNT)
    await expect(state).to_have_text("Following 1 object")
    again = [
        message
        for message in lost.video_requests[before:]
        if message.WhichOneof("event") == "frame"
    ]
    # From the last answered frame on, with the object where it was seen there.
    assert [message.frame.frame_index for message in again] == list(range(known - 1, COUNT))
    told = sent(lost, "prompt")[-1]
    assert (told.object_id, told.frame_index) == (1, known - 1)
    assert told.prompt.HasField("mask")


async def test_a_gateway_that_starts_again_is_found_again(
    view: VideoPage, gateway: Gateway, services: Services
) -> None:
    await view.page.locator("#video-track").click()
    await view.until_answered("first", 3)
    port = gateway.http_port
    await gateway.stop()
    for model in services:
        await expect(view.panel(model).locator(".state")).to_contain_text("Trying again")
    endpoints = tuple(Endpoint(name, service.address) for name, service in services.items())
    another = Gateway(Settings(models=endpoints, port=0, http_port=port, drain_s=0.0))
    await another.start()
    try:
        for model in services:
            await view.until_answered(model, COUNT)
            await expect(view.panel(model).locator(".state")).to_have_text("Following 1 object")
    finally:
        view.opened.errors.clear()  # the browser's own notes
        await another.stop()


async def test_a_model_that_stays_away_is_asked_again_by_hand(
    view: VideoPage, services: Services
) -> None:
    services["second"].fail("MODEL_FAILED", "the model failed on a frame", times=1)
    await view.page.locator("#video-track").click()
    await view.until_answered("first", COUNT)
    panel = view.panel("second")
    await expect(panel).to_have_attribute("data-state", "error")
    services["second"].recover()
    await panel.get_by_role("button", name="Start again").click()
    await expect(panel.locator(".state")).to_have_text("Following 1 object")
    await view.page.locator("#video-track").click()
    await view.until_answered("second", COUNT)

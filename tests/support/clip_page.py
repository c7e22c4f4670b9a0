"""Folders of frames in the page's video view, fakes that see colours, and what is taken along."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.async_api import expect
from video_page import VideoPage, near

from diptych import Mask, Segment, VideoObject
from diptych.testing import FakeVideoFrame

RED, BLUE = (220, 40, 40), (40, 60, 220)
SIZE = (64, 96)
COUNT = 8
FPS = 5


def colored(frame: FakeVideoFrame) -> Sequence[VideoObject]:
    """Object 1 is what is red, object 2 what is blue."""
    pixels = np.asarray(Image.open(io.BytesIO(frame.image)).convert("RGB"))
    found = []
    for object_id in frame.prompts:
        mask = Mask.from_array(near(pixels, RED if object_id == 1 else BLUE))
        found.append(VideoObject(object_id, Segment(0.9, mask.box, mask, area=mask.area), 0.9))
    return found


def make_run(folder: Path) -> Path:
    """Fill a folder with frames: a red square goes to the right, a blue one down."""
    folder.mkdir()
    for index in range(COUNT):
        pixels = np.full((*SIZE, 3), 200, np.uint8)
        pixels[8:28, 4 + 6 * index : 24 + 6 * index] = RED
        pixels[30 + 2 * index : 46 + 2 * index, 70:90] = BLUE
        Image.fromarray(pixels).save(folder / f"frame{index + 5}.png")
    (folder / "calibration.txt").write_text("fx 525")
    return folder


async def open_folder(view: VideoPage, folder: Path) -> None:
    """Choose a folder of frames."""
    await expect(view.page.locator("#video-folder")).to_be_visible()
    await view.page.locator("#video-folder-file").set_input_files(folder)
    await expect(view.page.locator("#video-new")).to_be_enabled()


async def label_both(view: VideoPage, model: str, count: int = COUNT) -> None:
    """Point at both squares on the first frame and follow them to the end, over so many frames."""
    await view.click(model, 14 / 96, 18 / 64)
    await expect(view.panel(model).locator(".followed li")).to_have_count(1)
    await view.page.locator("#video-new").click()
    await view.click(model, 80 / 96, 38 / 64)
    await expect(view.panel(model).locator(".followed li")).to_have_count(2)
    await view.page.locator("#video-track").click()
    await view.until_answered(model, count)


async def saved(view: VideoPage, title: str, model: str = "") -> tuple[str, bytes]:
    """The one file that is saved in this format."""
    await view.page.locator("#clip-format").select_option(label=title)
    await view.page.locator("#clip-models").select_option(model)
    async with view.page.expect_download() as download:
        await view.page.locator("#clip-save").click()
    file = await download.value
    return file.suggested_filename, Path(await file.path()).read_bytes()


async def copied(view: VideoPage, language: str) -> str:
    """The code that the page offers."""
    await view.page.get_by_role("button", name=f"Copy as {language}", exact=True).click()
    box = view.page.locator("#clip-text")
    await expect(box).to_be_visible()
    return await box.input_value()


def lines_of(text: str) -> list[Any]:
    """Lines of JSON, without what is another number each time; keys in their order."""
    found = []
    for line in text.splitlines():
        document = json.loads(line)
        assert document.pop("timings")
        document.pop("revision")
        found.append(list(document.items()))
    return found

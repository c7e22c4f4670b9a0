"""Frames and a clip on the running product: code that is taken along gets the same masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import pytest
from browser_page import opened_page
from clip_page import copied, open_folder, saved
from copied_code import ran
from playwright.async_api import Browser, expect
from stack import MODELS, Stack
from video_page import VideoPage

import diptych_gateway
from diptych import Mask

SAMPLE = Path(diptych_gateway.__file__).parent / "page" / "samples" / "clip.webm"
COUNT = 6
SQUARE, STAR = (0.78, 0.69), (0.72, 0.236)
"""Where two objects are on the first frame, as shares of its width and height."""
BESIDE = (0.83, 0.64)
"""On the square too: a second click refines what the first one found."""
SIDE = 256
MIN_IOU = 0.9
"""Of a clip, whose frames the page decodes and encodes in its own way."""
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """The first frames of the sample, as files."""
    folder = tmp_path / "frames"
    folder.mkdir()
    with av.open(str(SAMPLE)) as clip:
        for index, frame in zip(range(COUNT), clip.decode(video=0), strict=False):
            frame.to_image().save(folder / f"{index}.png")
    return folder


def masks(text: str) -> dict[tuple[str, int, int], Mask]:
    """By model, frame and object."""
    found: dict[tuple[str, int, int], Mask] = {}
    for line in map(json.loads, text.splitlines()):
        for one in line["objects"]:
            key = (line["model_id"], line["frame_index"], one["object_id"])
            if one["segmentation"]:
                found[key] = Mask.from_coco(one["segmentation"]["counts"], (SIDE, SIDE))
    return found


async def label(view: VideoPage) -> None:
    """Two objects, one of them by two clicks, through every frame."""
    await view.click("sam-2", *SQUARE)
    await view.click("sam-2", *BESIDE)
    await view.page.locator("#video-new").click()
    await view.click("sam-2", *STAR)
    for model in MODELS:
        state = view.panel(model).locator(".state")
        await expect(state).to_have_text("Following 2 objects", timeout=60_000)
    await view.page.locator("#video-track").click()
    note = view.page.locator("#video-note")
    await expect(note).to_have_text("Every frame is answered.", timeout=120_000)


def ious(ours: dict[Any, Mask], theirs: dict[Any, Mask]) -> list[float]:
    """Of the same objects; both have the same."""
    assert ours.keys() == theirs.keys()
    return [mask.iou(theirs[key]) for key, mask in ours.items()]


async def test_the_code_of_a_folder_gets_the_masks_that_are_on_screen(
    browser: Browser, stack: Stack, frames: Path
) -> None:
    async with opened_page(browser, f"http://{stack.address('http')}") as opened:
        view = VideoPage(opened)
        await opened.go("?view=video")
        await open_folder(view, frames)
        await label(view)
        _, lines = await saved(view, "JSON lines")
        ours = masks(lines.decode())
        assert len(ours) == len(MODELS) * COUNT * 2
        code = await copied(view, "Python")
        # What it prints are areas; the masks themselves are printed here.
        code = code.replace(
            "found.segment.area)", "found.segment.mask and found.segment.mask.to_coco().decode())"
        )
        rows = [
            row.split(maxsplit=4)
            for row in (await ran(["python", "-c", code], frames.parent)).splitlines()
        ]
        theirs = {
            (model, int(frame), int(one)): Mask.from_coco(counts, (SIDE, SIDE))
            for model, frame, one, _, counts in rows
        }
        assert set(ious(ours, theirs)) == {1.0}


async def test_the_command_of_a_clip_gets_nearly_the_same_masks(
    browser: Browser, stack: Stack, tmp_path: Path
) -> None:
    clip = tmp_path / "clip.webm"
    clip.write_bytes(SAMPLE.read_bytes())
    async with opened_page(browser, f"http://{stack.address('http')}") as opened:
        view = VideoPage(opened)
        await opened.go("?view=video")
        await expect(view.page.locator("#video-folder")).to_be_visible()
        await view.page.locator("#video-file").set_input_files(clip)
        await expect(view.page.locator("#video-new")).to_be_enabled()
        await label(view)
        _, lines = await saved(view, "JSON lines", "sam-2")
        command = await copied(view, "command line")
        assert "edges may differ by a pixel" in command
        printed = await ran(["sh", "-c", command], tmp_path)
        ours, theirs = masks(lines.decode()), masks(printed)
        found = {key: mask.iou(theirs[key]) for key, mask in ours.items() if key in theirs}
        # The star is hidden for a while: whether it is found again hangs on a hair.
        square = [iou for (_, _, one), iou in found.items() if one == 1]
        assert len(square) == 48
        assert min(square) >= MIN_IOU

"""A folder of frames is labelled, and taken along: as lines, films, data sets and code."""

from __future__ import annotations

import sys
from pathlib import Path

import av
import numpy as np
import pytest
from browser_page import Opened
from clip_page import (
    COUNT,
    FPS,
    colored,
    copied,
    label_both,
    lines_of,
    make_run,
    open_folder,
    ran,
    saved,
)
from playwright.async_api import expect
from video_page import VideoPage

from diptych.testing import FakeSegmentService

Services = dict[str, FakeSegmentService]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder of frames."""
    return make_run(tmp_path / "run 1")


@pytest.fixture
def view(opened: Opened, services: Services) -> VideoPage:
    """The page before models that see colours."""
    for service in services.values():
        service.answer_video_with(colored)
    return VideoPage(opened)


async def test_a_robotics_engineer_labels_a_folder_of_frames(view: VideoPage, run: Path) -> None:
    await view.opened.go("?view=video")
    await open_folder(view, run)
    size = "96 \N{MULTIPLICATION SIGN} 64 px"
    await expect(view.page.locator("#video-about")).to_have_text(
        f"{COUNT} frames of {size}, sent as they are; 1 other file is left out."
    )
    await view.page.locator("#video-fps").fill(str(FPS))
    await label_both(view, "first")
    await view.until_answered("second", COUNT)
    name, lines = await saved(view, "JSON lines")
    assert name == "run 1.jsonl"

    # The command that is offered prints the same lines: masks, numbers, times, keys in their order.
    command = await copied(view, "command line")
    printed = lines_of(await ran(["sh", "-c", command], run.parent))
    assert len(printed) == 2 * COUNT
    assert lines_of(lines.decode()) == printed
    times = [dict(line)["time_s"] for line in printed[::2]]
    assert times == [round(index / FPS, 6) for index in range(COUNT)]

    # So does the code: the same frames, objects and areas.
    code = await copied(view, "Python")
    told = [
        line.split() for line in (await ran([sys.executable, "-c", code], run.parent)).splitlines()
    ]
    expected = [
        [line["model_id"], str(line["frame_index"]), str(one["object_id"]), str(one["area"])]
        for line in map(dict, sorted(printed, key=lambda line: dict(line)["model_id"]))
        for one in line["objects"]
    ]
    assert [[row[0], row[1], row[2], row[4]] for row in told] == expected


async def test_a_film_shows_every_answered_frame_as_long_as_in_the_clip(
    view: VideoPage, run: Path, tmp_path: Path
) -> None:
    await view.opened.go("?view=video")
    await open_folder(view, run)
    await view.page.locator("#video-fps").fill(str(FPS))
    await label_both(view, "first")
    await view.until_answered("second", COUNT)
    for model, width in (("", 2 * 96), ("first", 96)):
        name, data = await saved(view, "Film (MP4)", model)
        assert name == "run 1-followed.mp4"
        (tmp_path / name).write_bytes(data)
        with av.open(str(tmp_path / name)) as film:
            frames = list(film.decode(video=0))
        assert len(frames) == COUNT
        assert {frame.width for frame in frames} == {width}
        assert frames[-1].time == pytest.approx((COUNT - 1) / FPS, abs=0.25)
        # The red square has the first object's colour over it, further right on each frame.
        places = []
        for frame in frames:
            pixels = frame.to_ndarray(format="rgb24")[:, :96].astype(int)
            painted = (pixels[..., 0] > 150) & (pixels[..., 1] < 90) & (pixels[..., 2] < 120)
            places.append(np.nonzero(painted)[1].mean())
        assert all(np.diff(places) > 3)


async def test_a_film_can_be_given_up(view: VideoPage, run: Path) -> None:
    await view.opened.go("?view=video")
    await open_folder(view, run)
    await view.page.locator("#video-fps").fill("1")
    await label_both(view, "first")
    await view.page.locator("#clip-format").select_option(label="Film (MP4)")
    await view.page.locator("#clip-save").click()
    await view.page.locator("#clip-cancel").click()
    await expect(view.page.locator("#clip-state")).to_have_text("Given up: nothing was saved.")
    await expect(view.page.locator("#clip-save")).to_be_enabled()
    await expect(view.page.locator("#clip-progress")).to_be_hidden()

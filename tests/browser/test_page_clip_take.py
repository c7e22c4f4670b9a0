"""A folder of frames is labelled, and taken along: as lines, films, data sets and code."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import av
import numpy as np
import pytest
from browser_page import Opened
from clip_page import (
    COUNT,
    FPS,
    SIZE,
    colored,
    copied,
    label_both,
    lines_of,
    make_run,
    open_folder,
    saved,
)
from copied_code import ran
from playwright.async_api import expect
from pycocotools.coco import COCO
from video_page import VideoPage

from diptych import Mask
from diptych.segment import v1 as pb
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


async def test_every_frame_is_a_picture_of_one_data_set(
    view: VideoPage, run: Path, tmp_path: Path
) -> None:
    await view.opened.go("?view=video")
    await open_folder(view, run)
    await label_both(view, "first")
    await view.until_answered("second", COUNT)
    name, data = await saved(view, "COCO", "first")
    assert name == "run 1-first.coco.json"
    (tmp_path / name).write_bytes(data)
    coco = COCO(str(tmp_path / name))
    assert [one["file_name"] for one in coco.loadImgs(coco.getImgIds())] == [
        f"frame{index + 5}.png" for index in range(COUNT)
    ]
    # Objects that no class was given keep apart, from frame to frame.
    used = sorted({one["category_id"] for one in coco.loadAnns(coco.getAnnIds())})
    assert [one["name"] for one in coco.loadCats(used)] == ["object 1", "object 2"]
    _, lines = await saved(view, "JSON lines", "first")
    for image, line in zip(coco.getImgIds(), map(json.loads, lines.splitlines()), strict=True):
        found = coco.loadAnns(coco.getAnnIds(imgIds=[image]))
        for annotation, followed in zip(found, line["objects"], strict=True):
            mask = Mask.from_coco(followed["segmentation"]["counts"], SIZE)
            assert Mask.from_array(coco.annToMask(annotation).astype(bool)).iou(mask) == 1.0


async def test_everything_is_followed_by_models_that_find_things_by_themselves(
    opened: Opened, services: Services, see_cards: Callable[[], Awaitable[None]], run: Path
) -> None:
    told = services["second"].cards["second"]
    told.tasks[:] = [pb.Task.TASK_PROMPTED_SEGMENTATION, pb.Task.TASK_VIDEO_SEGMENTATION]
    await see_cards()
    view = VideoPage(opened)
    await opened.go("?view=video")
    await open_folder(view, run)
    await view.page.locator("#video-all").check()
    await expect(view.panel("second").locator(".state")).to_have_text(
        "It follows only what it is pointed at. Click on an object."
    )
    await view.page.locator("#video-track").click()
    await view.until_answered("first", COUNT)
    await expect(view.panel("first").locator(".state")).to_have_text(
        "Following everything: 1 object"
    )
    await expect(view.panel("first").locator(".followed li")).to_have_text(
        "Auto 0, rectangle: 0.90"
    )
    assert services["first"].video_requests[0].start.track_all
    assert services["second"].video_requests == ()
    _, lines = await saved(view, "JSON lines", "first")
    command = await copied(view, "command line")
    assert "--track-all" in command
    assert lines_of(await ran(["sh", "-c", command], run.parent)) == lines_of(lines.decode())
    code = await copied(view, "Python")
    out = await ran([sys.executable, "-c", code], run.parent)
    assert len(out.splitlines()) == COUNT


async def test_a_frame_that_cannot_be_read_is_left_out_and_the_rest_goes_on(
    view: VideoPage, run: Path
) -> None:
    (run / "frame8.png").write_bytes(b"no picture")
    await view.opened.go("?view=video")
    await open_folder(view, run)
    await label_both(view, "first", COUNT - 1)
    await expect(view.page.locator("#video-problem")).to_have_text(
        "“frame8.png” is not a picture that can be read. Take a JPEG, PNG or WebP file. "
        "That frame was left out."
    )
    await view.until_answered("second", COUNT - 1)
    _, lines = await saved(view, "JSON lines", "first")
    indexes = [json.loads(line)["frame_index"] for line in lines.splitlines()]
    assert indexes == [0, 1, 2, 4, 5, 6, 7]


async def test_code_about_the_sample_runs_beside_the_file_that_is_offered(
    opened: Opened, tmp_path: Path
) -> None:
    view = VideoPage(opened)
    await view.sample()
    await view.click("first", 0.5, 0.5)
    await expect(view.panel("first").locator(".followed li")).to_have_count(1)
    async with view.page.expect_download() as download:
        await view.page.locator("#clip-sample").click()
    file = await download.value
    await file.save_as(tmp_path / file.suggested_filename)
    printed = await ran(["sh", "-c", await copied(view, "command line")], tmp_path)
    assert json.loads(printed.splitlines()[0])["source"] == "clip.webm"


async def test_a_folder_can_be_dropped(view: VideoPage, run: Path) -> None:
    await view.opened.go("?view=video")
    await expect(view.page.locator("#video-folder")).to_be_visible()
    session = await view.page.context.new_cdp_session(view.page)
    data = {"items": [], "files": [str(run)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        place = {"type": kind, "x": 400, "y": 300, "data": data}
        await session.send("Input.dispatchDragEvent", place)
    await expect(view.page.locator("#video-about")).to_contain_text(f"{COUNT} frames")

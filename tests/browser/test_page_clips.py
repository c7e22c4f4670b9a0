"""What a clip can be made of: folders of frames, and files that a browser does not play."""

from __future__ import annotations

import base64
import io
import random
from pathlib import Path
from typing import Any

from bad_clips import make_encoded, make_sound_only
from browser_page import Opened
from clips import damage, rotate
from PIL import Image
from playwright.async_api import expect
from video_page import VideoPage, sent

from diptych._pictures.images import list_images
from diptych.testing import FakeSegmentService

TIMES = "\N{MULTIPLICATION SIGN}"
NAMES = [
    "frame10.png",
    "frame2.png",
    "frame02.png",
    "frame002.png",
    "1.jpg",
    "01.jpg",
    "10.jpg",
    "a.PNG",
    "b1c3.webp",
    "b1c20.webp",
    "b01c3.webp",
    "Z.bmp",
    "left_000009.png",
    "left_000010.png",
    "x99999999999999999999.png",
    "x100000000000000000000.png",
    "é1.png",
    "frame.png",
    "frame-3.tiff",
    "20240101T235959.5.jpeg",
]


async def test_frames_of_a_folder_have_the_numbers_that_the_command_line_gives_them(
    opened: Opened, tmp_path: Path
) -> None:
    others = ["notes.txt", "frame.json", "frame3"]
    for name in [*NAMES, *others]:
        (tmp_path / name).touch()
    await opened.go("?view=video")
    shuffled = random.Random(1).sample([*NAMES, *others], len(NAMES) + len(others))
    found = await opened.page.evaluate(
        """async (names) => {
          const { framesOfFiles } = await import("./js/clips/frame-files.js");
          const { frames, skipped } = framesOfFiles(names.map((name) => new File([], name)));
          return [frames.map(({ name }) => name), skipped];
        }""",
        shuffled,
    )
    assert found == [[path.name for path in list_images(tmp_path)], len(others)]


def _cut(path: Path, share: float) -> Path:
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    return path


def bad_clips(folder: Path) -> dict[str, str]:
    """Files in this folder that are not played, and what is to be said of each."""
    make_sound_only(folder / "sound.mp4")
    make_sound_only(folder / "sound.webm", "libopus")
    make_encoded(folder / "phone.mp4", "libx265")
    make_encoded(folder / "camcorder.mpg", "mpeg2video")
    make_encoded(folder / "studio.mov", "prores_ks", pix_fmt="yuv422p10le")
    make_encoded(folder / "old.avi", "mpeg4")
    _cut(make_encoded(folder / "cut.mp4", "libx264"), 0.4)
    damage(make_encoded(folder / "scratched.mp4", "libx264", 30), 15)
    (folder / "empty.mp4").touch()
    (folder / "notes.mp4").write_text("no clip at all")
    takes = "It plays MP4 and WebM with H.264, VP8, VP9 or AV1."
    reads = (
        f"which this browser does not play. {takes} “diptych video” on the command line reads it."
    )
    nothing = "has no video in it, only sound or nothing at all."
    return {
        "sound.mp4": f"“sound.mp4” {nothing}",
        "sound.webm": f"“sound.webm” {nothing}",
        "phone.mp4": f"“phone.mp4” is HEVC (H.265) video, {reads}",
        "camcorder.mpg": f"“camcorder.mpg” is not a video that a browser knows. {takes}",
        "studio.mov": f"“studio.mov” is ProRes video, {reads}",
        "old.avi": f"“old.avi” is an AVI file with MPEG-4 part 2 video, {reads}",
        "cut.mp4": "“cut.mp4” is cut off or damaged: what says where its frames are is missing.",
        "scratched.mp4": "“scratched.mp4” is damaged: this browser cannot read all of it. "
        "“diptych video” reads what is whole.",
        "empty.mp4": "“empty.mp4” is empty: it has 0 bytes.",
        "notes.mp4": f"“notes.mp4” is not a video that a browser knows. {takes}",
    }


async def test_a_file_that_is_not_played_is_a_sentence_that_says_why(
    opened: Opened, tmp_path: Path
) -> None:
    view = VideoPage(opened)
    await opened.go("?view=video")
    await expect(view.page.locator("#video-sample")).to_be_visible()
    said = {}
    for name in (wanted := bad_clips(tmp_path)):
        await view.page.locator("#video-file").set_input_files(tmp_path / name)
        await view.page.wait_for_function(
            "(name) => document.querySelector('#video-problem').textContent.includes(name)",
            arg=name,
        )
        said[name] = await view.page.locator("#video-problem").text_content()
    assert said == wanted
    await view.sample()  # and the page goes on


READ = """async (files) => {
  const { framesOfFiles } = await import("./js/clips/frame-files.js");
  const { FrameFolder } = await import("./js/clips/frame-folder.js");
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const made = files.map(([path, text]) => {
    const file = new File([bytes(text)], path.split("/").at(-1));
    Object.defineProperty(file, "webkitRelativePath", { value: path });
    return file;
  });
  try {
    const folder = await FrameFolder.open(framesOfFiles(made));
    const sent = [];
    for (let index = 0; index < folder.count; index += 1) {
      const frame = await folder.grab(index);
      sent.push(await frame.file.text());
      frame.letGo();
    }
    return [folder.name, folder.said, sent.length, new Set(sent).size];
  } catch (error) {
    return error.message;
  }
}"""


def _png(width: int, height: int, shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (shade, 0, 0)).save(file, "PNG")
    return file.getvalue()


async def test_a_folder_is_one_clip_of_one_size(opened: Opened) -> None:
    await opened.go("?view=video")

    async def opened_as(files: dict[str, bytes]) -> Any:
        encoded = [[path, base64.b64encode(data).decode()] for path, data in files.items()]
        return await opened.page.evaluate(READ, encoded)

    frames = {f"run/f{n}.png": _png(40, 30, n) for n in range(12)}
    besides = {
        "run/log.txt": b"x",
        "run/.DS_Store": b"x",
        "run/._f1.png": b"x",
        "run/old/f1.png": b"",
    }
    assert await opened_as(frames | besides) == [
        "run",
        f"12 frames of 40 {TIMES} 30 px, sent as they are; 3 other files are left out.",
        12,
        12,
    ]
    assert await opened_as({"run/f1.png": _png(8, 9, 1)}) == [
        "run",
        f"1 frame of 8 {TIMES} 9 px, sent as they are.",
        1,
        1,
    ]
    assert await opened_as(frames | {"run/f11.png": _png(30, 40, 1)}) == (
        f"“f11.png” is 30 {TIMES} 40 px, the first frame 40 {TIMES} 30 px: "
        "the frames of a clip have one size. Several pictures are for Compare."
    )
    # One in the middle is told when it is reached.
    assert f"“f5.png” is 30 {TIMES} 40 px" in await opened_as(
        frames | {"run/f5.png": _png(30, 40, 1)}
    )
    assert await opened_as(frames | {"run/f0.png": b"no picture"}) == (
        "“f0.png” is not a picture that can be read. Take a JPEG, PNG or WebP file."
    )
    nested = {"data/rgb/f1.png": b"", "data/depth/f1.png": b"", "data/readme.md": b""}
    assert await opened_as(nested) == (
        "“data” has no pictures to follow objects through. Choose a folder in it: “depth”, “rgb”."
    )


async def test_odd_clips_are_followed_frame_by_frame_all_the_same(
    opened: Opened, services: dict[str, FakeSegmentService], tmp_path: Path
) -> None:
    view = VideoPage(opened)
    await opened.go("?view=video")
    await expect(view.page.locator("#video-sample")).to_be_visible()

    async def followed(clip: Path) -> tuple[str, str, int]:
        """Size of the frames that are sent, what is said of the clip, how many are answered."""
        before = len(sent(services["first"], "frame"))
        await view.page.locator("#video-file").set_input_files(clip)
        await expect(view.panel("first")).to_have_attribute("data-frame", "0", timeout=20_000)
        await view.click("first", 0.5, 0.5)
        await expect(view.panel("first").locator(".followed li")).to_have_count(1)
        if await view.page.locator("#video-track").is_enabled():
            await view.page.locator("#video-track").click()
            await expect(view.page.locator("#video-note")).to_have_text("Every frame is answered.")
        frames = sent(services["first"], "frame")[before:]
        size = Image.open(io.BytesIO(frames[-1].encoded)).size
        about = await view.page.locator("#video-about").text_content()
        count = await view.figure("first", "answered")
        await view.page.locator("#video-stop").click()
        await expect(view.panel("first")).to_have_attribute("data-frame", "")
        return f"{size[0]}x{size[1]}", about or "", count

    one = make_encoded(tmp_path / "one.mp4", "libx264", 1)
    assert await followed(one) == ("128x96", "", 1)
    turned = make_encoded(tmp_path / "turned.mp4", "libx264", 5)
    rotate(turned, 90)
    assert await followed(turned) == ("96x128", "", 5)
    endless = make_encoded(tmp_path / "recorded.webm", "libvpx", 6, live=True)
    assert await followed(endless) == ("128x96", "", 6)
    large = make_encoded(tmp_path / "large.mp4", "libx264", 3, size=(1440, 2560))
    said = f"2560 {TIMES} 1440 px; models are sent 1280 {TIMES} 720 px, and masks have that size."
    assert await followed(large) == ("1280x720", said, 3)
    times = [0, 40, 80, 130, 190, 233]
    uneven = make_encoded(tmp_path / "uneven.mp4", "libx264", len(times), times_ms=times)
    size, said, count = await followed(uneven)
    assert (size, said.startswith("This clip's frames come at uneven times")) == ("128x96", True)
    assert count >= len(times)

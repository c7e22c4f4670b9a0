"""Clips read and written: real files, made by the tests and opened again by PyAV itself."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import socket
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from clips import (
    FPS,
    SIZE,
    damage,
    frame,
    make_b_frames,
    make_broadcast,
    make_clip,
    make_folder,
    make_matroska,
    make_sound,
    make_streams,
    read_back,
    rotate,
    shade,
    sound_of,
    times,
    transform,
)
from PIL import Image

from diptych import (
    AsyncClient,
    Client,
    MissingExtraError,
    VideoFileError,
    VideoFrame,
    VideoFrameResult,
    VideoWriter,
    read_video,
)
from diptych._video import read, streams
from diptych.testing import FakeSegmentService


def make(kind: str, path: Path, count: int) -> Path:
    return make_clip(path / "clip.mp4", count) if kind == "file" else make_folder(path / "f", count)


def grey(one: VideoFrame) -> int:
    """What tells frames apart: the middle of the lower right quarter."""
    height, width, _ = one.pixels.shape
    return int(one.pixels[height * 3 // 4, width * 3 // 4, 0])


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_files_and_folders_read_alike(tmp_path: Path, kind: str) -> None:
    clip = read_video(make(kind, tmp_path, 12))
    assert (clip.size, clip.fps, clip.frame_count, clip.indexes) == (SIZE, FPS, 12, range(12))
    for _ in range(2):  # again from the start
        frames = list(clip)
        assert [one.index for one in frames] == list(range(12))
        assert [one.time_s for one in frames] == pytest.approx([n / FPS for n in range(12)])
        assert all(abs(grey(one) - shade(one.index)) <= 3 for one in frames)
    assert frames[3].pixels.dtype == np.uint8
    assert np.abs(frames[3].pixels[5, 5].astype(int) - (220, 30, 40)).max() <= 4


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize(
    ("options", "indexes"),
    [
        ({"start": 3}, range(3, 10)),
        ({"stop": 4}, range(4)),
        ({"start": 1, "stride": 4}, range(1, 10, 4)),
        ({"max_frames": 3}, range(3)),
        ({"start": 2, "stop": 9, "stride": 3, "max_frames": 2}, range(2, 8, 3)),
        ({"max_frames": 99}, range(10)),
        ({"start": 10}, range(0)),
    ],
)
def test_frames_are_chosen(
    tmp_path: Path, kind: str, options: dict[str, int], indexes: range
) -> None:
    clip = read_video(make(kind, tmp_path, 10), **options)
    frames = list(clip)
    assert [one.index for one in frames] == list(indexes) == list(clip.indexes)
    assert clip.frame_count == len(indexes)
    assert all(abs(grey(one) - shade(one.index)) <= 3 for one in frames)
    assert [one.time_s for one in frames] == pytest.approx([n / FPS for n in indexes])


def test_files_of_a_folder_are_left_as_they_are(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "frames", 11)
    (folder / "notes.txt").write_text("no frame")
    frames = list(read_video(folder, fps=5))
    assert [Path(one.source).name for one in frames] == [f"f{n}.png" for n in range(11)]
    assert [one.image for one in frames] == [(folder / f"f{n}.png").read_bytes() for n in range(11)]
    assert frames[10].time_s == 2


def matrix(frame: np.ndarray, a: int, b: int, c: int, d: int) -> np.ndarray:
    """What a player shows: pixel (x, y) at (ax + cy, bx + dy), moved to where it begins at 0."""
    height, width = frame.shape[:2]
    y, x = np.mgrid[:height, :width]
    right, down = a * x + c * y, b * x + d * y
    right, down = right - right.min(), down - down.min()
    shown = np.zeros((down.max() + 1, right.max() + 1, 3), np.uint8)
    shown[down, right] = frame
    return shown


@pytest.mark.parametrize(
    "turned",
    [
        *((1, 0, 0, 1), (-1, 0, 0, 1), (1, 0, 0, -1), (-1, 0, 0, -1)),
        *((0, 1, -1, 0), (0, -1, 1, 0), (0, 1, 1, 0), (0, -1, -1, 0)),
    ],
)
def test_all_eight_ways_to_show_a_picture(
    tmp_path: Path, turned: tuple[int, int, int, int]
) -> None:
    path = make_clip(tmp_path / "clip.mp4", 1)
    (stored,) = read_back(path)
    transform(path, turned)
    clip = read_video(path)
    (shown,) = clip
    assert clip.size == shown.pixels.shape[:2]
    assert np.array_equal(shown.pixels, matrix(stored, *turned))


def test_an_angle_between_is_the_nearest(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", 1)
    sin, cos = np.sin(np.radians(80)), np.cos(np.radians(80))
    transform(path, (cos, sin, -sin, cos))
    assert read_video(path).size == SIZE[::-1]


@pytest.mark.parametrize("default", [0, 1, 2])
def test_the_default_stream_is_read(tmp_path: Path, default: int) -> None:
    (one,) = read_video(make_streams(tmp_path / "clip.mkv", [40, 120, 200], default))
    assert abs(int(one.pixels[0, 0, 0]) - [40, 120, 200][default]) < 4


def test_a_broadcast_is_read_in_stored_pixels_and_both_fields_at_once(tmp_path: Path) -> None:
    """What is asked and answered in pixels is in those of the file, whatever a player makes."""
    seen = list(read_video(make_broadcast(tmp_path / "clip.mpg", 5)))
    assert [each.index for each in seen] == [*range(5)]
    assert all(np.abs(a.pixels.astype(int) - frame(a.index)).mean() < 5 for a in seen)


def test_a_picture_that_moves_is_a_clip(tmp_path: Path) -> None:
    path = tmp_path / "clip.gif"
    pictures = [Image.fromarray(frame(index)) for index in range(4)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=80)
    seen = list(read_video(path))
    assert [round(each.time_s, 2) for each in seen] == [0.0, 0.08, 0.16, 0.24]
    assert all(np.abs(a.pixels.astype(int) - frame(a.index)).max() < 30 for a in seen)


@pytest.mark.parametrize("part", [1, 5, 1000])
@pytest.mark.parametrize(
    "chosen", [{}, {"start": 3, "stride": 4}, {"stop": 11}, {"max_frames": 1}, {"start": 99}]
)
def test_a_clip_is_read_backwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int, chosen: dict[str, int]
) -> None:
    monkeypatch.setattr(read, "_PART_BYTES", part * SIZE[0] * SIZE[1] * 3)
    clips = [make_b_frames(tmp_path / "b.mp4", 21), make_folder(tmp_path / "folder", 12)]
    clips.append(make_matroska(tmp_path / "clip.mkv", [5, 40, 45, 300, 900]))
    for path in clips:
        clip = read_video(path, **chosen)
        there, back = list(clip), list(reversed(clip))
        assert [(f.index, f.time_s) for f in back] == [(f.index, f.time_s) for f in there[::-1]]
        pairs = zip(back, there[::-1], strict=True)
        assert all(np.array_equal(a.pixels, b.pixels) for a, b in pairs)


@pytest.mark.parametrize(("degrees", "corner"), [(90, (0, -1)), (180, (-1, -1)), (270, (-1, 0))])
def test_rotation_is_applied(tmp_path: Path, degrees: int, corner: tuple[int, int]) -> None:
    path = make_clip(tmp_path / "clip.mp4", 2)
    rotate(path, degrees)
    clip = read_video(path)
    turned = SIZE[::-1] if degrees != 180 else SIZE
    assert clip.size == turned
    for one in clip:
        assert one.pixels.shape[:2] == turned
        assert one.pixels.flags.c_contiguous
        reds = [(y, x) for y in (0, -1) for x in (0, -1) if one.pixels[y, x, 0] > 180]
        assert reds == [corner]


def test_times_are_those_of_the_file(tmp_path: Path) -> None:
    clip = read_video(make_matroska(tmp_path / "odd.mkv", [500, 540, 900, 1000]))
    assert clip.frame_count is None
    assert clip.indexes[-1] > 10**9
    assert [one.time_s for one in clip] == pytest.approx([0, 0.04, 0.4, 0.5], abs=0.002)
    assert read_video(clip.path, max_frames=2).frame_count == 2


def test_nothing_is_decoded_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import diptych._video.read as module

    made: list[int] = []
    upright = module.upright

    def counted(decoded: object) -> object:
        made.append(1)
        return upright(decoded)  # type: ignore[arg-type]

    clip = read_video(make_clip(tmp_path / "clip.mp4", 30))
    monkeypatch.setattr(module, "upright", counted)
    frames = iter(clip)
    assert made == []
    for count in range(1, 4):
        next(frames)
        assert len(made) == count


def test_broken_in_the_middle(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", 20)
    damage(path, 12)
    frames = iter(read_video(path))
    seen = [next(frames) for _ in range(12)]
    with pytest.raises(VideoFileError, match=r"clip.mp4: broken at frame 12: Invalid") as raised:
        next(frames)
    assert raised.value.frame_index == 12
    assert [grey(one) for one in seen] == pytest.approx([shade(n) for n in range(12)], abs=3)


@pytest.mark.parametrize("content", [b"", b"just text\n" * 50, bytes(4000)])
def test_what_is_no_video(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoFileError, match="expected a video file: Invalid data"):
        read_video(path)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    import av

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate = 44100
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises(VideoFileError, match="got a file without a video stream"):
        read_video(path)


def test_what_is_no_folder_of_frames(tmp_path: Path) -> None:
    with pytest.raises(VideoFileError, match="no pictures in this folder"):
        read_video(tmp_path)
    (tmp_path / "0.png").write_bytes(b"nothing")
    with pytest.raises(VideoFileError, match=r"0.png: expected a picture as the first frame"):
        read_video(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_video(tmp_path / "missing.mp4")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": -1}, "start: expected 0 or more, got -1"),
        ({"start": 5, "stop": 5}, r"stop: expected more than start \(5\), got 5"),
        ({"stride": 0}, "stride: expected 1 or more, got 0"),
        ({"max_frames": 0}, "max_frames: expected 1 or more, got 0"),
        ({"fps": 0.0}, "fps: expected frames per second above 0"),
        ({"fps": 5.0}, "fps: a video file has its own, got 5 for"),
    ],
)
def test_wrong_arguments(tmp_path: Path, options: dict[str, int], message: str) -> None:
    path = make_clip(tmp_path / "clip.mp4", 2)
    with pytest.raises(ValueError, match=message):
        read_video(path, **options)


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_clip(tmp_path / "clip.mp4", 2)
    folder = make_folder(tmp_path / "frames", 2)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'diptych\[video\]'"):
        read_video(path)
    with pytest.raises(MissingExtraError, match=r"pip install 'diptych\[video\]'"):
        VideoWriter(tmp_path / "out.mp4")
    assert len(list(read_video(folder))) == 2


@pytest.mark.parametrize("size", [(64, 96), (63, 95), (16, 31)])
def test_written_files_are_read_back(tmp_path: Path, size: tuple[int, int]) -> None:
    path = make_clip(tmp_path / "out.mp4", 9, size)
    frames = read_back(path)
    assert len(frames) == 9
    even = (size[0] + size[0] % 2, size[1] + size[1] % 2)
    for index, pixels in enumerate(frames):
        assert pixels.shape[:2] == even
        drawn = pixels[: size[0], : size[1]].astype(int)
        away = np.abs(drawn - frame(index, size))
        # Colour has half the resolution, so edges are left out.
        assert away[size[0] // 2 + 3 :, size[1] // 2 + 3 :].max() <= 4
        assert away[: size[0] // 2 - 3, : size[1] // 2 - 3].max() <= 20


def test_times_are_written(tmp_path: Path) -> None:
    moments = [2.0, 2.04, 2.5, 2.5, 2.4, 3.0]
    with VideoWriter(tmp_path / "out.mp4", fps=25) as writer:
        for index, moment in enumerate(moments):
            writer.write(frame(index), moment)
        writer.write(frame(6))
    written = times(tmp_path / "out.mp4")
    assert written == pytest.approx([0, 0.04, 0.5, 0.5, 0.5, 1.0, 1.04], abs=0.001)
    assert sorted(set(written)) == written  # players want every frame to be later than the last
    for fps in (30000 / 1001, 12.5, 7):
        path = make_clip(tmp_path / f"{fps}.mp4", 5, fps=fps)
        assert times(path) == pytest.approx([n / fps for n in range(5)], abs=0.001)
        assert read_video(path).fps == pytest.approx(fps, rel=0.001)


def test_without_libx264_it_is_mpeg4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import av

    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264"})
    path = make_clip(tmp_path / "out.mp4", 30)
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    assert [abs(int(p[50, 80, 0]) - shade(n)) <= 6 for n, p in enumerate(read_back(path))] == (
        [True] * 30
    )


@pytest.mark.parametrize("raised", [RuntimeError, KeyboardInterrupt])
def test_a_file_plays_whatever_ends_the_program(
    tmp_path: Path, raised: type[BaseException]
) -> None:
    path = tmp_path / "out.mp4"
    with pytest.raises(raised), VideoWriter(path) as writer:  # noqa: PT012
        for index in range(7):
            writer.write(frame(index))
        raise raised
    assert len(read_back(path)) == 7


def test_a_killed_program_leaves_a_file_that_plays(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    program = (
        "import os, sys, numpy as np, diptych\n"
        "writer = diptych.VideoWriter(sys.argv[1], fps=25)\n"
        "for index in range(200): writer.write(np.full((64, 96, 3), index, np.uint8))\n"
        f"os.kill(os.getpid(), {signal.SIGKILL:d})"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    assert len(read_back(path)) >= 100


def test_a_writer_without_frames_leaves_no_file(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"path: expected a file that ends in .mp4"):
        VideoWriter(tmp_path / "out.avi")
    with pytest.raises(ValueError, match="fps: expected above 0"):
        VideoWriter(tmp_path / "out.mp4", fps=0)
    with pytest.raises(FileNotFoundError, match=r"out.mp4 cannot be written: there is no folder"):
        VideoWriter(tmp_path / "no" / "out.mp4")
    (tmp_path / "gone").mkdir()
    with VideoWriter(tmp_path / "gone" / "out.mp4") as writer:
        (tmp_path / "gone").rmdir()
        with pytest.raises(FileNotFoundError, match="there is no folder"):
            writer.write(frame(0))
    with VideoWriter(tmp_path / "out.mp4") as writer:
        writer.write(frame(0))
        with pytest.raises(ValueError, match=r"expected \(64, 96\) as before, got \(64, 90\)"):
            writer.write(frame(1, (64, 90)))
        with pytest.raises(ValueError, match="pixels: expected shape"):
            writer.write(frame(1)[..., 0])
    with pytest.raises(ValueError, match="the writer is closed"):
        writer.write(frame(2))
    assert len(read_back(tmp_path / "out.mp4")) == 1


def test_a_session_takes_frames_with_their_numbers(
    tmp_path: Path, service: FakeSegmentService
) -> None:
    clip = read_video(make_clip(tmp_path / "clip.mp4", 9), start=2, stride=3)
    with Client(service.address) as client, client.video(model="one") as session:
        answers = [event.frame_index for event in session.track(clip)]
    assert answers == [2, 5, 8]
    sent = [r.frame.encoded for r in service.video_requests if r.WhichOneof("event") == "frame"]
    assert [Image.open(io.BytesIO(data)).format for data in sent] == ["JPEG"] * 3


async def test_an_async_session_does_too(tmp_path: Path, service: FakeSegmentService) -> None:
    folder = make_folder(tmp_path / "frames", 6)
    async with AsyncClient(service.address) as client, client.video(model="one") as session:
        first, *rest = await asyncio.to_thread(list, read_video(folder, start=1, stride=2))
        assert await session.send(first) == 1
        await session.prompt(4, box=(5, 5, 30, 30))
        events = [event async for event in session.track(rest)]
    results = [event for event in events if isinstance(event, VideoFrameResult)]
    assert [(one.frame_index, one.revision) for one in results] == [(1, 0), (1, 1), (3, 0), (5, 0)]
    sent = [r.frame.encoded for r in service.video_requests if r.WhichOneof("event") == "frame"]
    assert sent == [(folder / f"f{n}.png").read_bytes() for n in (1, 3, 5)]


@pytest.mark.parametrize(("start", "stop"), [(0, 50), (25, 40)])
def test_sound_is_copied(tmp_path: Path, start: int, stop: int) -> None:
    clip = read_video(make_sound(tmp_path / "clip.mp4", 50), start=start, stop=stop)
    with VideoWriter(tmp_path / "out.mp4", fps=clip.fps, sound=clip) as writer:
        for each in clip:
            writer.write(each.pixels, each.time_s)
    assert writer.sound_left_out == ""
    first, last = start / FPS, stop / FPS
    heard = [(time - first, data) for time, data in sound_of(clip.path) if first <= time < last]
    written = sound_of(tmp_path / "out.mp4")
    assert [data for _, data in written] == [data for _, data in heard]
    # The file's sound begins with the file, a packet's length earlier at most.
    assert written[0][0] == 0
    assert [t for t, _ in written[1:]] == pytest.approx([t for t, _ in heard[1:]], abs=1e-3)
    assert times(tmp_path / "out.mp4") == pytest.approx(np.arange(stop - start) / FPS, abs=1e-3)
    assert len(written) > 8


@pytest.mark.parametrize("kind", ["silent", "other codec", "folder"])
def test_what_cannot_be_copied_is_said(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "clip.mkv"
    if kind == "other codec":
        make_sound(path, 5, "pcm_s16le")
    elif kind == "silent":
        make_matroska(path, [0, 40])
    else:
        path = make_folder(tmp_path / "folder", 3)
    clip = read_video(path)
    with VideoWriter(tmp_path / "out.mp4", sound=clip) as writer:
        for each in clip:
            writer.write(each.pixels, each.time_s)
    wanted = "an MP4 file does not hold pcm_s16le" if kind == "other codec" else ""
    assert writer.sound_left_out == wanted
    assert sound_of(tmp_path / "out.mp4") == []
    assert len(read_back(tmp_path / "out.mp4")) == len(list(clip))


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


def test_an_address_is_read_as_it_comes(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", 6)
    handler = partial(_Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/clip.mp4"
        clip = read_video(address, stride=2)
        seen = list(clip)
        with pytest.raises(VideoFileError, match="read once"):
            list(clip)
        with pytest.raises(VideoFileError, match="cannot be opened"):
            read_video(address + ".not")
        server.shutdown()
    assert (clip.size, clip.fps, clip.frame_count) == (SIZE, FPS, None)
    there = list(read_video(tmp_path / "clip.mp4", stride=2))
    assert [(f.index, f.time_s) for f in seen] == [(f.index, f.time_s) for f in there]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(seen, there, strict=True))


def test_an_address_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "SILENCE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(VideoFileError, match="cannot be opened"):
            read_video(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/camera")
        with pytest.raises(VideoFileError, match="cannot be opened"):
            read_video(f"tcp://127.0.0.1:{silent.getsockname()[1]}")


def test_a_device_is_opened_by_its_kind() -> None:
    """As a webcam is, which machines that test do not have."""
    with pytest.raises(VideoFileError, match="No such file"):
        next(iter(read_video("v4l2:///dev/video99")))
    frames = read_video("lavfi://testsrc=size=64x48:rate=10")
    assert [frame.pixels.shape for frame, _ in zip(frames, range(3), strict=False)] == [
        (48, 64, 3)
    ] * 3

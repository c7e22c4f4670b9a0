"""Cameras and streams: the newest frame wins, what is lost comes back, and all ends in order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from clips import make_clip, read_back
from interruptible import COMMAND
from rtsp_camera import RtspCamera

from diptych import VideoFileError, read_video
from diptych._live import camera as live
from diptych._live.camera import Camera
from diptych._live.places import camera_address
from diptych.cli import main
from diptych.cli._video.window import Window
from diptych.testing import FakeSegmentService, FakeVideoFrame

ENDLESS = "lavfi://testsrc=size=64x48:rate=50,realtime"


@pytest.fixture
def rtsp() -> Iterator[RtspCamera]:
    with RtspCamera() as camera:
        yield camera


def run(service: FakeSegmentService, *arguments: object) -> Result:
    words = ["video", *map(str, arguments), "--model", "one", "--box", "0:10,8,50,40"]
    return CliRunner().invoke(main, words, env={"DIPTYCH_ADDRESS": service.address})


def until_more_came(camera: Camera, count: int = 3) -> None:
    before = camera.come
    while camera.come < before + count:
        time.sleep(0.005)


def test_the_newest_frame_is_taken_and_the_others_are_counted(rtsp: RtspCamera) -> None:
    camera = Camera(rtsp.address, chosen=range(4))
    assert (camera.size, camera.fps, camera.frame_count) == ((48, 64), 25.0, 4)
    seen = []
    for frame in camera:
        seen.append(frame)
        until_more_came(camera)
    assert [frame.index for frame in seen] == [0, 1, 2, 3]
    assert camera.taken == 4
    assert camera.come >= 4 + 2 * 3
    gaps = np.diff([frame.time_s for frame in seen])
    assert (gaps[1:] > 2 / 25).all()  # the first two may have been there already
    with pytest.raises(VideoFileError, match="read once"):
        list(camera)
    with pytest.raises(VideoFileError, match="no end"):
        list(reversed(camera))


def test_a_stream_that_is_lost_is_connected_again(
    rtsp: RtspCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_FIRST_PAUSE_S", 0.0)
    told: list[str] = []
    camera = Camera(rtsp.address, tell=told.append)
    times = []
    for frame in camera:
        times.append(frame.time_s)
        if frame.index == 3:
            rtsp.cut()
        if rtsp.visits == 2 and frame.index > 8:
            camera.stop()
    assert (camera.lost, rtsp.visits) == (1, 2)
    assert told == [f"{rtsp.address}: the stream ended; connecting again, 1 of {live.TRIES}"]
    assert times == sorted(times)


def test_a_stream_that_stays_away_is_given_up(
    rtsp: RtspCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_FIRST_PAUSE_S", 0.0)
    told: list[str] = []
    camera = Camera(rtsp.address_with_password, tell=told.append)
    frames = iter(camera)
    next(frames)
    rtsp.switch_off()
    with pytest.raises(VideoFileError, match="Connection refused") as caught:
        list(frames)
    assert len(told) == live.TRIES
    assert "pass-word" not in f"{told} {caught.value} {camera!r}"


def test_a_password_is_printed_by_nobody(rtsp: RtspCamera) -> None:
    clip = read_video(rtsp.address_with_password, max_frames=1)
    (frame,) = clip
    assert frame.source == rtsp.address
    assert repr(clip).startswith(f"VideoReader('{rtsp.address}'")
    rtsp.switch_off()
    with pytest.raises(VideoFileError) as caught:
        read_video(rtsp.address_with_password)
    assert "pass-word" not in str(caught.value)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Says nothing."""


def test_a_file_behind_an_address_waits(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", 12)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        camera = Camera(f"http://127.0.0.1:{server.server_address[1]}/clip.mp4")
        seen = []
        for frame in camera:
            seen.append(frame.index)
            time.sleep(0.005)
        server.shutdown()
    assert camera.waits
    assert seen == list(range(12))
    assert (camera.come, camera.taken) == (12, 12)


def test_what_a_camera_is_called_on_each_system(monkeypatch: pytest.MonkeyPatch) -> None:
    for system, word, address in (
        ("linux", "camera:0", "v4l2:///dev/video0"),
        ("darwin", "camera:0", "avfoundation://0"),
        ("win32", "camera:Integrated Camera", "dshow://video=Integrated Camera"),
        ("linux", "clip.mp4", None),
        ("linux", "camera:", None),
    ):
        monkeypatch.setattr(sys, "platform", system)
        assert camera_address(word) == address
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ValueError, match="the camera's name"):
        camera_address("camera:1")


def test_a_camera_that_is_not_there(service: FakeSegmentService) -> None:
    done = run(service, "v4l2:///dev/video99")
    assert done.exit_code == 4
    assert done.stderr.startswith("diptych: v4l2:///dev/video99: cannot be opened: No such")
    done = run(service, "camera:one")
    assert (done.exit_code, "expected a number" in done.stderr) == (2, True)
    with pytest.raises(VideoFileError, match="PyAV cannot open it here"):
        read_video("dshow://video=none" if sys.platform != "win32" else "avfoundation://0")


def test_a_stream_is_followed_into_a_file(
    service: FakeSegmentService, rtsp: RtspCamera, tmp_path: Path
) -> None:
    out = tmp_path / "seen.mp4"
    service.delay_s = 0.1
    done = run(service, rtsp.address_with_password, "--max-frames", 5, "--json", "--out", out)
    assert done.exit_code == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["frame_index"] for line in lines] == list(range(5))
    assert {line["source"] for line in lines} == {rtsp.address}
    assert all(len(line["objects"]) == 1 for line in lines)
    assert len(read_back(out)) == 5
    assert "pass-word" not in done.output


def test_dropped_frames_are_told(service: FakeSegmentService) -> None:
    def slow(asked: Any) -> list[Any]:
        time.sleep(0.1)
        return []

    service.answer_video_with(slow)
    done = run(service, ENDLESS, "--max-frames", 4)
    assert done.exit_code == 0
    assert " frames came, 4 were followed, and " in done.stderr


def test_options_that_are_for_files_are_refused(service: FakeSegmentService) -> None:
    assert "no end to go back from" in run(service, ENDLESS, "--direction", "both").stderr
    assert "a stream has its own" in run(service, ENDLESS, "--fps", 5).stderr


def test_it_ends_after_a_time(service: FakeSegmentService, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 9, fps=10)
    done = run(service, clip, "--duration", 0.35, "--json")
    assert [json.loads(line)["time_s"] for line in done.stdout.splitlines()] == [0, 0.1, 0.2, 0.3]
    done = run(service, ENDLESS, "--duration", 0.3, "--json")
    times = [json.loads(line)["time_s"] for line in done.stdout.splitlines()]
    assert times
    assert max(times) < 0.3


@contextmanager
def following(service: FakeSegmentService, out: Path) -> Iterator[subprocess.Popen[str]]:
    """``diptych video`` of an endless stream, as a program of its own."""
    command = [*COMMAND, "video", ENDLESS, "--model", "one", "--box", "0:10,8,50,40"]
    process = subprocess.Popen(
        [*command, "--out", str(out), "--json", "--address", service.address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_an_interrupt_ends_a_stream_with_all_that_was_found(
    service: FakeSegmentService, tmp_path: Path
) -> None:
    out = tmp_path / "seen.mp4"
    with following(service, out) as process:
        assert process.stdout is not None
        first = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate(timeout=60)
    assert all(first), err
    assert process.returncode == 0, err
    assert len(read_back(out)) == len(first) + len(rest.splitlines())


def test_a_second_interrupt_does_not_wait_for_the_model(
    service: FakeSegmentService, tmp_path: Path
) -> None:
    stuck, ended = threading.Event(), threading.Event()

    def answer(asked: FakeVideoFrame) -> list[Any]:
        if asked.frame_index == 6:
            stuck.set()
            ended.wait(60)
        return []

    service.answer_video_with(answer)
    out = tmp_path / "seen.mp4"
    try:
        with following(service, out) as process:
            assert process.stdout is not None
            first = [process.stdout.readline() for _ in range(5)]
            assert stuck.wait(30)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            assert "Ctrl-C once more" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            err = process.communicate(timeout=60)[1]
    finally:
        ended.set()
    assert all(first), err
    assert (process.returncode, err) == (130, "diptych: interrupted\n")
    assert len(read_back(out)) >= 5


class _Tk:
    """What the window uses of Tk, on a screen of 100 x 80 that nobody looks at."""

    TclError = RuntimeError

    def __init__(self) -> None:
        self.shown: list[tuple[bytes, bytes]] = []
        self.destroyed = False
        self.asked: Any = {}
        self.Label = lambda root, **_: SimpleNamespace(pack=lambda: None, configure=lambda **_: 0)

    def Tk(self) -> Any:
        return SimpleNamespace(
            title=lambda text: None,
            protocol=self.asked.__setitem__,
            bind=self.asked.__setitem__,
            update=lambda: None,
            destroy=lambda: setattr(self, "destroyed", True),
            winfo_screenheight=lambda: 80,
            winfo_screenwidth=lambda: 100,
        )

    def PhotoImage(self, *, data: bytes, format: str) -> object:
        head, pixels = data.split(b"\n", 1)
        self.shown.append((head, pixels))
        return object()


def test_a_window_shows_each_frame_until_it_is_closed(
    service: FakeSegmentService, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = _Tk()
    monkeypatch.setitem(sys.modules, "tkinter", screen)
    done = run(service, ENDLESS, "--max-frames", 3, "--show")
    assert done.exit_code == 0, done.stderr
    assert [head for head, _ in screen.shown] == [b"P6 64 48 255"] * 3
    assert {len(pixels) for _, pixels in screen.shown} == {64 * 48 * 3}
    assert screen.destroyed
    window = Window("title")
    frame: Any = None
    window.write(np.zeros((160, 100, 3), np.uint8), frame)
    assert screen.shown[-1][0] == b"P6 34 54 255"  # every third pixel of 160 rows on 80
    screen.asked["WM_DELETE_WINDOW"]()
    window.write(np.zeros((48, 64, 3), np.uint8), frame)
    assert (window.has_ended, len(screen.shown)) == (True, 4)


def test_closing_the_window_ends_an_endless_stream(
    service: FakeSegmentService, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = _Tk()
    monkeypatch.setitem(sys.modules, "tkinter", screen)
    photo = screen.PhotoImage

    def closing(**given: Any) -> object:
        if len(screen.shown) == 2:
            screen.asked["<Escape>"]()
        return photo(**given)

    monkeypatch.setattr(screen, "PhotoImage", closing)
    assert run(service, ENDLESS, "--show").exit_code == 0
    assert len(screen.shown) == 3


def test_without_a_window_it_is_said_how_to_get_one(
    service: FakeSegmentService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tkinter", None)
    done = run(service, "sample", "--show")
    assert done.exit_code == 2
    assert "apt install python3-tk" in done.stderr

    class NoScreen(_Tk):
        def Tk(self) -> Any:
            raise RuntimeError("no display name")

    monkeypatch.setitem(sys.modules, "tkinter", NoScreen())
    done = run(service, "sample", "--show")
    assert (done.exit_code, "needs a screen: no display name" in done.stderr) == (2, True)

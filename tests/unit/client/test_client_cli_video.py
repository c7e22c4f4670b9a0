"""``diptych video``: prompts, output, refusals, lost sessions and exit codes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from clips import (
    SIZE,
    damage,
    frame,
    make_clip,
    make_folder,
    make_sound,
    read_back,
    shade,
    sound_of,
    times,
)
from interruptible import COMMAND
from PIL import Image

import diptych.cli._video.follow as follow
from diptych import Mask, Segment, VideoObject
from diptych._drawing.palette import color
from diptych._video import streams
from diptych.cli import main
from diptych.segment import v1 as pb
from diptych.testing import FakeSegmentService, FakeVideoFrame

Run = Callable[..., Result]
BOX = "0:10,8,50,40"
COUNT = 9


@pytest.fixture
def run(service: FakeSegmentService, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(follow, "_LONGEST_PAUSE_S", 0.01)

    def invoke(*arguments: object) -> Result:
        environment = {"DIPTYCH_ADDRESS": service.address}
        words = ["video", *(str(each) for each in arguments)]
        return CliRunner().invoke(main, words, env=environment)

    return invoke


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "clip.mp4", COUNT)


def lines(done: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def sent(service: FakeSegmentService, kind: str) -> list[Any]:
    events = [r for r in service.video_requests if r.WhichOneof("event") == kind]
    return [getattr(event, kind) for event in events]


def order(service: FakeSegmentService) -> list[tuple[str, int]]:
    """Frames and prompts as they came, with the frame's index."""
    told = [(r.WhichOneof("event"), r) for r in service.video_requests]
    return [(kind, getattr(r, kind).frame_index) for kind, r in told if kind in ("frame", "prompt")]


def near(pixels: Any, wanted: Any, away: int = 14) -> bool:
    return bool(np.abs(np.asarray(pixels, int) - np.asarray(wanted, int)).max() <= away)


def tinted(ground: int, object_id: int) -> np.ndarray:
    ink = color(object_id)
    rgb = np.array([int(ink[at : at + 2], 16) for at in (1, 3, 5)])
    return ground * 0.58 + rgb * 0.42


def test_a_clip_is_followed_and_written(run: Run, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    done = run(clip, "--model", "one", "--box", "0:52,36,94,62", "--out", out)
    assert (done.exit_code, done.stderr) == (0, "")
    row = next(line for line in done.stdout.splitlines() if "rectangle" in line)
    assert row.split() == ["one", "9", "5.0", "1", "rectangle", "100%", "of", "9"]
    frames = read_back(out)
    assert times(out) == pytest.approx(times(clip), abs=0.001)
    for index, pixels in enumerate(frames):
        assert pixels.shape == (*SIZE, 3)
        assert near(pixels[55, 75], tinted(shade(index), 1))
        assert near(pixels[55, 20], [shade(index)] * 3)


def test_prompts_go_out_right_after_their_frame(
    run: Run, clip: Path, service: FakeSegmentService
) -> None:
    done = run(
        *(clip, "--model", "one", "--json", "--box", "2:1,1,20,20", "--point", "4:30,30"),
        *("--point", "7@4:60,20", "--point", "7@4:5,6,0", "--box", "7@4:50,10,80,30"),
        *("--point", "6:31,31,0", "--box", "2:40,40,60,60"),
    )
    assert done.exit_code == 0
    frames = [("frame", index) for index in range(COUNT)]
    wanted = [*frames[:3], *[("prompt", 2)] * 2, *frames[3:5], *[("prompt", 4)] * 2, *frames[5:7]]
    assert order(service) == [*wanted, ("prompt", 6), *frames[7:]]
    box_a, box_b, point, both, correction = sent(service, "prompt")
    # The points without a number are object 1 together, the boxes 2 and 3.
    assert [p.object_id for p in (box_a, box_b, point, both, correction)] == [2, 3, 1, 7, 1]
    assert [(p.x_px, p.y_px, p.label) for p in both.prompt.points] == [(60, 20, 1), (5, 6, 2)]
    assert both.prompt.box.x_max_px == 80
    assert correction.prompt.points[0].label == pb.PointLabel.POINT_LABEL_BACKGROUND
    told = {line["frame_index"]: line for line in lines(done)}
    assert [told[index]["revision"] for index in range(COUNT)] == [0, 0, 2, 0, 2, 0, 1, 0, 0]
    assert [one["object_id"] for one in told[1]["objects"]] == []
    assert sorted(one["object_id"] for one in told[4]["objects"]) == [1, 2, 3, 7]


def test_json_has_a_line_for_each_frame(run: Run, clip: Path) -> None:
    done = run(clip, "--model", "one", "--json", "--box", BOX, "--start", 1, "--stride", 3)
    assert done.exit_code == 2  # the prompt's frame is not read
    assert "prompt on frame 0: expected one that is read (frames 1 to 7, every 3th)" in done.stderr
    done = run(
        clip, "--model", "one", "--json", "--box", "4:10,8,50,40", "--start", 1, "--stride", 3
    )
    assert (done.exit_code, done.stderr) == (0, "")
    first, second, third = lines(done)
    assert [one["frame_index"] for one in (first, second, third)] == [1, 4, 7]
    assert [one["time_s"] for one in (first, second, third)] == pytest.approx([0.04, 0.16, 0.28])
    assert first["objects"] == []
    assert (second["model_id"], second["source"]) == ("one", str(clip))
    assert second["image_size"] == {"height": 64, "width": 96}
    assert second["timings"]["total_s"] == pytest.approx(0.005)
    (found,) = third["objects"]
    assert (found["object_id"], found["label"]) == (1, "rectangle")
    assert found["presence"] == pytest.approx(0.9)
    assert found["bbox"] == [10, 8, 40, 32]
    rle = found["segmentation"]
    assert Mask.from_coco(rle["counts"], tuple(rle["size"])).area == found["area"] == 40 * 32


def test_hidden_objects_are_told_and_counted(
    run: Run, clip: Path, service: FakeSegmentService
) -> None:
    def answer(asked: FakeVideoFrame) -> list[VideoObject]:
        mask = Mask.from_crop(np.ones((20, 30)), 5, 5, asked.image_size)
        seen = Segment(score=0.9, box=mask.box, mask=mask, area=mask.area)
        hidden = Segment(score=0.1)
        shown = asked.frame_index not in (3, 4, 5)
        return [
            VideoObject(i, seen if shown else hidden, 0.9 if shown else 0.1) for i in asked.prompts
        ]

    service.answer_video_with(answer, model="one")
    told = lines(run(clip, "--model", "one", "--json", "--box", BOX))
    assert [line["objects"][0]["bbox"] is None for line in told] == [
        index in (3, 4, 5) for index in range(COUNT)
    ]
    assert told[4]["objects"][0]["segmentation"] is None
    assert told[4]["objects"][0]["presence"] == pytest.approx(0.1)
    assert "67% of 9" in run(clip, "--model", "one", "--box", BOX).stdout


def test_a_folder_of_frames_is_sent_as_it_is(
    run: Run, tmp_path: Path, service: FakeSegmentService
) -> None:
    folder, out = make_folder(tmp_path / "frames", 12), tmp_path / "new" / "pictures"
    done = run(
        *(folder, "--model", "one", "--box", "2:52,36,94,62", "--start", 2, "--max-frames", 9),
        *("--out", out, "--fps", 10),
    )
    assert (done.exit_code, done.stderr) == (0, "")
    files = [(folder / f"f{index}.png").read_bytes() for index in range(2, 11)]
    assert [one.encoded for one in sent(service, "frame")] == files
    assert sorted(path.name for path in out.iterdir()) == [f"{n:06d}.png" for n in range(2, 11)]
    pixels = np.asarray(Image.open(out / "000010.png"))
    assert pixels.shape == (*SIZE, 3)
    assert near(pixels[55, 75], tinted(shade(10), 1), away=2)


def test_folders_have_the_rate_that_they_are_given(run: Run, tmp_path: Path) -> None:
    folder, out = make_folder(tmp_path / "frames", 4), tmp_path / "out.mp4"
    options = ("--model", "one", "--box", "1:1,1,20,20", "--out", out)
    assert run(folder, *options, "--fps", 5, "--start", 1, "--stride", 2).exit_code == 0
    assert times(out) == pytest.approx([0, 0.4], abs=0.001)


def test_odd_sides_are_filled(run: Run, tmp_path: Path) -> None:
    folder, out = make_folder(tmp_path / "frames", 3, (33, 47)), tmp_path / "out.mp4"
    assert run(folder, "--model", "one", "--box", "0:1,1,20,20", "--out", out).exit_code == 0
    assert [pixels.shape for pixels in read_back(out)] == [(34, 48, 3)] * 3


def test_models_stand_side_by_side(run: Run, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    done = run(clip, "--compare", "--box", BOX, "--box", "0:60,8,90,62", "--out", out)
    assert (done.exit_code, done.stderr) == (0, "")
    rows = [line.split()[:4] for line in done.stdout.splitlines() if "5.0" in line]
    assert rows == [["one", "9", "5.0", "1"], ["two", "9", "5.0", "1"]]
    rows = [line.split() for line in done.stdout.splitlines() if "one / two" in line]
    assert [row[3:] for row in rows] == [["1", "9", "1.000"], ["2", "9", "1.000"]]
    for index, pixels in enumerate(read_back(out)):
        strip = pixels.shape[0] - 64
        assert pixels.shape[1] == 96 + 4 + 96
        for left in (0, 100):
            assert near(pixels[strip + 54, left + 75], tinted(shade(index), 2))


def test_overlaps_are_means_over_common_frames(
    run: Run, clip: Path, service: FakeSegmentService
) -> None:
    def half(asked: FakeVideoFrame) -> list[VideoObject]:
        if asked.frame_index % 3 == 0 or not asked.prompts:
            return []
        mask = Mask.from_crop(np.ones((32, 20)), 10, 8, asked.image_size)
        return [VideoObject(1, Segment(score=0.9, box=mask.box, mask=mask, area=mask.area), 0.9)]

    service.answer_video_with(half, model="two")
    done = run(clip, "--compare", "--model", "two", "--model", "one", "--box", BOX)
    (row,) = [line.split() for line in done.stdout.splitlines() if "two / one" in line]
    assert row[3:] == ["1", "6", "0.500"]


def test_one_failed_model_leaves_the_other(
    run: Run, clip: Path, tmp_path: Path, service: FakeSegmentService
) -> None:
    out = tmp_path / "out.mp4"
    service.fail("MODEL_FAILED", "out of order", model="two", frame_index=4)
    done = run(clip, "--compare", "--box", "0:4,36,44,62", "--out", out, "--json")
    assert done.exit_code == 1
    assert done.stderr.startswith("diptych: two: out of order (MODEL_FAILED, request fake-")
    assert len(done.stderr.splitlines()) == 1
    told = {(line["model_id"], line["frame_index"]): line for line in lines(done)}
    assert [index for index in range(COUNT) if "error" in told["one", index]] == []
    failed = [index for index in range(COUNT) if "error" in told["two", index]]
    assert failed == list(range(4, COUNT))
    assert told["two", 8]["error"]["reason"] == "MODEL_FAILED"
    frames = read_back(out)
    assert len(frames) == COUNT
    for index, pixels in enumerate(frames):
        assert near(pixels[-64 + 50, 25], tinted(shade(index), 1))
        assert bool(pixels[-3, -3].min() > 190) is (index in failed)


def test_models_without_video_are_not_compared(
    run: Run, clip: Path, service: FakeSegmentService
) -> None:
    del service.cards["one"].tasks[:]
    told = lines(run(clip, "--compare", "--json", "--box", BOX))
    assert {line["model_id"] for line in told} == {"two"}
    del service.cards["two"].tasks[:]
    done = run(clip, "--compare", "--box", BOX)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "no model that can be reached does video-segmentation" in done.stderr


@pytest.mark.parametrize(
    ("reason", "code"), [("MODEL_LOADING", 3), ("TASK_UNSUPPORTED", 4), ("MODEL_FAILED", 1)]
)
def test_exit_codes(
    run: Run, clip: Path, service: FakeSegmentService, reason: str, code: int
) -> None:
    service.fail(reason)
    for options in (["--model", "one"], ["--compare"]):
        done = run(clip, "--box", BOX, *options)
        assert (done.exit_code, done.stdout) == (code, "")
        assert reason in done.stderr
    assert run(clip, "--box", BOX, "--model", "three").exit_code == 4


def test_unreachable_server(run: Run, clip: Path, tmp_path: Path) -> None:
    with FakeSegmentService() as gone:
        address = gone.address
    done = run(clip, "--box", BOX, "--address", address, "--out", tmp_path / "out.mp4")
    assert done.exit_code == 3
    assert "no server answers there" in done.stderr
    assert not (tmp_path / "out.mp4").exists()


def test_a_silent_server_is_noticed(run: Run, clip: Path, service: FakeSegmentService) -> None:
    def stuck(asked: FakeVideoFrame) -> list[VideoObject]:
        if asked.frame_index == 3:
            time.sleep(2)
        return []

    service.answer_video_with(stuck)
    done = run(clip, "--box", BOX, "--model", "one", "--timeout", "0.5", "--json")
    assert done.exit_code == 5
    assert done.stderr == "diptych: one: no answer for frame 3 within 0.5 s\n"
    assert [line["frame_index"] for line in lines(done)] == [0, 1, 2]


def test_what_is_refused_is_told_and_the_rest_goes_on(
    run: Run, tmp_path: Path, service: FakeSegmentService
) -> None:
    folder, out = make_folder(tmp_path / "frames", 7), tmp_path / "out.mp4"
    (folder / "f3.png").write_bytes(b"no picture")
    Image.fromarray(frame(5, (50, 96))).save(folder / "f5.png")
    service.video_started.max_objects = 1
    done = run(
        *(folder, "--model", "one", "--box", "2@0:52,36,94,62", "--box", "9@1:1,1,9,9"),
        *("--box", "2@3:1,1,20,20", "--out", out, "--json"),
    )
    assert done.exit_code == 1
    errors = done.stderr.splitlines()
    assert [error.partition(": ")[2].split(": ")[:2] for error in errors] == [
        ["one", "frame 1, object 9"],
        ["one", "frame 3"],
        ["one", "frame 3, object 2"],
        ["one", "frame 5"],
    ]
    assert [
        reason in error
        for reason, error in zip(
            ("OBJECT_LIMIT", "IMAGE_UNREADABLE", "FRAME_NOT_HELD", "IMAGE_SHAPE"),
            errors,
            strict=True,
        )
    ] == [True] * 4
    told = lines(done)
    assert [line["frame_index"] for line in told if "error" in line] == [3, 5]
    frames = read_back(out)
    assert len(frames) == 7
    assert near(frames[6][55, 75], tinted(shade(6), 2))
    assert near(frames[5][45, 75], [shade(5)] * 3)  # as it is, filled up to the others' size
    assert near(frames[5][60, 75], [0] * 3)


def test_a_clip_that_breaks_is_used_up_to_there(run: Run, clip: Path, tmp_path: Path) -> None:
    damage(clip, 6)
    out = tmp_path / "out.mp4"
    done = run(clip, "--model", "one", "--box", BOX, "--box", "4@8:1,1,5,5", "--out", out)
    assert done.exit_code == 1
    broken, unsent = done.stderr.splitlines()
    assert f"{clip}: broken at frame 6" in broken
    assert unsent == "diptych: frame 8 did not come, its prompts were not sent"
    assert len(read_back(out)) == 6
    assert "100% of 6" in done.stdout


@pytest.mark.parametrize("reason", ["SESSION_LOST", "DRAINING"])
def test_a_lost_session_goes_on(
    run: Run, clip: Path, tmp_path: Path, service: FakeSegmentService, reason: str
) -> None:
    out = tmp_path / "out.mp4"
    service.fail(reason, "gone", model="one", frame_index=5, times=1, retry_after_s=0.01)
    done = run(clip, "--model", "one", "--box", BOX, "--point", "3@6:70,20", "--json", "--out", out)
    assert done.exit_code == 0
    assert done.stderr.startswith("diptych: one: gone (")
    assert done.stderr.endswith("trying to go on, 1 of 8\n")
    told = lines(done)
    assert [line["frame_index"] for line in told] == list(range(COUNT))
    assert [one["object_id"] for one in told[5]["objects"]] == [1]
    assert told[5]["objects"][0]["bbox"] == [10, 8, 40, 32]
    assert [one["object_id"] for one in told[8]["objects"]] == [1, 3]
    assert times(out) == pytest.approx(times(clip), abs=0.001)
    starts = [r for r in service.video_requests if r.WhichOneof("event") == "start"]
    assert len(starts) == 2


@pytest.mark.parametrize("lost_at", range(COUNT))
@pytest.mark.parametrize(("held", "in_flight"), [(1, 4), (2, 2), (4, 1), (8, 4)])
def test_no_frame_is_lost_or_written_twice(
    run: Run, clip: Path, service: FakeSegmentService, lost_at: int, held: int, in_flight: int
) -> None:
    service.video_started.held_frames = held
    service.video_started.max_frames_in_flight = in_flight
    service.fail("SESSION_LOST", frame_index=lost_at, times=2)
    done = run(clip, "--model", "one", "--json", "--box", BOX, "--box", "3@4:1,1,20,20")
    told = lines(done)
    assert [line["frame_index"] for line in told] == list(range(COUNT))
    assert [line for line in told if "error" in line] == []
    assert done.exit_code == 0
    assert [len(line["objects"]) for line in told] == [1] * 4 + [2] * 5


def test_an_object_that_was_hidden_when_a_session_was_lost(
    run: Run, clip: Path, service: FakeSegmentService
) -> None:
    def hidden(frame: FakeVideoFrame) -> list[VideoObject]:
        return [VideoObject(number, Segment(0.1), 0.1) for number in frame.prompts]

    service.answer_video_with(hidden)
    service.video_started.held_frames = 2
    service.fail("SESSION_LOST", frame_index=6, times=1)
    done = run(clip, "--model", "one", "--json", "--box", BOX)
    assert [line["frame_index"] for line in lines(done)] == list(range(COUNT))
    assert done.exit_code == 1
    assert "object 1 was not visible on the frames that were held" in done.stderr


def test_a_session_that_is_lost_for_good(run: Run, clip: Path, service: FakeSegmentService) -> None:
    service.fail("SESSION_LOST", "gone", frame_index=5, retry_after_s=0.001)
    done = run(clip, "--model", "one", "--json", "--box", BOX)
    assert done.exit_code == 1
    tries = done.stderr.splitlines()
    assert [line.rpartition("go on, ")[2] for line in tries[:-1]] == [
        f"{n} of 8" for n in range(1, 9)
    ]
    assert tries[-1].startswith("diptych: one: gone (SESSION_LOST")
    assert [line["frame_index"] for line in lines(done)] == list(range(5))


def test_objects_that_were_hidden_when_it_was_lost_are_named(
    run: Run, clip: Path, service: FakeSegmentService
) -> None:
    def hiding(asked: FakeVideoFrame) -> list[VideoObject]:
        return [VideoObject(i, Segment(score=0.1), 0.1) for i in asked.prompts]

    service.video_started.held_frames = 2
    service.answer_video_with(hiding)
    service.fail("SESSION_LOST", frame_index=6, times=1)
    done = run(clip, "--model", "one", "--json", "--box", BOX)
    assert done.exit_code == 1
    assert "object 1 was not visible on the frames that were held" in done.stderr
    assert [line["frame_index"] for line in lines(done)] == list(range(COUNT))


def test_all_objects_can_be_followed(run: Run, clip: Path, service: FakeSegmentService) -> None:
    done = run(clip, "--model", "one", "--track-all")
    assert done.exit_code == 0
    assert service.video_requests[0].start.track_all
    assert "auto 0" in done.stdout


def test_a_model_service_knows_its_own_name(run: Run, clip: Path) -> None:
    with FakeSegmentService(gateway=False) as alone:
        alone.video_started.provenance.add(model_id="its-own")
        done = run(clip, "--address", alone.address, "--box", BOX)
    assert done.exit_code == 0
    assert "its-own" in done.stdout


def test_the_sample_is_at_hand(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: FakeSegmentService
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("sample", "--model", "one", "--box", "0:161,37,208,84")
    assert done.exit_code == 0
    assert "100% of 48" in done.stdout
    # A file of that name comes first.
    make_folder(tmp_path / "sample", 3)
    assert "100% of 3" in run("sample", "--model", "one", "--box", BOX).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--point", "5,6"], "expected [OBJECT@]FRAME:X,Y[,0|1], got '5,6'"),
        (["--point", "0:5"], "expected [OBJECT@]FRAME:X,Y[,0|1], got '0:5'"),
        (["--point", "0:5,6,2"], "expected [OBJECT@]FRAME:X,Y[,0|1], got '0:5,6,2'"),
        (["--point", "0:5,x"], "expected numbers as [OBJECT@]FRAME:X,Y[,0|1], got '5,x'"),
        (["--point", "0:5,nan"], "expected finite numbers, got '5,nan'"),
        (["--point", "-1:5,6"], "expected [OBJECT@]FRAME:X,Y[,0|1], got '-1:5,6'"),
        (["--point", "a@0:5,6"], "expected [OBJECT@]FRAME:X,Y[,0|1], got 'a@0:5,6'"),
        (["--point", "1@2@0:5,6"], "expected [OBJECT@]FRAME:X,Y[,0|1], got '1@2@0:5,6'"),
        (["--point", "1073741824@0:5,6"], "expected an OBJECT below 1073741824"),
        (["--box", "0:5,5,5,9"], "expected [OBJECT@]FRAME:X1,Y1,X2,Y2 with X1 < X2 and Y1 < Y2"),
        (["--box", "3@0:1,1,5,5", "--box", "3@0:2,2,5,5"], "one box for object 3 on frame 0"),
        (["--box", "9:1,1,5,5"], "prompt on frame 9: expected one that is read (frames 0 to 8)"),
        ([], "say what to follow: --point, --box or --track-all"),
        (["--track-all", "--model", "two"], "--model: expected one, or --compare for several"),
        (["--track-all", "--fps", "5"], "expected only with a folder of frames"),
        (["--track-all", "--start", "9"], "expected the number of a frame that is there, got 9"),
        (["--track-all", "--stride", "0"], "--stride"),
        (["--track-all", "--max-frames", "0"], "--max-frames"),
        (["--track-all", "--out", "out.avi"], "expected FILE.mp4 or a folder, got 'out.avi'"),
        (["--track-all", "--out", "no/such/out.mp4"], "there is no folder no/such"),
    ],
)
def test_wrong_usage(
    run: Run, clip: Path, service: FakeSegmentService, arguments: list[str], message: str
) -> None:
    done = run(clip, "--model", "one", *arguments)
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.split())
    assert service.video_requests == ()


def test_wrong_files(run: Run, clip: Path, tmp_path: Path) -> None:
    assert run(tmp_path / "missing.mp4", "--track-all").exit_code == 2
    done = run(clip, "--track-all", "--out", clip)
    assert done.exit_code == 2
    assert "is the source itself" in done.stderr
    (tmp_path / "text.mp4").write_text("no video")
    done = run(tmp_path / "text.mp4", "--track-all")
    assert done.exit_code == 4
    assert "expected a video file" in done.stderr
    (tmp_path / "file").write_text("")
    assert run(clip, "--track-all", "--out", tmp_path / "file").exit_code == 2


def test_a_missing_extra_is_named(
    run: Run, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(tmp_path / "frames", 2)
    monkeypatch.setitem(sys.modules, "av", None)
    for words in ([clip], [folder, "--out", tmp_path / "out.mp4"]):
        done = run(*words, "--model", "one", "--box", BOX)
        assert done.exit_code == 1
        assert done.stderr == ("diptych: video files need an extra: pip install 'diptych[video]'\n")
    done = run(folder, "--model", "one", "--box", BOX, "--out", tmp_path / "pictures")
    assert done.exit_code == 0


def test_help_has_examples(run: Run) -> None:
    done = run("--help")
    assert done.exit_code == 0
    for text in ("diptych video sample", "--compare", "[OBJECT@]FRAME:X,Y[,0|1]", "Ctrl-C"):
        assert text in done.stdout


def test_interrupt_leaves_a_file_that_plays(
    service: FakeSegmentService, clip: Path, tmp_path: Path
) -> None:
    ended = threading.Event()

    def stuck(asked: FakeVideoFrame) -> list[VideoObject]:
        if asked.frame_index == 6:
            ended.wait(60)
        return []

    service.answer_video_with(stuck)
    out = tmp_path / "out.mp4"
    command = [*COMMAND, "video", str(clip), "--model", "one"]
    process = subprocess.Popen(
        [*command, "--box", BOX, "--out", str(out), "--json", "--address", service.address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(5)]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        ended.set()
    assert all(told), err
    assert [json.loads(line)["frame_index"] for line in told] == list(range(5))
    assert (process.returncode, err) == (130, "diptych: interrupted\n")
    assert len(read_back(out)) >= 5


def test_objects_are_followed_to_both_ends(run: Run, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    prompts = ("--box", "3:10,8,50,40", "--point", "2@6:70,20")
    done = run(clip, "--model", "one", *prompts, "--direction", "both", "--json", "--out", out)
    assert (done.exit_code, done.stderr) == (0, "")
    told = lines(done)
    assert [line["frame_index"] for line in told] == list(range(COUNT))
    assert [sorted(one["object_id"] for one in line["objects"]) for line in told] == [[1, 2]] * 9
    assert told[0]["objects"][0]["bbox"] == [10, 8, 40, 32]
    assert len(read_back(out)) == COUNT


def test_objects_are_followed_to_the_start(
    run: Run, clip: Path, service: FakeSegmentService
) -> None:
    way = ("--box", "3:10,8,50,40", "--direction", "backward", "--json")
    done = run(clip, "--model", "one", *way)
    assert (done.exit_code, done.stderr) == (0, "")
    told = lines(done)
    assert [line["frame_index"] for line in told] == [0, 1, 2, 3]
    assert all(line["objects"][0]["bbox"] == [10, 8, 40, 32] for line in told)
    assert [index for kind, index in order(service) if kind == "frame"] == [3, 4, 5, 6]
    done = run(clip, "--model", "one", "--track-all", "--direction", "both")
    assert "expected forward with --track-all" in done.stderr
    service.fail("SESSION_LIMIT", "no room", frame_index=4)
    done = run(clip, "--model", "one", *way)
    assert done.stdout == ""
    assert done.exit_code not in (0, 1)
    assert "diptych: one: no room" in done.stderr


def test_models_are_compared_both_ways(run: Run, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    box = ("--box", "3:10,8,50,40", "--direction", "both", "--json")
    done = run(clip, "--compare", *box, "--out", out)
    assert (done.exit_code, done.stderr) == (0, "")
    told = [(line["frame_index"], line["model_id"], len(line["objects"])) for line in lines(done)]
    assert told == [(index, model, 1) for index in range(COUNT) for model in ("one", "two")]


def test_sound_is_kept_or_missed(run: Run, tmp_path: Path) -> None:
    spoken, raw = make_sound(tmp_path / "a.mp4", 9), make_sound(tmp_path / "b.mkv", 9, "pcm_s16le")
    out = tmp_path / "out.mp4"
    done = run(spoken, "--model", "one", "--box", BOX, "--out", out)
    assert (done.exit_code, done.stderr) == (0, "")
    assert len(sound_of(out)) > 4
    other = tmp_path / "other.mp4"
    done = run(raw, "--model", "one", "--box", BOX, "--out", other)
    assert done.exit_code == 0
    told = f"diptych: {other}: without the sound: an MP4 file does not hold pcm_s16le"
    assert done.stderr.splitlines() == [told]


def test_an_address_that_says_nothing_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "SILENCE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"rtsp://127.0.0.1:{silent.getsockname()[1]}/camera"
        done = run(address, "--model", "one", "--box", BOX)
    assert done.exit_code != 0
    assert f"{address}: cannot be opened" in done.stderr

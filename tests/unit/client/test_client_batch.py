"""``diptych batch``: every picture once, whatever happens, and rows that say what was found."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from batches import asked, make_album, names_of, paths_of, png, rows_of
from click.testing import CliRunner, Result
from documentation import DOCS, blocks
from interruptible import COMMAND
from pycocotools.coco import COCO

from diptych import AsyncClient, Keypoint, Mask, Segment
from diptych._arguments import make_options
from diptych._batch.parts import Shard
from diptych._batch.rows import schema
from diptych._batch.run import Plan, Summary, Watcher, run_batch
from diptych._batch.sources import Picture, open_source
from diptych._batch.storage import open_folder
from diptych._many.pace import Pace
from diptych.cli import main
from diptych.testing import FakeCall, FakeSegmentService

Run = Callable[..., Result]


@pytest.fixture
def run(service: FakeSegmentService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: object) -> Result:
        words = ["batch", *(str(each) for each in arguments)]
        return CliRunner().invoke(main, words, env={"DIPTYCH_ADDRESS": service.address})

    return invoke


@pytest.fixture
def album(tmp_path: Path) -> Path:
    return make_album(tmp_path / "album", 7)


def the_start(*more: object) -> list[object]:
    return ["album", "--model", "one", "--out", "found", *more]


# What a row says.


def test_each_picture_is_a_row(run: Run, album: Path, service: FakeSegmentService) -> None:
    (album / "0" / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    (album / "gone.png").symlink_to("nowhere")
    (album / "0" / "0000.png.segments.png").write_bytes(png(1))  # a figure of an earlier command
    (album / ".hidden.png").write_bytes(png(1))
    (album / "notes.txt").write_text("no picture")
    done = run(*the_start("--rows", 4))
    assert done.exit_code == 1, done.output
    assert done.stdout.startswith(
        "found: 9 pictures, 7 answered, 2 failed (1 IMAGE_UNREADABLE, 1 FILE_MISSING); 7 segments"
    )
    assert "diptych: album/gone.png: " in done.stderr
    found = {row["path"]: row for row in rows_of(Path("found"))}
    assert len(found) == 9
    row = found["album/1/0001.png"]
    (segment,) = row["segments"]
    assert (row["width"], row["height"], row["model"], row["error_code"]) == (40, 30, "one", None)
    assert segment["bbox_xywh"] == [10, 7, 20, 15]
    assert (segment["label"], segment["category_id"], segment["prompt_index"]) == (
        ("rectangle", 1, None)
    )
    mask = Mask.from_coco(segment["rle"]["counts"], tuple(segment["rle"]["size"]))
    assert mask.size == (30, 40)
    assert mask.area == segment["area"] == 300
    assert row["request_id"].startswith("fake-")
    assert (
        len(row["card_sha256"]) == len(row["image_sha256"]) == len(row["weights_sha256"][0]) == 64
    )
    broken, gone = found["album/0/broken.jpg"], found["album/gone.png"]
    assert (broken["error_code"], broken["segments"]) == ("IMAGE_UNREADABLE", None)
    assert broken["request_id"].startswith("fake-")
    assert gone["error_code"] == "FILE_MISSING"
    assert "gone.png" in gone["error_message"]
    assert names_of(Path("found")) == [
        "_diptych-batch.json",
        *(f"part-0000-of-0001-{number:06}.parquet" for number in range(3)),
    ]


def test_prompts_and_options_are_those_of_segment(
    run: Run, album: Path, service: FakeSegmentService
) -> None:
    done = run(*the_start("--box", "1,2,30,20", "--point", "5,6", "--min-score", 0.25))
    assert done.exit_code == 0, done.output
    assert {len(request.prompts) for request in service.requests} == {2}
    assert {request.output.min_score for request in service.requests} == {0.25}
    (first, *_) = rows_of(Path("found"))
    assert [one["prompt_index"] for one in first["segments"]] == [0, 1]


def test_a_model_service_alone_knows_its_model(album: Path, tmp_path: Path) -> None:
    with FakeSegmentService(("alone",), gateway=False) as service:
        words = ["batch", album, "--out", tmp_path / "found", "--address", service.address]
        done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    assert {row["model"] for row in rows_of(tmp_path / "found")} == {"alone"}


def test_keypoints_and_coco(run: Run, album: Path, service: FakeSegmentService) -> None:
    shape = Mask.from_crop([[1, 0], [1, 1]], 3, 4, (30, 40))

    def answer(call: FakeCall) -> list[Segment]:
        points = (Keypoint("left", 1.25, 2, 0.5), Keypoint("right", 3, 4, 0.25))
        found = Segment(0.75, shape.box, shape, "rectangle", 1, shape.area, points)
        return [found] * (call.image == png(2)) + [found]

    service.answer_with(answer)
    (album / "broken.png").write_bytes(b"no picture")
    assert run(*the_start("--coco", "--rows", 2)).exit_code == 1
    assert pyarrow.parquet.read_table("found").num_rows == 8  # which passes over other files
    coco = COCO("found/_annotations.json")
    assert len(coco.imgs) == 7
    assert [one["file_name"] for one in coco.loadImgs(sorted(coco.imgs))][:2] == [
        "0/0000.png",
        "0/0003.png",
    ]
    assert len(coco.anns) == 8
    assert sorted(coco.anns) == [*range(1, 9)]
    for annotation in coco.anns.values():
        assert (coco.annToMask(annotation) == shape.to_array()).all()
        assert annotation["keypoints"] == [1.25, 2, 2, 3, 4, 2]
        assert annotation["score"] == 0.75
    assert [(one["id"], one["name"]) for one in coco.loadCats([1])] == [(1, "rectangle")]
    assert [one["file_name"] for one in coco.dataset["failed"]] == ["broken.png"]
    again = coco.loadRes(list(coco.anns.values()))
    assert len(again.anns) == 8


def test_annotations_without_classes_are_told(
    run: Run, album: Path, service: FakeSegmentService
) -> None:
    assert "names no classes" not in run(*the_start("--coco")).stderr
    del service.cards["one"].categories[:]
    done = run(*the_start("--coco", "--changed"))
    assert "names no classes, so _annotations.json has category 0" in done.stderr


def test_boxes_alone_are_coco_too(run: Run, album: Path) -> None:
    assert run(*the_start("--coco", "--task", "object-detection")).exit_code == 0
    coco = COCO("found/_annotations.json")
    assert {one["area"] for one in coco.anns.values()} == {300}
    assert not any("segmentation" in one for one in coco.anns.values())


# Going on.


def test_what_is_finished_is_not_asked_again(
    run: Run, album: Path, service: FakeSegmentService
) -> None:
    (album / "broken.png").write_bytes(b"no picture")
    assert run(*the_start("--rows", 3)).exit_code == 1
    count = len(service.requests)
    done = run(*the_start("--rows", 5))
    assert done.exit_code == 1
    assert len(service.requests) == count
    assert "8 pictures, 0 answered, 0 failed, 8 done before (1 of them failed)" in done.stdout


def test_those_that_failed_are_asked_again_when_told(
    run: Run, album: Path, service: FakeSegmentService
) -> None:
    service.fail("MODEL_FAILED", times=2)
    (album / "broken.png").write_bytes(b"no picture")
    assert run(*the_start("--rows", 3, "--jobs", 1)).exit_code == 1
    before = rows_of(Path("found"))
    (album / "broken.png").write_bytes(png(77))
    asked_before = len(service.requests)
    done = run(*the_start("--rows", 3, "--retry-failed"))
    assert "8 pictures, 3 answered, 0 failed, 5 done before" in done.stdout
    assert len(service.requests) == asked_before + 3
    after = rows_of(Path("found"))
    assert [row["path"] for row in after] == [row["path"] for row in before]
    assert not any(row["error_code"] for row in after)
    assert [a for a, b in zip(after, before, strict=True) if not b["error_code"]] == [
        row for row in before if not row["error_code"]
    ]


@pytest.mark.parametrize("left", [0.99, 0.6, 0.0], ids=["nearly whole", "cut off", "empty"])
def test_a_part_that_was_cut_off_is_done_again(
    run: Run, album: Path, service: FakeSegmentService, left: float
) -> None:
    assert run(*the_start("--rows", 3)).exit_code == 0
    whole = rows_of(Path("found"))
    part = Path("found/part-0000-of-0001-000001.parquet")
    part.write_bytes(part.read_bytes()[: int(left * part.stat().st_size)])
    done = run(*the_start("--rows", 3))
    assert done.exit_code == 0
    assert f"found: {part.name} is damaged, and is done again" in done.stderr
    assert len(service.requests) == 7 + 3
    assert paths_of(Path("found")) == [row["path"] for row in whole]


@pytest.mark.parametrize(
    "signals", [[signal.SIGKILL] * 3, [signal.SIGTERM, signal.SIGINT]], ids=["killed", "ended"]
)
def test_killed_and_gone_on_with(
    service: FakeSegmentService, tmp_path: Path, signals: list[signal.Signals]
) -> None:
    """Each picture has one row, and with each end one part at most is asked again."""
    # BATCH_PICTURES=1000 is the full form.
    pictures = int(os.environ.get("BATCH_PICTURES", "100"))
    rows = pictures // 5
    make_album(tmp_path / "album", pictures)
    service.delay_s = 0.02
    words = [*COMMAND, "batch", *the_start("--rows", rows, "--address", service.address)]
    for count, number in enumerate(signals, start=1):
        process = subprocess.Popen([*map(str, words)], cwd=tmp_path, stdout=subprocess.DEVNULL)
        service.wait_for_requests(count * pictures * 3 // 10, timeout=60)
        process.send_signal(number)
        assert process.wait(30) == (-number if number == signal.SIGKILL else 130)
        assert not any(name.startswith(".") for name in names_of(tmp_path / "found"))
    service.delay_s = 0
    subprocess.run([*map(str, words)], cwd=tmp_path, check=True, capture_output=True)
    paths = paths_of(tmp_path / "found")
    assert len(paths) == len(set(paths)) == pictures
    counts = asked(service)
    assert len(counts) == pictures
    assert sum(count - 1 for count in counts.values()) <= len(signals) * rows


def test_what_a_sudden_end_left_behind_is_removed_later(run: Run, album: Path) -> None:
    assert run(*the_start()).exit_code == 0
    old, new = (Path("found", f".diptych-{name * 12}.part") for name in "ab")
    for path in (old, new, Path("found/.diptych-notes.part")):
        path.write_bytes(b"PAR1")
        os.utime(path, (0, 0) if path != new else None)
    assert run(*the_start()).exit_code == 0
    assert [name for name in names_of(Path("found")) if name.startswith(".")] == [
        ".diptych-bbbbbbbbbbbb.part",
        ".diptych-notes.part",
    ]


def test_the_same_pictures_by_another_name_are_the_same_job(
    run: Run, album: Path, service: FakeSegmentService
) -> None:
    assert run(*the_start()).exit_code == 0
    done = run("./album/", "--model", "one", "--out", "found")
    assert (done.exit_code, len(service.requests)) == (0, 7)


# Several shards.


class Silent(Watcher):
    pass


async def ask(service: FakeSegmentService, out: Path, shard: Shard, **more: Any) -> Summary:
    plan = Plan(open_source("album"), open_folder(str(out)), make_options("one"), shard, **more)
    async with AsyncClient(service.address) as client:
        return await run_batch(client, plan, Silent())


async def test_shards_write_into_one_folder_at_a_time(
    service: FakeSegmentService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_album(tmp_path / "album", 40)
    out = tmp_path / "found"
    shards = [ask(service, out, Shard(i, 3), rows=4, coco=True) for i in range(3)]
    summaries = await asyncio.gather(*shards)
    assert sum(one.answered for one in summaries) == 40
    assert min(one.answered for one in summaries) > 5
    assert any(one.joined for one in summaries)
    paths = paths_of(out)
    assert len(paths) == len(set(paths)) == 40
    assert set(asked(service).values()) == {1}
    assert len(COCO(out / "_annotations.json").imgs) == 40
    again = await ask(service, out, Shard(1, 3))
    assert (again.asked, again.before) == (0, summaries[1].answered)


async def test_one_shard_twice_at_a_time_is_one_result(
    service: FakeSegmentService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_album(tmp_path / "album", 12)
    out = tmp_path / "found"
    await asyncio.gather(*(ask(service, out, Shard(), rows=5) for _ in range(2)))
    paths = paths_of(out)
    assert len(paths) == len(set(paths)) == 12


def test_a_shard_of_several_waits_for_the_others_with_coco(run: Run, album: Path) -> None:
    done = run(*the_start("--shard", "0/2", "--coco"))
    assert done.exit_code == 0
    assert "no files of the whole yet, since" in done.stdout
    assert not Path("found/_annotations.json").exists()
    assert run(*the_start("--shard", "1/2", "--coco")).exit_code == 0
    assert len(COCO("found/_annotations.json").imgs) == 7


def test_a_shard_is_told_by_the_path_alone() -> None:
    pictures = [Picture(f"album/{number}.png", "anywhere") for number in range(8)]
    shards = [[Shard(i, 4).has(picture) for i in range(4)].index(True) for picture in pictures]
    assert shards == [3, 0, 0, 2, 3, 1, 0, 3]


@pytest.mark.parametrize("given", ["4/4", "-1/4", "1", "a/b", "1/0", "1/4/2"])
def test_a_shard_that_is_none_is_refused(run: Run, album: Path, given: str) -> None:
    done = run(*the_start(f"--shard={given}"))
    assert done.exit_code == 2
    assert "expected I/N with I from 0 to N-1" in done.stderr


# Folders that are not this job's.


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (["album", "--model", "two"], "of model one, not two"),
        (["album/0", "--model", "one"], "of the pictures of album, not album/0"),
        (["album", "--model", "one", "--box", "1,2,3,4"], "of task instance-segmentation, not"),
        (["album", "--model", "one", "--min-score", "0.5"], "with other prompts or options"),
        (["album", "--model", "one", "--shard", "0/2"], "it was begun in 1 shards, not 2"),
    ],
)
def test_the_folder_of_another_job_is_refused(
    run: Run, album: Path, other: list[str], said: str, service: FakeSegmentService
) -> None:
    assert run(*the_start()).exit_code == 0
    before = {name: Path("found", name).read_bytes() for name in names_of(Path("found"))}
    count = len(service.requests)
    done = run(*other, "--out", "found")
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
    assert {n: Path("found", n).read_bytes() for n in names_of(Path("found"))} == before
    assert len(service.requests) == count


def test_a_folder_with_something_else_is_refused(run: Run, album: Path) -> None:
    Path("found").mkdir()
    Path("found/thesis.tex").write_text("years of work")
    done = run(*the_start())
    assert done.exit_code == 2
    assert "expected an empty folder, or one of this job, got one with 'thesis.tex'" in done.stderr
    assert names_of(Path("found")) == ["thesis.tex"]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"version": 1}', "\x00\xff"])
def test_a_job_that_cannot_be_read_is_refused(run: Run, album: Path, text: str) -> None:
    assert run(*the_start()).exit_code == 0
    Path("found/_diptych-batch.json").write_bytes(text.encode("latin-1"))
    done = run(*the_start())
    assert done.exit_code == 2
    assert "_diptych-batch.json cannot be read: expected the file of a job" in done.stderr


def test_a_source_that_has_changed(run: Run, album: Path, service: FakeSegmentService) -> None:
    assert run(*the_start()).exit_code == 0
    make_album(album, 2, start=7)
    (album / "0" / "0000.png").unlink()
    done = run(*the_start())
    assert done.exit_code == 2
    assert "album has changed (it had 7 pictures, now it has 8)" in " ".join(done.stderr.split())
    done = run(*the_start("--changed", "--shard", "0/2"))
    assert done.exit_code == 0
    assert run(*the_start("--shard", "1/2", "--coco")).exit_code == 0
    assert len(service.requests) == 9
    paths = paths_of(Path("found"))
    assert len(paths) == len(set(paths)) == 9  # the row of the one that is gone stays
    assert len(COCO("found/_annotations.json").imgs) == 9


def test_other_weights_are_another_job(run: Run, album: Path, service: FakeSegmentService) -> None:
    assert run(*the_start()).exit_code == 0
    service.cards["one"].metrics.add(name="images per second", value=3, unit="1/s")
    service.cards["one"].limits.max_prompts = 3
    assert run(*the_start()).exit_code == 0
    service.cards["one"].weights[0].sha256 = bytes(32)
    done = run(*the_start())
    assert done.exit_code == 2
    assert "the card of one has changed: are these other weights?" in " ".join(done.stderr.split())


# A server that does not answer, or not all.


@pytest.mark.parametrize("reason", ["QUEUE_FULL", "RATE_LIMIT", "MODEL_LOADING", "DRAINING"])
def test_a_server_without_room_is_asked_again(
    run: Run, album: Path, service: FakeSegmentService, reason: str
) -> None:
    service.fail(reason, times=9, retry_after_s=0.01)
    done = run(*the_start())
    assert done.exit_code == 0
    assert "7 answered, 0 failed" in done.stdout


@pytest.mark.parametrize("reason", ["DEVICE_MEMORY", "ENGINE_LOST"])
def test_a_picture_that_no_engine_survives_is_asked_three_times(
    run: Run, album: Path, service: FakeSegmentService, reason: str
) -> None:
    service.fail(reason, retry_after_s=0.01)
    done = run(*the_start())
    assert done.exit_code == 3
    assert set(asked(service).values()) == {3}
    assert f"7 failed (7 {reason})" in done.stdout


def test_no_answer_in_time_is_a_row(run: Run, album: Path, service: FakeSegmentService) -> None:
    over = threading.Event()

    def answer(call: FakeCall) -> list[Segment]:
        if call.image == png(3):
            over.wait(30)
        return []

    service.answer_with(answer)
    try:
        done = run(*the_start("--timeout", 1))
    finally:
        over.set()
    assert "6 answered, 1 failed (1 DEADLINE_EXCEEDED)" in done.stdout
    assert asked(service)[png(3)] == 3


def test_a_server_that_has_gone_ends_the_batch(
    run: Run, album: Path, service: FakeSegmentService
) -> None:
    def answer(call: FakeCall) -> list[Segment]:
        if len(service.requests) > 4:
            service.fail("MODEL_LOADING", "still loading", retry_after_s=0.01)
        return []

    service.answer_with(answer)
    done = run(*the_start("--rows", 2, "--jobs", 1, "--patience", 0.05))
    assert done.exit_code == 3
    assert "still loading (MODEL_LOADING" in done.stderr
    assert "found: stopped; 7 pictures, 4 answered" in done.stdout
    service.recover()
    service.answer_with(lambda call: [])
    assert run(*the_start("--rows", 2)).exit_code == 0
    assert len(set(paths_of(Path("found")))) == 7


def test_nobody_there_and_wrong_models_end_it_before_it_begins(
    run: Run, album: Path, service: FakeSegmentService
) -> None:
    done = run("album", "--out", "found", "--model", "three")
    assert done.exit_code == 4
    assert "MODEL_UNKNOWN" in done.stderr
    assert run(*the_start("--address", "127.0.0.1:1")).exit_code == 3
    service.fail("OPTION_INVALID", "grid: too fine")
    done = run(*the_start("--jobs", 1))
    assert done.exit_code == 4
    assert len(service.requests) == 1
    assert paths_of(Path("found")) == []


def test_formats_of_the_whole(run: Run, album: Path) -> None:
    """When the last shard is done, and again later; tables of the folder pass over them."""
    asked = ("--format", "yolo-seg", "--format", "labelme", "--tolerance", 1)
    first = run(*the_start("--shard", "0/2", *asked))
    assert "no files of the whole yet" in first.stdout
    assert not Path("found/_labelme").exists()
    last = run(*the_start("--shard", "1/2", *asked))
    assert last.exit_code == 0, last.output
    pictures = sorted(name.removeprefix("album/") for name in paths_of(Path("found")))
    stems = [Path(name).with_suffix("").as_posix() for name in pictures]
    labelme = sorted(Path("found/_labelme").rglob("*.json"))
    assert len(labelme) == len(stems)
    assert [p.relative_to("found/_labelme").with_suffix("").as_posix() for p in labelme] == stems
    (shape,) = json.loads(labelme[0].read_text())["shapes"]
    assert shape["label"] == "rectangle"
    assert len(list(Path("found/_yolo-seg/labels").rglob("*.txt"))) == len(stems)
    assert "rectangle" in Path("found/_yolo-seg/data.yaml").read_text()
    before = labelme[0].read_bytes()
    labelme[0].unlink()
    assert run(*the_start("--shard", "1/2", *asked)).exit_code == 0
    assert labelme[0].read_bytes() == before
    assert run(*the_start("--tolerance", 1)).exit_code == 2


def test_many_errors_are_not_all_shown(run: Run, tmp_path: Path) -> None:
    Path("bad").mkdir()
    for number in range(25):
        Path(f"bad/{number:02}.png").write_bytes(b"no picture")
    done = run("bad", "--model", "one", "--out", "found")
    lines = done.stderr.splitlines()
    assert len(lines) == 21
    assert lines[-1] == "diptych: more errors are in the results only"
    assert [row["error_code"] for row in rows_of(Path("found"))] == ["IMAGE_UNREADABLE"] * 25


def test_exit_codes(run: Run, album: Path, service: FakeSegmentService) -> None:
    (album / "broken.png").write_bytes(b"no picture")
    assert run(*the_start()).exit_code == 1
    assert run(*the_start("--allow-failed")).exit_code == 0
    Path("bad").mkdir()
    Path("bad/broken.png").write_bytes(b"no picture")
    words = ["bad", "--model", "one", "--out", "bad-found"]
    assert run(*words).exit_code == 4
    assert run(*words).exit_code == 1  # what it was is known by its code alone


async def test_pace_follows_the_server() -> None:
    pace = Pace(8)
    for _ in range(3):  # at the same time: one refusal
        pace.refused()
    assert pace.places == 4
    for _ in range(40):
        pace.answered()
    assert pace.places == 8
    running = most = 0

    async def work() -> None:
        nonlocal running, most
        async with pace:
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(work() for _ in range(30)))
    assert most == 8


# Output that cannot be written.


def test_a_full_disk_is_a_sentence_and_nothing_is_lost(run: Run, album: Path) -> None:
    assert run(*the_start("--rows", 3, "--shard", "0/2")).exit_code == 0
    before = rows_of(Path("found"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))  # as a full disk
    try:
        done = run(*the_start("--rows", 3, "--shard", "1/2"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert done.exit_code == 1
    assert "part-0001-of-0002-000000.parquet cannot be written: File too large" in done.stderr
    assert rows_of(Path("found")) == before
    assert not any(name.startswith(".") for name in names_of(Path("found")))
    assert run(*the_start("--rows", 3, "--shard", "1/2")).exit_code == 0
    assert len(paths_of(Path("found"))) == 7


def test_a_file_in_the_place_of_the_folder(run: Run, album: Path) -> None:
    Path("found").write_text("years of work")
    done = run(*the_start())
    assert done.exit_code == 2
    assert "found is a file: expected a folder" in done.stderr
    assert Path("found").read_text() == "years of work"
    for name, said in (("", "expected a name"), ("-", "not written to stdout")):
        done = run("album", "--model", "one", "--out", name)
        assert (done.exit_code, said in done.stderr) == (2, True)
    done = run("album", "--model", "one", "--out", "/proc/found")
    assert done.exit_code == 1
    assert "/proc" in done.stderr


def test_without_the_extra(run: Run, album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    done = run(*the_start())
    assert done.exit_code == 1
    assert done.stderr == "diptych: batches need an extra: pip install 'diptych[batch]'\n"
    monkeypatch.setitem(sys.modules, "fsspec", None)
    assert "pip install 'diptych[batch]'" in run("s3://b/c", "--out", "found").stderr


def test_the_job_is_written_down(run: Run, album: Path) -> None:
    run(*the_start())
    job = json.loads(Path("found/_diptych-batch.json").read_text())
    assert (job["source"], job["picture_count"], job["model"]) == ("album", 7, "one")
    assert os.path.getsize("found/_diptych-batch.json") < 2000


def test_progress_is_on_a_terminal_alone(service: FakeSegmentService, tmp_path: Path) -> None:
    make_album(tmp_path / "album", 5)
    terminal, other_end = pty.openpty()
    words = [sys.executable, "-m", "diptych.cli", "batch", *map(str, the_start())]
    done = subprocess.run(
        [*words, "--address", service.address],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=other_end,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        timeout=60,
    )
    os.close(other_end)
    shown = b""
    with contextlib.suppress(OSError):  # Linux says EIO at the end of a terminal
        while part := os.read(terminal, 4096):
            shown += part
    os.close(terminal)
    assert done.returncode == 0
    assert done.stdout.startswith(b"found: 5 pictures, 5 answered, 0 failed; ")
    assert b"Segmenting" in shown
    assert b"pictures/s" in shown
    assert re.search(rb"-?\d?:\d\d:", shown)  # the time left


def test_the_columns_are_those_of_the_documentation(
    run: Run, album: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (DOCS / "batch.md").read_text()
    tables = [
        part.split("\n\n")[0] for part in re.split(r"\n\| (?:column|of a segment) ", text)[1:]
    ]
    firsts = [re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE) for table in tables]
    columns, fields = (re.findall(r"`(\w+)`", " ".join(first)) for first in firsts)
    assert columns == schema().names
    assert fields == [field.name for field in schema().field("segments").type.value_type]
    program, *_ = (block for block, page in blocks("py") if page == "docs/batch.md")
    assert run(*the_start()).exit_code == 0
    exec(compile(program, "batch.md", "exec"), {})
    assert (
        len(re.findall(r"^album/\S+ rectangle 0.8\S+ \(30, 40\)$", capsys.readouterr().out, re.M))
        == 7
    )

"""``diptych verify record`` and ``replay``: what moved between two runs, and broken files."""

from __future__ import annotations

import hashlib
import json
import resource
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from stack import Stack

from diptych import Keypoint, Mask, Segment
from diptych.cli import main
from diptych.segment import v1 as pb
from diptych.testing import FakeCall, FakeSegmentService

Run = Callable[..., Result]
SIDE = 100
FOUND = 5  # requests about a picture: instances, boxes, key points, point, box


@pytest.fixture
def service() -> Iterator[FakeSegmentService]:
    with FakeSegmentService(models=("one",)) as service:
        service.answer_with(squares())
        yield service


@pytest.fixture
def run(service: FakeSegmentService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: object, address: str = service.address) -> Result:
        environment = {"DIPTYCH_ADDRESS": address, "COLUMNS": "200"}
        return CliRunner().invoke(main, ["verify", *map(str, arguments)], env=environment)

    return invoke


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, name in enumerate(("a b.png", "c.jpg")):
        pixels = np.full((160, 200, 3), 60 + 80 * index, np.uint8)
        Image.fromarray(pixels).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    return folder


def square(call: FakeCall, missing: int = 0, x: int = 40) -> Mask:
    """100 x 100 pixels, without some of the last row's and the one before."""
    pixels = np.ones(SIDE * SIDE, bool)
    if missing:
        pixels[-missing:] = False
    return Mask.from_crop(pixels.reshape(SIDE, SIDE), x, 30, call.image_size)


def squares(
    missing: int = 0,
    *,
    picture: str | None = None,
    score: float = 0.9,
    label: str = "thing",
    x: int = 40,
) -> Callable[[FakeCall], Sequence[Segment]]:
    """A square for each prompt, or one; only the answer about one picture may be another."""

    def answer(call: FakeCall) -> Sequence[Segment]:
        told = picture is None or hashlib.sha256(call.image).hexdigest() == picture
        mask = square(call, missing, x) if told else square(call)
        plain = Segment(
            score=score if told else 0.9,
            box=mask.box,
            mask=mask,
            label=label if told else "thing",
            category_id=1,
            area=mask.area,
        )
        if call.request.task == pb.Task.TASK_KEYPOINT_DETECTION:
            return [replace(plain, keypoints=(Keypoint("left", 50.0, 60.0, 1.5),))]
        if not call.request.prompts:
            return [plain]
        return [
            replace(plain, prompt_index=index, candidate_index=0)
            for index in range(len(call.request.prompts))
        ]

    return answer


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def drifts(done: Result) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(done.stdout)["drifts"]
    return found


def test_the_same_answers_are_the_same(run: Run, photos: Path, service: FakeSegmentService) -> None:
    done = run("record", "kept", photos)
    assert (done.exit_code, done.stdout) == (0, "kept: 10 answers of 1 models about 2 pictures\n")
    asked = service.requests
    assert [each.task for each in asked[:FOUND]] == [
        pb.Task.TASK_INSTANCE_SEGMENTATION,
        pb.Task.TASK_OBJECT_DETECTION,
        pb.Task.TASK_KEYPOINT_DETECTION,
        pb.Task.TASK_PROMPTED_SEGMENTATION,
        pb.Task.TASK_PROMPTED_SEGMENTATION,
    ]
    assert (asked[3].prompts[0].points[0].x_px, asked[3].prompts[0].points[0].y_px) == (100, 80)
    assert asked[4].prompts[0].box.x_max_px == 150
    done = run("replay", "kept")
    assert done.exit_code == 0, done.output
    assert "10 requests: 10 as recorded, 0 otherwise, 0 could not be compared" in done.stdout
    # The same questions, to the last field.
    again = service.requests[len(asked) :]
    assert [each.prompts for each in again] == [each.prompts for each in asked]
    assert [each.output for each in again] == [each.output for each in asked]
    for word in ("weights_sha256", "software", "diptych.testing", "contract", "the same"):
        assert word in done.stdout
    assert not Path("kept/moved").exists()


@pytest.mark.parametrize(("missing", "code"), [(40, 0), (49, 0), (51, 1), (100, 1)])
def test_a_drift_of_one_percent_is_caught_and_the_picture_named(
    run: Run, photos: Path, service: FakeSegmentService, missing: int, code: int
) -> None:
    assert run("record", "kept", photos, "--task", "instance-segmentation").exit_code == 0
    moved = photos / "a b.png"
    service.answer_with(squares(missing, picture=digest(moved)))
    done = run("replay", "kept", "--json")
    assert done.exit_code == code, done.output
    if not code:
        return
    (drift,) = drifts(done)
    assert drift["picture"] == str(moved)
    assert drift["changes"] == [f"thing at 40,30 (score 0.900): IoU {1 - missing / 1e4:.4f}"]
    drawn = np.asarray(Image.open(str(drift["drawn"])).convert("RGB"))
    assert drawn.shape[1] > 3 * 320
    blue = (drawn == (0x1F, 0x77, 0xB4)).all(axis=2)  # what only the old answer has
    assert blue.sum() == 9 * missing
    assert blue[:, : 2 * drawn.shape[1] // 3].sum() == 0
    text = run("replay", "kept").stdout
    assert "a b.png" in text
    assert "IoU 0.99" in text
    # An answer that is as it was again leaves no old drawing.
    service.answer_with(squares())
    assert run("replay", "kept").exit_code == 0
    assert list(Path("kept/moved").iterdir()) == []


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (squares(score=0.894), "score 0.9000, now 0.8940"),
        (squares(label="other"), "is other now"),
        (squares(x=41), "IoU 0.98"),
        (lambda call: [], "vanished"),
    ],
)
def test_other_scores_labels_and_places(
    run: Run, photos: Path, service: FakeSegmentService, now: Run, said: str
) -> None:
    run("record", "kept", photos / "c.jpg")
    service.answer_with(now)  # type: ignore[arg-type]
    done = run("replay", "kept", "--json")
    assert done.exit_code == 1
    assert len(drifts(done)) == FOUND
    assert all(said in str(each["changes"]) for each in drifts(done)), done.stdout
    assert all(Path(str(each["drawn"])).stat().st_size > 500 for each in drifts(done))


def test_tolerances_can_be_said(run: Run, photos: Path, service: FakeSegmentService) -> None:
    run("record", "kept", photos / "c.jpg")
    service.answer_with(squares(x=41, score=0.88))
    assert run("replay", "kept").exit_code == 1
    done = run("replay", "kept", "--min-iou", "0.9", "--score-tolerance", "0.03")
    assert done.exit_code == 0, done.output


def test_segments_are_paired_by_place_and_class(
    run: Run, photos: Path, service: FakeSegmentService
) -> None:
    def several(order: Sequence[int], first: float = 0.9) -> Callable[[FakeCall], list[Segment]]:
        def answer(call: FakeCall) -> list[Segment]:
            places = [(30, "cat"), (60, "dog"), (60, "cat"), (90, "cat")]
            found = []
            for number in order:
                x, label = places[number]
                mask = square(call, x=x)
                score = first if number == 0 else 0.8
                found.append(Segment(score, mask.box, mask, label, 1, mask.area))
            return found

        return answer

    kept = ("--task", "instance-segmentation")
    service.answer_with(several([0, 1, 2]))
    run("record", "kept", photos / "c.jpg", *kept)
    service.answer_with(several([2, 1, 0]))
    assert run("replay", "kept").exit_code == 0
    service.answer_with(several([3, 2, 1]))
    (drift,) = drifts(run("replay", "kept", "--json"))
    assert drift["changes"] == [
        "cat at 30,30 (score 0.900) vanished",
        "cat at 90,30 (score 0.800) appeared",
    ]


def test_copies_outlive_the_pictures(run: Run, photos: Path) -> None:
    assert run("record", "kept", photos, "--copy").exit_code == 0
    for path in photos.iterdir():
        path.unlink()
    assert run("replay", "kept").exit_code == 0


def test_missing_and_changed_pictures_are_named(
    run: Run, photos: Path, service: FakeSegmentService
) -> None:
    run("record", "kept", photos, "--task", "object-detection")
    was = digest(photos / "c.jpg")
    (photos / "a b.png").unlink()
    Image.new("RGB", (200, 160), "red").save(photos / "c.jpg")
    before = len(service.requests)
    done = run("replay", "kept", "--json")
    assert done.exit_code == 1
    missing, changed = drifts(done)
    assert missing["changes"] == [f"{photos.resolve()}/a b.png is not there"]
    assert f"c.jpg is another file than it was: expected SHA-256 {was}, got " in str(
        changed["changes"]
    )
    assert [missing["compared"], changed["compared"]] == [False, False]
    assert len(service.requests) == before  # nothing is sent of a file that is not the picture
    assert "0 otherwise, 2 could not be compared" in run("replay", "kept").stdout


def test_one_that_is_refused_now_is_named(
    run: Run, photos: Path, service: FakeSegmentService
) -> None:
    run("record", "kept", photos, "--task", "object-detection")
    service.fail("IMAGE_UNREADABLE", "no more", times=1)
    done = run("replay", "kept", "--json")
    assert done.exit_code == 1
    (drift,) = drifts(done)
    assert (drift["picture"], drift["changes"]) == (f"{photos}/a b.png", ["no more"])


def test_pictures_that_cannot_be_recorded_are_left_out(
    run: Run, photos: Path, service: FakeSegmentService
) -> None:
    (photos / "broken.png").write_bytes(b"nothing")
    service.fail("IMAGE_SHAPE", "not this one", times=1)
    done = run("record", "kept", photos)
    assert done.exit_code == 1
    assert "9 answers of 1 models about 3 pictures; 2 could not be had" in done.stdout
    assert f"{photos}/a b.png, one, instances: not this one" in done.stderr
    assert f"{photos}/broken.png: " in done.stderr
    assert run("replay", "kept").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["record", "kept", "photos", "--model", "nobody"], 4, "MODEL_UNKNOWN"),
        (["record", "kept", "nothing"], 2, "does not exist"),
        (["record", "kept", "empty"], 2, "no pictures in this folder"),
        (["record", "c.jpg", "photos"], 2, "is a file"),
        (["record", "there", "photos"], 1, "is there already"),
        (["replay", "nothing"], 4, "expected a folder that `diptych verify record` wrote"),
        (["replay", "there", "--model", "nobody"], 4, "MODEL_UNKNOWN"),
        (["--address", "x:1", "replay", "there"], 2, "--address: expected after 'replay'"),
        (["--published", "replay", "there"], 2, "--published: expected after 'replay'"),
    ],
)
def test_what_cannot_be_done(
    run: Run, photos: Path, arguments: list[str], code: int, said: str
) -> None:
    Path("empty").mkdir()
    Path("c.jpg").write_bytes(b"")
    assert run("record", "there", photos / "c.jpg").exit_code == 0
    done = run(*arguments)
    assert (done.exit_code, said in done.stderr) == (code, True), done.output
    assert not Path("kept/record.jsonl").exists()


def test_a_server_that_is_not_there_or_does_not_serve(
    run: Run, photos: Path, service: FakeSegmentService
) -> None:
    def nowhere(*words: object) -> Result:
        return run(*words, "--timeout", 2, address="127.0.0.1:9")

    assert nowhere("record", "kept", photos).exit_code == 3
    assert run("record", "kept", photos).exit_code == 0
    assert nowhere("replay", "kept").exit_code == 3
    service.fail("MODEL_LOADING")
    assert run("replay", "kept", "--timeout", 2).exit_code == 3
    assert run("record", "other", photos, "--copy", "--timeout", 2).exit_code == 3
    assert not any(path.is_file() for path in Path("other").rglob("*"))


def test_another_model_in_place_of_the_recorded_one(run: Run, photos: Path) -> None:
    run("record", "kept", photos)
    with FakeSegmentService(models=("two",)) as other:
        other.answer_with(squares(100))
        assert run("replay", "kept", address=other.address).exit_code == 4
        done = run("replay", "kept", "--model", "two", "--json", address=other.address)
    assert done.exit_code == 1
    told = {row["model_id"] for row in json.loads(done.stdout)["provenance"]}
    assert told == {"", "one", "two"}


def test_a_record_of_two_models_names_no_other(photos: Path, run: Run) -> None:
    with FakeSegmentService(models=("one", "two")) as both:
        assert run("record", "kept", photos, address=both.address).exit_code == 0
        assert len(Path("kept/record.jsonl").read_text().splitlines()) == 22
        done = run("replay", "kept", "--model", "one", address=both.address)
        assert (done.exit_code, "several models, one, two" in done.stderr) == (4, True)
        assert run("replay", "kept", address=both.address).exit_code == 0


HOSTILE = {
    "cut in a line": (lambda text: text[:-20], "it is cut off in this line, after"),
    "cut after a line": (lambda text: text[: text.rindex("\n", 0, -1) + 1], "last line is missing"),
    "one answer lost": (
        lambda text: "\n".join([*text.split("\n")[:3], *text.split("\n")[4:]]),
        "line 11: end: expected the number of answers before it, 9, got 10",
    ),
    "more after the end": (lambda text: text + "{}\n", "expected the end of the file"),
    "empty": (lambda text: "", "its last line is missing"),
    "binary": (lambda text: "\x00\xff\n", "line 1: expected a JSON object"),
    "nested": (lambda text: "[" * 100_000 + "\n", "line 1: expected a JSON object"),
    "a list": (lambda text: "[1]\n", "line 1: expected a JSON object, got [1]"),
    "later": (
        lambda text: text.replace('"version":1', '"version":2', 1),
        "version: expected 1, which this diptych-eval reads, got 2",
    ),
    "another format": (lambda text: text.replace("diptych-verify", "x", 1), "no record of"),
    "NaN": (lambda text: text.replace('"score":', '"score":NaN,"x":', 1), "NaN is no number"),
    "huge": (
        lambda text: text.replace('"score":', '"score":1e400,"x":', 1),
        "score: expected a nu",
    ),
    "no size": (lambda text: text.replace('"height":160', '"height":-1', 1), "whole number from 0"),
    "a huge size": (
        lambda text: text.replace('"height":160', '"height":99999999', 1),
        "expected the size of a picture, got '200x99999999'",
    ),
    "another mask": (
        lambda text: text.replace('"counts":"', '"counts":"0', 1),
        "no mask of 200x160",
    ),
    "another size": (lambda text: text.replace("[160,200]", "[160,201]", 1), "that of the picture"),
    "a task": (
        lambda text: text.replace("object-detection", "x"),
        "a task that this version knows",
    ),
    "no answer": (lambda text: text.replace('"answer"', '"other"'), "answer: expected a JSON obje"),
    "prompts": (lambda text: text.replace('"points":[[', '"points":[[1,'), "expected 3 numbers"),
    "outside": (
        lambda text: text.replace('"path":"', '"copy":"../../'),
        "copy: expected the name of a file in pictures/, got '../..",
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_record_that_is_wrong_asks_nothing(
    run: Run, photos: Path, service: FakeSegmentService, what: str
) -> None:
    change, said = HOSTILE[what]
    run("record", "kept", photos)
    asked = len(service.requests)
    path = Path("kept/record.jsonl")
    text = path.read_text()
    assert change(text) != text
    path.write_bytes(change(text).encode("latin-1"))
    done = run("replay", "kept")
    assert (done.exit_code, said in done.stderr) == (4, True), done.output
    assert len(done.stderr.splitlines()) == 1
    assert len(done.stderr) < 500
    assert len(service.requests) == asked


def test_a_place_that_never_ends_is_not_read(run: Run, photos: Path) -> None:
    run("record", "kept", photos, "--task", "object-detection")
    path = Path("kept/record.jsonl")
    path.write_text(path.read_text().replace(f"{photos.resolve()}/c.jpg", "/dev/zero"))
    (drift,) = drifts(run("replay", "kept", "--json"))
    assert drift["changes"] == ["/dev/zero is no regular file"]


def test_no_room_leaves_nothing_behind(run: Run, photos: Path) -> None:
    run("record", "kept", photos)
    before = Path("kept/record.jsonl").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, hard))
    try:
        done = run("record", "kept", photos, "--overwrite")
        copied = run("record", "other", photos, "--copy")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert done.exit_code == copied.exit_code == 1
    assert done.stderr == "diptych: kept/record.jsonl cannot be written: File too large\n"
    assert "cannot be written: File too large" in copied.stderr
    assert [path.name for path in Path("kept").iterdir()] == ["record.jsonl"]
    assert Path("kept/record.jsonl").read_bytes() == before
    assert not any(path.is_file() for path in Path("other").rglob("*"))


def test_a_record_is_replaced_only_if_that_is_said(run: Run, photos: Path) -> None:
    assert run("record", "kept", photos).exit_code == 0
    assert run("record", "kept", photos).exit_code == 1
    assert run("record", "kept", photos / "c.jpg", "--overwrite").exit_code == 0
    assert len(Path("kept/record.jsonl").read_text().splitlines()) == 2 + FOUND


def test_real_services_give_the_same_twice_and_a_planted_drift_is_caught(
    stack: Stack, tmp_path: Path
) -> None:
    scene = Path(__file__).parents[2] / "assets" / "scenes" / "0.png"

    def real(*words: object) -> Result:
        environment = {"DIPTYCH_ADDRESS": stack.address("gateway"), "COLUMNS": "200"}
        arguments = ["verify", *map(str, words), "--timeout", "120"]
        return CliRunner().invoke(main, arguments, env=environment)

    kept = tmp_path / "kept"
    tasks = [("--task", each) for each in ("instance-segmentation", "prompted-segmentation")]
    models = [("--model", each) for each in ("mask-rcnn", "sam-2")]
    words = [word for pair in (*tasks, *models) for word in pair]
    done = real("record", kept, scene, *words, "--point", "120,120", "--box", "60,60,180,180")
    assert done.exit_code == 0, done.output
    again = real("replay", kept)
    assert again.exit_code == 0, again.output
    assert "0 otherwise" in again.stdout
    # The record says a mask that has a pixel in two hundred more than the answer.
    path = kept / "record.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    (entry,) = [
        line
        for line in lines[1:-1]
        if line["model_id"] == "sam-2" and line["request"]["name"] == "box"
    ]
    (segment,) = entry["answer"]["segments"]
    size = tuple(segment["segmentation"]["size"])
    pixels = Mask.from_coco(segment["segmentation"]["counts"], size).to_array()
    rows, columns = np.nonzero(pixels)
    lost = len(rows) // 100
    pixels[rows[:lost], columns[:lost]] = False
    segment["segmentation"]["counts"] = Mask.from_array(pixels).to_coco().decode()
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    drifted = real("replay", kept, "--json")
    assert drifted.exit_code == 1
    (drift,) = drifts(drifted)
    assert (drift["picture"], drift["model_id"], drift["request"]) == (str(scene), "sam-2", "box")
    assert "IoU 0.99" in str(drift["changes"])

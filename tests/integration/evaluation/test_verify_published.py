"""``diptych verify --published``: against a server that says what was published, or something else;
with demo weights, which it refuses to judge; with the official ones, where they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from stack import Stack, free_port, wait_serving

from diptych import LowResLogits, Mask, Segment, VideoObject
from diptych.cli import main
from diptych.segment import v1 as pb
from diptych.testing import FakeCall, FakeSegmentService, FakeVideoFrame
from diptych_eval.verify.published import Question, read_published
from diptych_runtime.weights import is_stored
from diptych_sam2.weights.official import OFFICIAL

Run = Callable[..., Result]
KNOWN = read_published()
OTHER_WEIGHTS = 6
ASKED = [question for question in KNOWN.questions if not question.single_mask]
LINES = sum(len(each.logits) + len(each.ious) + each.is_clip for each in ASKED)


def invoke(address: str, *arguments: object) -> Result:
    environment = {"DIPTYCH_ADDRESS": address, "COLUMNS": "200"}
    return CliRunner().invoke(main, ["verify", *map(str, arguments)], env=environment)


@pytest.fixture
def official() -> Iterator[FakeSegmentService]:
    """A server whose card and answers are those that were published."""
    with FakeSegmentService(models=("sam-2", "mask-rcnn")) as service:
        weights = service.cards["sam-2"].weights[0]
        weights.name, weights.url = KNOWN.weights, f"https://example.org/{KNOWN.file}"
        service.answer_with(as_published(), model="sam-2")
        service.answer_video_with(off_the_corner, model="sam-2")
        yield service


def question_of(call: FakeCall) -> Question:
    """The published question that a request asks."""
    (prompt,) = call.request.prompts
    points = [(point.x_px, point.y_px, point.label == 1) for point in prompt.points]
    box = (prompt.box.x_min_px, prompt.box.y_min_px, prompt.box.x_max_px, prompt.box.y_max_px)
    digest = hashlib.sha256(call.image).hexdigest()
    for each in ASKED:
        asked = each.prompt
        if (
            KNOWN.pictures[each.pictures[0]] == digest
            and [(point.x, point.y, point.positive) for point in asked.points] == points
            and (asked.box is None or asked.box.xyxy == box)
            and (asked.box is not None) == prompt.HasField("box")
        ):
            return each
    raise AssertionError(f"nobody published this: {prompt}")


def as_published(iou: float = 0.0, logit: float = 1.0) -> Callable[[FakeCall], Sequence[Segment]]:
    """Answers whose predicted IoU is off by one figure, and whose logits by a factor."""

    def answer(call: FakeCall) -> Sequence[Segment]:
        question = question_of(call)
        masked = call.request.prompts[0].HasField("mask")
        assert masked is (question.after is not None) or question.after is None
        corner = np.full((4, 4), question.logits[0] * logit, np.float32)
        mask = Mask.from_crop(np.ones((20, 30)), 100, 90, call.image_size)
        return [
            Segment(
                score=min(1.0, score + iou),
                box=mask.box,
                mask=mask,
                area=mask.area,
                prompt_index=0,
                candidate_index=number,
                low_res_logits=LowResLogits.from_numpy(corner),
            )
            for number, score in enumerate(question.ious or (0.9,))
        ]

    return answer


def off_the_corner(frame: FakeVideoFrame) -> Sequence[VideoObject]:
    mask = Mask.from_crop(np.ones((20, 30)), 100, 90, frame.image_size)
    segment = Segment(0.9, box=mask.box, mask=mask, area=mask.area)
    return [VideoObject(each, segment, 0.9) for each in frame.prompts]


def test_the_pictures_are_those_that_were_published() -> None:
    folder = resources.files("diptych_eval.verify") / "pictures"
    files = {each.name: each.read_bytes() for each in folder.iterdir()}
    assert {
        name: hashlib.sha256(data).hexdigest()
        for name, data in files.items()
        if name.endswith(".jpg")
    } == dict(KNOWN.pictures)
    assert b"Apache License" in files["LICENSE"]
    told = files["README.md"].decode()
    assert all(f"`{name}`" in told and digest in told for name, digest in KNOWN.pictures.items())
    assert {name for each in KNOWN.questions for name in each.pictures} == set(KNOWN.pictures)
    assert sum(map(len, files.values())) < 1_000_000


def test_the_weights_are_those_that_the_service_downloads() -> None:
    (weights,) = [each for each in OFFICIAL if each.name == KNOWN.weights]
    assert (weights.sha256, weights.url.rpartition("/")[2]) == (KNOWN.sha256, KNOWN.file)


def test_answers_as_published_are_said_to_be_the_same(official: FakeSegmentService) -> None:
    done = invoke(official.address, "--published")
    assert done.exit_code == 0, done.output
    assert f"{LINES} same, 0 different, 3 not asked" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines() if line.strip().startswith("truck")]
    assert rows[0][:4] == ["truck.jpg:", "point", "(500,", "375)"]
    assert rows[0][-4:] == ["0.955", "0.955", "+0.000", "same"]
    assert "huggingface/transformers" in done.stdout
    # The second question goes with the logits of the first answer.
    corrected = [each for each in official.requests if each.prompts[0].HasField("mask")]
    assert len(corrected) == 2
    assert all(each.prompts[0].mask.HasField("low_res_logits") for each in corrected)


@pytest.mark.parametrize(
    ("iou", "logit", "different"),
    [(-0.019, 1.9, 0), (-0.021, 1.0, 14), (0.0, 2.1, 16), (0.0, 0.45, 16), (0.0, -1.0, 16)],
)
def test_answers_that_differ_are_counted_and_fail(
    official: FakeSegmentService, iou: float, logit: float, different: int
) -> None:
    official.answer_with(as_published(iou, logit), model="sam-2")
    done = invoke(official.address, "--published", "--json")
    lines = json.loads(done.stdout)["lines"]
    wrong = [line for line in lines if line["verdict"] == "different"]
    assert (done.exit_code, len(wrong)) == (int(different > 0), different)
    if iou < -0.02:
        assert all(abs(line["difference"] - iou) < 1e-5 for line in wrong)


def test_a_clip_whose_corner_is_the_objects_differs(official: FakeSegmentService) -> None:
    def on_the_corner(frame: FakeVideoFrame) -> Sequence[VideoObject]:
        if not frame.prompts:
            return []
        (found,) = off_the_corner(frame)
        mask = Mask.from_crop(np.ones((20, 30)), 0, 0, frame.image_size)
        hidden = replace(found, segment=Segment(0.0))
        return [(found, replace(found, segment=Segment(0.9, mask=mask)), hidden)[frame.frame_index]]

    official.answer_video_with(on_the_corner, model="sam-2")
    done = invoke(official.address, "--published", "--json")
    assert done.exit_code == 1
    notes = [
        line["note"] for line in json.loads(done.stdout)["lines"] if line["verdict"] == "different"
    ]
    assert notes == ["the corner is the object's", "the object is hidden"] * 4


def test_fewer_candidates_than_published_differ(official: FakeSegmentService) -> None:
    official.answer_with(lambda call: as_published()(call)[:1], model="sam-2")
    done = invoke(official.address, "--published")
    assert done.exit_code == 1
    assert "different (there are only 1 candidates)" in done.stdout


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("demo", "these are demo weights"),
        ("sam2.1-hiera-small", "these are other weights"),
        # A file of that name that was not downloaded as what was published.
        ("sam2.1-hiera-tiny", "these are other weights"),
    ],
)
def test_other_weights_are_not_judged(official: FakeSegmentService, name: str, said: str) -> None:
    weights = official.cards["sam-2"].weights[0]
    weights.name, weights.url = name, ""
    done = invoke(official.address, "--published")
    assert (done.exit_code, done.stdout) == (OTHER_WEIGHTS, "")
    assert f"sam-2 has {name} (sha256 {weights.sha256.hex()}): {said}; " in done.stderr
    assert f"belong to the official sam2.1-hiera-tiny ({KNOWN.file}, sha256 7402e0d8" in done.stderr
    assert official.requests == ()
    # Asked all the same: the same answers are the same whatever their weights are called.
    assert invoke(official.address, "--published", "--anyway").exit_code == 0


def test_the_published_file_itself_is_known_by_its_digest(official: FakeSegmentService) -> None:
    weights = official.cards["sam-2"].weights[0]
    weights.name, weights.url, weights.sha256 = "mine", "", bytes.fromhex(KNOWN.sha256)
    assert invoke(official.address, "--published").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--published", "--model", "mask-rcnn"], OTHER_WEIGHTS, "mask-rcnn has fake"),
        (["--published", "--model", "nobody"], 4, "MODEL_UNKNOWN"),
        ([], 2, "expected --published"),
    ],
)
def test_what_cannot_be_asked(
    official: FakeSegmentService, arguments: list[str], code: int, said: str
) -> None:
    done = invoke(official.address, *arguments)
    assert (done.exit_code, said in done.stderr) == (code, True), done.output


def test_nobody_there_and_nobody_serving(official: FakeSegmentService) -> None:
    assert invoke("127.0.0.1:9", "--published", "--timeout", "2").exit_code == 3
    official.fail("MODEL_LOADING", model="sam-2")
    assert invoke(official.address, "--published", "--timeout", "2").exit_code == 3


def test_demo_weights_of_the_real_service(stack: Stack) -> None:
    done = invoke(stack.address("gateway"), "--published")
    assert done.exit_code == OTHER_WEIGHTS
    assert "these are demo weights" in done.stderr
    done = invoke(stack.address("gateway"), "--published", "--anyway", "--json", "--timeout", 120)
    assert done.exit_code == 1
    lines = json.loads(done.stdout)["lines"]
    assert len(lines) == LINES + 3
    assert all(-32 <= line["measured"] <= 32 for line in lines if line["measured"] is not None)


@pytest.mark.official_weights
def test_official_weights_answer_as_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (weights,) = [each for each in OFFICIAL if each.name == KNOWN.weights]
    if not is_stored(weights):
        pytest.skip(f"needs: diptych-sam-2 pull {weights.name}")
    monkeypatch.setenv("DIPTYCH_SAM_2_WEIGHTS", weights.name)
    service = Stack({"sam-2": free_port()}, tmp_path, models=("sam-2",))
    try:
        service.start("sam-2")
        wait_serving(service.address("sam-2"))
        done = invoke(service.address("sam-2"), "--published", "--timeout", 300)
    finally:
        service.stop()
    assert done.exit_code == 0, done.output


def test_requests_hold_one_prompt_of_one_object(official: FakeSegmentService) -> None:
    invoke(official.address, "--published")
    assert all(len(each.prompts) == 1 for each in official.requests)
    assert all(each.task == pb.Task.TASK_PROMPTED_SEGMENTATION for each in official.requests)
    points = [each for each in official.video_requests if each.WhichOneof("event") == "prompt"]
    assert [bool(each.prompt.prompt.HasField("box")) for each in points] == [False] * 2 + [True] * 2

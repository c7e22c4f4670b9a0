"""The JSON of the command line, HTTP and the package is one: real answers of each, one schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
from click.testing import CliRunner
from documentation import DOCS
from PIL import Image
from socket_talk import socket_talk
from stack import Stack

from diptych import (
    AutomaticOptions,
    Client,
    Comparison,
    MaskEncoding,
    OutputOptions,
    SegmentResult,
    Task,
    Timings,
    VideoFrameResult,
    read_video,
)
from diptych.cli import main
from diptych_gateway.http.description.openapi import describe

SCHEMA = json.loads((DOCS / "schemas" / "answers-1.json").read_text())
SCENE = Path(__file__).parents[1] / "assets" / "scenes" / "0.png"
BOX, POINT = (180, 60, 250, 130), (210, 90)
GRID = AutomaticOptions(points_per_side=4, pred_iou_thresh=0.5, stability_score_thresh=0.5)
EVERYTHING = OutputOptions(all_candidates=True, low_res_logits=True)
Ways = dict[str, tuple[dict[str, Any], list[str] | None, dict[str, Any]]]
TASKS: Ways = {
    "instances": ({"model": "mask-rcnn"}, [], {"model": "mask-rcnn"}),
    "boxes": (
        {"model": "mask-rcnn", "task": Task.OBJECT_DETECTION},
        ["--task", "object-detection"],
        {"model": "mask-rcnn", "task": "object-detection"},
    ),
    "key points": (
        {"model": "mask-rcnn", "task": Task.KEYPOINT_DETECTION},
        ["--task", "keypoint-detection"],
        {"model": "mask-rcnn", "task": "keypoint-detection"},
    ),
    "prompts": (
        {"model": "sam-2", "points": [POINT], "output": OutputOptions(all_candidates=True)},
        ["--point", f"{POINT[0]},{POINT[1]}", "--all-candidates"],
        {"model": "sam-2", "prompts": [{"points": [POINT]}], "output": {"all_candidates": True}},
    ),
    "logits": (
        {"model": "sam-2", "boxes": [BOX], "output": EVERYTHING},
        None,  # the command line does not ask for logits
        {
            "model": "sam-2",
            "prompts": [{"box": BOX}],
            "output": {"all_candidates": True, "low_res_logits": True},
        },
    ),
    "automatic": (
        {"model": "sam-2", "automatic": GRID},
        [
            *("--points-per-side", "4", "--pred-iou-thresh", "0.5"),
            *("--stability-score-thresh", "0.5"),
        ],
        {
            "model": "sam-2",
            "automatic": {
                "points_per_side": 4,
                "pred_iou_thresh": 0.5,
                "stability_score_thresh": 0.5,
            },
        },
    ),
}
"""By task: arguments of the package, of the command line, and options of HTTP."""

Ask = Callable[..., Any]


def _closed(schema: Any) -> Any:
    """The schema without room for fields that it does not name."""
    shut = {"additionalProperties": False}
    return {**schema, **shut} if "properties" in schema else schema


CLOSED = {**SCHEMA, "$defs": {name: _closed(part) for name, part in SCHEMA["$defs"].items()}}


def check(document: Any, name: str | None = None) -> None:
    """As the published schema says, and with no field that it does not name."""
    jsonschema_rs.Draft202012Validator(SCHEMA).validate(document)
    one = {"$ref": f"#/$defs/{name}", "$defs": CLOSED["$defs"]} if name else CLOSED
    jsonschema_rs.Draft202012Validator(one).validate(document)


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene with an object in its middle, too small to be sent by digest."""
    path = tmp_path_factory.mktemp("json") / "scene.jpg"
    with Image.open(SCENE) as scene:
        scene.convert("RGB").save(path, quality=90)
    return path


@pytest.fixture
def command(stack: Stack) -> Ask:
    """What a command prints."""

    def run(*arguments: Any, code: int = 0) -> str:
        address = ["--address", stack.address("gateway"), "--timeout", "60"]
        done = CliRunner().invoke(main, [*map(str, arguments), *address])
        assert done.exit_code == code, done.stderr
        return done.stdout

    return run


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{stack.address('http')}", timeout=60) as client:
        yield client


def asked(http: httpx.Client, path: str, picture: Path, options: dict[str, Any]) -> str:
    form = {"files": {"image": picture.read_bytes()}, "data": {"options": json.dumps(options)}}
    answer = http.post(path, **form)
    assert answer.status_code == 200, answer.text
    return answer.text


def the_same(result: SegmentResult) -> SegmentResult:
    """Without what every call has anew."""
    own = tuple(replace(each, image_cache_hit=False) for each in result.provenance)
    return replace(result, timings=Timings(), request_id="", provenance=own)


@pytest.mark.parametrize("task", TASKS)
def test_an_answer_is_one_document_three_ways(
    task: str, client: Client, command: Ask, http: httpx.Client, picture: Path
) -> None:
    arguments, words, options = TASKS[task]
    result = client.segment(picture, **arguments)
    assert result.segments
    texts = {"sdk": result.to_json(), "http": asked(http, "/api/segment", picture, options)}
    if words is not None:
        texts["cli"] = command("segment", picture, "--model", result.model_id, "--json", *words)
    documents = {way: json.loads(text) for way, text in texts.items()}
    for document in documents.values():
        check(document, "Result")
    named = {way: document.pop("source", None) for way, document in documents.items()}
    assert named == {way: None if way == "http" else str(picture) for way in texts}
    first, *others = ([*found, *map(set, found["segments"])] for found in documents.values())
    assert all(other == first for other in others)
    read = {way: SegmentResult.from_json(text) for way, text in texts.items()}
    assert read["sdk"] == result
    assert read["sdk"].source == str(picture)
    assert all(the_same(one) == the_same(result) for one in read.values())


@pytest.mark.parametrize("encoding", MaskEncoding)
def test_masks_in_every_encoding_are_read_as_the_package_has_them(
    encoding: MaskEncoding, client: Client, http: httpx.Client, picture: Path
) -> None:
    result = client.segment(
        picture, model="mask-rcnn", output=OutputOptions(mask_encoding=encoding)
    )
    options = {"model": "mask-rcnn", "output": {"mask_encoding": encoding.value}}
    text = asked(http, "/api/segment", picture, options)
    check(json.loads(text), "Result")
    assert the_same(SegmentResult.from_json(text)) == the_same(result)
    assert SegmentResult.from_json(result.to_json()) == result


def without_times(comparison: Comparison) -> Any:
    outcomes = [
        (o.model_id, o.result and the_same(o.result), o.error and (type(o.error), o.error.reason))
        for o in comparison
    ]
    return outcomes, comparison.agreements


def test_a_comparison_is_one_document_three_ways(
    client: Client, command: Ask, http: httpx.Client, picture: Path
) -> None:
    models = ("mask-rcnn", "sam-2", "sam-3")
    comparison = client.compare(picture, models=models, boxes=[BOX])
    options = {"models": models, "prompts": [{"box": BOX}]}
    words = [word for model in models for word in ("--model", model)]
    box = ",".join(map(str, BOX))
    texts = [
        comparison.to_json(),
        command("compare", picture, *words, "--box", box, "--json", code=1),  # sam-3 failed
        asked(http, "/api/compare", picture, options),
    ]
    for text in texts:
        check(json.loads(text), "Comparison")
        read = Comparison.from_json(text)
        assert without_times(read) == without_times(comparison)
    assert comparison["sam-3"].error is not None
    assert len(comparison.agreements) == 1
    stream = asked(http, "/api/compare/stream", picture, options)
    events = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: ")]
    whole = {"version": 1, "results": events[:-1], "agreements": events[-1]}
    check(whole, "Comparison")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two frames of the sample, as files."""
    folder = tmp_path_factory.mktemp("clip")
    sample = DOCS.parent / "client" / "src" / "diptych" / "samples" / "clip.mp4"
    for frame in islice(read_video(sample), 2):
        Image.fromarray(frame.pixels).save(folder / f"{frame.index}.png")
    return folder


async def test_a_frame_of_a_clip_is_one_document_three_ways(
    client: Client, command: Ask, stack: Stack, clip: Path
) -> None:
    files, box = sorted(clip.iterdir()), (161, 37, 208, 84)
    words = ("--model", "sam-2", "--box", f"0:{','.join(map(str, box))}", "--json")
    lines = command("video", clip, *words).splitlines()
    frames, texts = [], []
    with client.video(model="sam-2") as session:
        session.send(files[0])
        next(session)
        session.prompt(1, box=box)
        frames.append(next(session))
        session.send(files[1])
        frames.append(next(session))
    async with socket_talk(stack.ports["http"]) as talk:
        await talk.start("sam-2")
        await talk.frame(0, files[0].read_bytes())
        await talk.read()
        await talk.say("prompt", object_id=1, frame_index=0, box=box)
        texts.append(await talk.read())
        await talk.frame(1, files[1].read_bytes())
        texts.append(await talk.read())
    for line, frame, document in zip(lines, frames, texts, strict=True):
        assert isinstance(frame, VideoFrameResult)
        assert VideoFrameResult.from_json(frame.to_json()) == frame
        assert document.pop("event") == "frame"
        assert document.pop("in_reply_to")
        for text in (line, frame.to_json(), json.dumps(document)):
            check(json.loads(text), "VideoFrame")
            assert replace(VideoFrameResult.from_json(text), timings=frame.timings) == frame
        assert frame.objects[0].segment.mask


def test_what_has_no_answer_says_why_in_its_place(
    command: Ask, picture: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"broken")
    (tmp_path / "b.jpg").write_bytes(picture.read_bytes())
    lines = command("segment", tmp_path, "--model", "mask-rcnn", "--json", code=1).splitlines()
    failure, found = map(json.loads, lines)
    check(failure, "Failure")
    check(found, "Result")
    with pytest.raises(ValueError, match=r"got why there is none: InvalidRequestError: .*image"):
        SegmentResult.from_json(lines[0])
    assert SegmentResult.from_json(lines[1]).source == str(tmp_path / "b.jpg")


def test_cards_are_one_document(client: Client, command: Ask, http: httpx.Client) -> None:
    printed, answered = json.loads(command("cards", "--json")), http.get("/api/models").json()
    for models in (printed, answered):
        check(models)
    assert [model["card"] for model in printed] == [model["card"] for model in answered]


def test_the_published_schema_is_that_of_the_openapi_description() -> None:
    jsonschema_rs.meta.validate(SCHEMA)
    text = json.dumps(describe([])["components"]["schemas"])
    served = json.loads(text.replace("#/components/schemas/", "#/$defs/"))
    # Names that a request's options have too are other ones there.
    served = {name.removesuffix("-Output"): served[name] for name in sorted(served)}
    published = {n: part for n, part in SCHEMA["$defs"].items() if "properties" in part}
    del published["Failure"]
    same = json.dumps({name: served[name] for name in published}).replace("-Output", "")
    assert published == json.loads(same)

"""The whole product over real gRPC: gateway, both real engines, demo weights."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from documentation import blocks
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from PIL import Image
from processes import another_child, children
from service_list import MODELS
from stack import Stack, wait_cards, wait_serving

import diptych
from diptych import AutomaticOptions, Client, Mask, MaskEncoding, OutputOptions, Prompt, Task
from diptych.segment import v1 as pb
from diptych_runtime.runner import Runner

SCENES = Path(__file__).parents[1] / "assets" / "scenes"
BEFORE_PROGRAM = Path(__file__).parents[1] / "support" / "client_of_before.py"
BEFORE = Path(__file__).parents[1] / "assets" / "before"
EVERYTHING = OutputOptions(all_candidates=True, low_res_logits=True)
pytestmark = pytest.mark.timeout(240)


def truth(number: int) -> dict[str, Mask]:
    """Masks of one sample scene by object, named ``index:class``."""
    labels = np.asarray(Image.open(SCENES / f"{number}-labels.png"))
    names = [o["class"] for o in json.loads((SCENES / f"{number}.json").read_text())["objects"]]
    return {f"{i}:{name}": Mask.from_array(labels == i) for i, name in enumerate(names, 1)}


def test_both_models_find_the_objects_of_the_scenes(client: Client) -> None:
    seen: dict[str, list[float]] = {"mask-rcnn": [], "sam-2": []}
    matches = 0
    for number in range(4):
        picture = SCENES / f"{number}.png"
        comparison = client.compare(picture, task=Task.INSTANCE_SEGMENTATION, timeout=120)
        assert [o.model_id for o in comparison.results] == list(seen)
        for outcome in comparison.results:
            assert outcome.error is None
            found = [s.mask for s in outcome.result.segments]
            for mask in truth(number).values():
                seen[outcome.model_id].append(max((m.iou(mask) for m in found), default=0))
        (agreement,) = comparison.agreements
        matches += len(agreement.matches)
        assert agreement.mean_match_iou > 0.7
    for model, ious in seen.items():
        assert np.mean(np.array(ious) >= 0.5) >= 0.75, (model, ious)
    assert matches >= 0.6 * len(seen["sam-2"])


def test_labels_come_from_mask_rcnn_only(client: Client) -> None:
    objects = truth(0)
    labelled = client.segment(SCENES / "0.png", model="mask-rcnn")
    for segment in labelled.segments:
        name, mask = max(objects.items(), key=lambda item: item[1].iou(segment.mask))
        if mask.iou(segment.mask) > 0.7 and segment.score > 0.9:
            assert segment.label == name.partition(":")[2]
    assert all(not s.label for s in client.segment(SCENES / "0.png", model="sam-2").segments)


@pytest.mark.parametrize("model", ["mask-rcnn", "sam-2"])
def test_a_box_prompt_cuts_out_the_object(client: Client, model: str) -> None:
    for name, mask in truth(1).items():
        assert mask.box is not None
        answer = client.segment(SCENES / "1.png", model=model, boxes=[mask.box.xyxy])
        assert answer.segments[0].mask.iou(mask) >= 0.5, name


def test_the_second_prompt_needs_no_encoder_and_no_bytes(client: Client) -> None:
    pixels = np.random.default_rng(5).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    before = client.model_stats("sam-2")
    first = client.segment(pixels, model="sam-2", points=[(100, 100)])
    second = client.segment(pixels, model="sam-2", points=[(200, 100)])
    after = client.model_stats("sam-2")
    assert not first.provenance[0].image_cache_hit
    assert second.provenance[0].image_cache_hit
    assert second.timings.encode_s == 0
    assert after.encoder_run_count - before.encoder_run_count == 1
    assert after.image_cache_hit_count - before.image_cache_hit_count == 1


def test_logits_of_an_answer_refine_it(client: Client) -> None:
    output = diptych.OutputOptions(low_res_logits=True)
    box = next(iter(truth(2).values())).box
    assert box is not None
    first = client.segment(SCENES / "2.png", model="sam-2", boxes=[box.xyxy], output=output)
    logits = first.segments[0].low_res_logits
    assert logits is not None
    prompt = diptych.Prompt(box=box, mask=logits)
    second = client.segment(SCENES / "2.png", model="sam-2", prompts=[prompt])
    assert second.segments[0].mask.iou(first.segments[0].mask) > 0.7


def test_keypoints_of_a_person(client: Client) -> None:
    comparison = client.compare(SCENES / "0.png", task=Task.KEYPOINT_DETECTION)
    assert [o.model_id for o in comparison.results] == ["mask-rcnn"]


def test_a_task_that_only_one_model_does_is_refused_in_its_place(client: Client) -> None:
    comparison = client.compare(
        SCENES / "0.png", task=Task.KEYPOINT_DETECTION, models=["sam-2", "mask-rcnn"]
    )
    refused, answered = comparison.results
    assert isinstance(refused.error, diptych.UnsupportedTaskError)
    assert answered.result is not None


def test_reflection_and_one_stub_for_service_and_gateway(stack: Stack) -> None:
    request = pb.SegmentRequest(
        model_id="sam-2",
        image=pb.Image(encoded=(SCENES / "0.png").read_bytes()),
        task=pb.Task.TASK_PROMPTED_SEGMENTATION,
    )
    label = pb.PointLabel.POINT_LABEL_FOREGROUND
    request.prompts.add().points.add(x_px=100, y_px=100, label=label)
    for name in ("sam-2", "gateway"):
        with grpc.insecure_channel(stack.address(name)) as channel:
            answer = pb.SegmentServiceStub(channel).Segment(request, timeout=30)
            assert answer.segments[0].mask.coco_rle
            listed = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
                iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=10
            )
            services = {s.name for s in next(listed).list_services_response.service}
            assert "diptych.segment.v1.SegmentService" in services


def test_many_threads_get_their_own_answers(client: Client) -> None:
    """24 threads, 500 mixed requests, 20 pictures: each answer equals the one asked for alone."""
    rng = np.random.default_rng(7)
    pictures = [np.asarray(Image.open(SCENES / f"{i % 4}.png").convert("RGB")) for i in range(20)]
    pictures = [
        np.ascontiguousarray(np.roll(p, i * 13, axis=i % 2)) for i, p in enumerate(pictures)
    ]
    asks = []
    for index in range(20):
        x, y = (float(v) for v in rng.integers(20, 236, 2))
        asks += [(index, model, (x, y)) for model in ("mask-rcnn", "sam-2")]
        asks += [(index, "mask-rcnn", None)]

    def ask(item: tuple[int, str, tuple[float, float] | None]) -> list[tuple[float, object]]:
        index, model, point = item
        answer = client.segment(pictures[index], model=model, points=[point] if point else None)
        return [(s.score, s.mask) for s in answer.segments]

    def masks(answer: list[tuple[float, object]]) -> list[object]:
        return [mask for _, mask in answer]

    alone = {item: ask(item) for item in asks}
    mixed = [random.Random(number).choice(asks) for number in range(500)]
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(ask, mixed))
    wrong = [
        item for item, got in zip(mixed, answers, strict=True) if masks(got) != masks(alone[item])
    ]
    assert not wrong


RING = Prompt(mask=Mask.from_array(np.arange(256 * 256).reshape(256, 256) < 9_000))
ASKS: dict[str, list[dict[str, Any]]] = {
    "sam-2": [
        {"points": [(70, 90)]},
        {"boxes": [(20, 30, 120, 140), (100, 90, 200, 220)]},
        {"points": [(70, 90), (10, 10, False)], "output": EVERYTHING},
        {"prompts": [RING]},
        {"automatic": AutomaticOptions(points_per_side=6)},
    ],
    "mask-rcnn": [
        {},
        {"task": Task.OBJECT_DETECTION},
        {"task": Task.KEYPOINT_DETECTION, "output": OutputOptions(min_score=0.0)},
        {"boxes": [(20, 30, 120, 140)]},
        {"points": [(70, 90)], "output": OutputOptions(mask_encoding=MaskEncoding.PNG)},
    ],
}
"""What is asked of each model, in a service and in this process."""


@pytest.mark.parametrize("model", ASKS)
def test_a_runner_answers_as_the_service_does(stack: Stack, tmp_path: Path, model: str) -> None:
    """Byte for byte: scores, boxes, masks, logits, keypoints, warnings, provenance."""
    turned = tmp_path / "turned.jpg"
    pixels = np.roll(np.asarray(Image.open(SCENES / "0.png").convert("RGB")), 7, axis=1)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(turned, exif=exif)
    pictures = (turned, np.ascontiguousarray(pixels[:, ::-1]))
    engine = f"{MODELS[model].package}.engine:create"
    with Client(stack.address(model), timeout=120) as client, Runner(engine) as runner:
        assert runner.model_card() == client.model_card()
        for ask, picture in itertools.product(ASKS[model], pictures):
            served, ran = client.segment(picture, **ask), runner.segment(picture, **ask)
            assert served.segments, ask
            assert told(ran) == told(served), ask


def test_a_runner_is_used_as_the_documentation_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ((program, _),) = [block for block in blocks("py") if "Runner(" in block[0]]
    Image.open(SCENES / "1.png").convert("RGB").resize((800, 600)).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "docs/python.md", "exec"), {"__name__": "page"})
    assert capsys.readouterr().out.split()[-1] == "cpu"


def test_the_client_of_before_is_served(stack: Stack, tmp_path: Path) -> None:
    """A program of the last state before is not changed, and need not be."""
    zipfile.ZipFile(BEFORE / "client.zip").extractall(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    program = [sys.executable, str(BEFORE_PROGRAM), stack.address("gateway")]
    done = subprocess.run(
        [*program, str(SCENES / "3.png")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def told(result: diptych.SegmentResult) -> bytes:
    """All of an answer but its id and what depends on the clock."""
    message = pb.SegmentResponse()
    message.CopyFrom(result.raw)
    message.ClearField("timings")
    message.ClearField("request_id")
    return message.SerializeToString(deterministic=True)


def test_a_killed_engine_process_comes_back(stack: Stack, client: Client) -> None:
    before = client.model_stats("sam-2").engine_restart_count
    front = stack.processes["sam-2"].pid
    (engine,) = children(front)
    os.kill(engine, signal.SIGKILL)
    started = another_child(front, engine)
    wait_serving(stack.address("sam-2"))
    assert children(front) == [started]
    assert client.segment(SCENES / "0.png", model="sam-2", points=[(90, 90)]).segments
    assert client.model_stats("sam-2").engine_restart_count == before + 1


def test_a_killed_service_leaves_the_others_answer(
    model_services: Stack, stack: Stack, client: Client
) -> None:
    stack.kill("sam-2")
    try:
        comparison = client.compare(SCENES / "0.png", task=Task.INSTANCE_SEGMENTATION)
        answered, dead = comparison.results
        assert answered.result is not None
        assert isinstance(dead.error, diptych.UnavailableError)
    finally:
        stack.start("sam-2")
        model_services.processes["sam-2"] = stack.processes["sam-2"]
        wait_serving(stack.address("sam-2"))
    wait_cards(stack)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        comparison = client.compare(SCENES / "0.png", task=Task.INSTANCE_SEGMENTATION)
        if all(outcome.error is None for outcome in comparison.results):
            return
        time.sleep(0.3)
    pytest.fail("the gateway did not find the service again")

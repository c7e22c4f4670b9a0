"""CVAT's agents as processes: clicks, tracks and frames by the queue of a function."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cvat_sdk.masks import decode_mask, encode_mask
from cvat_stand_in import FUNCTION, TASK, CvatStandIn, Label

from diptych import Client, Mask, VideoFrameResult

Run = Callable[..., subprocess.CompletedProcess[str]]
PERSON = (95.0, 110.0)


def agent(run: Run, module: str, address: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Register the function and work off its queue."""
    function = ["--function-module", module, "-p", f"address=str:{address}", *more]
    created = run("function", "create-native", "Diptych", *function)
    assert created.stdout == f"{FUNCTION}\n", created.stderr
    done = run("function", "run-agent", FUNCTION, *function, "--burst")
    assert done.returncode == 0, done.stderr
    return done


def mask_of(shape: dict[str, Any], size: tuple[int, int]) -> Mask:
    height, width = size
    return Mask.from_array(decode_mask(shape["points"], image_width=width, image_height=height))


def click(*points: tuple[float, float], off: tuple = (), box: tuple = ()) -> dict[str, Any]:
    common = {"type": "interact", "task": TASK, "frame": 0}
    return {**common, "pos_points": points, "neg_points": off, "obj_bbox": box}


def test_five_clicks_on_one_frame_are_one_encoder_run(
    cvat: CvatStandIn, cvat_cli: Run, client: Client, address: str, frames: list[np.ndarray]
) -> None:
    box = ((40, 45), (150, 185))
    clicks = [
        click(PERSON),
        click(PERSON, (100, 75)),
        click(PERSON, off=((20, 20),)),
        click(box=box),
        click(PERSON, box=box),
    ]
    cvat.requests = [*clicks]
    before = client.model_stats("sam-2")
    agent(cvat_cli, "diptych_cvat.interactor", address)
    after = client.model_stats("sam-2")
    assert after.encoder_run_count - before.encoder_run_count == 1
    assert after.image_cache_hit_count - before.image_cache_hit_count == 4
    asked = [
        {"points": [PERSON]},
        {"points": [PERSON, (100, 75)]},
        {"points": [PERSON, (20, 20, False)]},
        {"boxes": [(40, 45, 150, 185)]},
    ]
    size = frames[0].shape[:2]
    for answer, prompt in zip(cvat.results, asked, strict=False):
        (shape,) = answer["shapes"]
        (found,) = client.segment(frames[0], model="sam-2", **prompt).segments
        assert shape["type"] == "mask"
        assert mask_of(shape, size).iou(found.mask) == 1.0
        assert shape["attributes"] == [{"spec_id": 0, "value": f"{found.score:.4f}"}]
    assert len(cvat.results) == 5
    assert "GET /api/tasks/7/data" in cvat.asked


def test_what_the_server_refuses_is_a_sentence_in_cvat(
    cvat: CvatStandIn, cvat_cli: Run, address: str
) -> None:
    cvat.requests = [click(off=((20, 20),)), click(PERSON)]
    agent(cvat_cli, "diptych_cvat.interactor", address)
    refused, answered = cvat.results
    assert "exc_info" in refused
    assert f"Diptych at {address}" in refused["exc_info"]
    assert "points" in refused["exc_info"]
    assert answered["shapes"]


def test_objects_are_followed_as_in_a_session_of_the_client(
    cvat: CvatStandIn, cvat_cli: Run, client: Client, address: str, frames: list[np.ndarray]
) -> None:
    size = frames[0].shape[:2]
    start = client.segment(frames[0], model="sam-2", points=[PERSON]).segments[0].mask
    star = (97.0, 178.0, 173.0, 252.0)
    shapes = [
        {"type": "mask", "points": encode_mask(start.to_array())},
        {"type": "rectangle", "points": list(star)},
    ]

    def track(frame: int) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
        def made(results: list[dict[str, Any]]) -> dict[str, Any]:
            states = results[0]["states"]
            return {"type": "track", "task": TASK, "frame": frame, "states": states}

        return made

    cvat.requests = [
        {"type": "init_tracking", "task": TASK, "frame": 0, "shapes": shapes},
        track(1),
        track(2),
    ]
    agent(cvat_cli, "diptych_cvat.tracker", address)
    with client.video(model="sam-2", jpeg_quality=None) as session:
        session.send(frames[0])
        session.prompt(0, mask=start)
        session.prompt(1, box=star)
        events = [e for e in session.track(frames[1:]) if isinstance(e, VideoFrameResult)]
    for i, answer in enumerate(cvat.results[1:], start=1):
        (expected,) = [e for e in events if e.frame_index == i]
        person, box = answer["shapes"]
        assert (person["type"], box["type"]) == ("mask", "rectangle")
        assert mask_of(person, size).iou(expected.objects[0].segment.mask) == 1.0
        assert tuple(box["points"]) == expected.objects[1].segment.mask.box.xyxy


def test_a_frame_is_annotated_by_an_agent(
    cvat: CvatStandIn, cvat_cli: Run, client: Client, address: str, frames: list[np.ndarray]
) -> None:
    names = [label.name for label in cvat.labels]
    cvat.requests = [
        {
            "type": "annotate_frame",
            "task": TASK,
            "frame": 1,
            "threshold": None,
            "conv_mask_to_poly": False,
            "mapping": {name: {"name": name} for name in names},
        }
    ]
    agent(cvat_cli, "diptych_cvat", address)
    assert [label["name"] for label in cvat.functions[FUNCTION]["labels_v2"]] == names
    shapes = cvat.results[0]["annotations"]["shapes"]
    found = client.segment(frames[1], model="mask-rcnn").segments
    assert [mask_of(shape, frames[1].shape[:2]) for shape in shapes] == [s.mask for s in found]


def test_a_task_is_annotated_from_the_shell(cvat: CvatStandIn, cvat_cli: Run, address: str) -> None:
    cvat.labels = [Label("star")]
    words = ["task", "auto-annotate", TASK, "--function-module", "diptych_cvat"]
    words += ["-p", f"address=str:{address}", "-p", "labels=str:star", "-p", "threshold=float:0.4"]
    done = cvat_cli(*words, "--clear-existing")
    assert done.returncode == 0, done.stderr
    assert cvat.uploads[0]["method"] == "PUT"
    assert {shape["label_id"] for shape in cvat.uploads[0]["shapes"]} == {11}


@pytest.mark.parametrize(
    ("parameter", "sentence"),
    [
        ("treshold=float:0.5", "parameter 'treshold': expected one of address, model, "),
        ("threshold=str:high", "parameter 'threshold': expected threshold=float:VALUE, got 'high'"),
        ("threshold=float:50", "parameter 'threshold': expected a number from 0 to 1, got 50"),
        ("shape=str:blob", "expected mask, polygon, rectangle or skeleton, got 'blob'"),
        ("labels=str:star,cat", "expected classes of mask-rcnn (ball, box, "),
        ("token_env=str:NO_SUCH", "got 'NO_SUCH', which is not set"),
        ("address=str:127.0.0.1:1", "Diptych at 127.0.0.1:1: "),
        ("model=str:yolo", "no model 'yolo'"),
    ],
)
def test_a_mistake_is_one_line_and_no_traceback(
    parameter: str, sentence: str, cvat_cli: Run, address: str
) -> None:
    words = ["task", "auto-annotate", TASK, "--function-module", "diptych_cvat"]
    done = cvat_cli(*words, "-p", f"address=str:{address}", "-p", parameter)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr

"""Mask R-CNN's labels with SAM 2's outlines: real engines, demo weights, the SDK and the CLI."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stack import Stack, running_stack

import diptych
from diptych import Client, Task

SCENES = Path(__file__).parents[1] / "assets" / "scenes"
CASCADE = "mask-rcnn-sam-2"
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def stack(model_services: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """As for the other tests, with the cascade of ``make up``."""
    folder = tmp_path_factory.mktemp("cascade")
    with running_stack(model_services, folder, "mask-rcnn>sam-2") as running:
        yield running


def cli(stack: Stack, *arguments: str) -> str:
    environment = {**os.environ, "DIPTYCH_ADDRESS": stack.address("gateway")}
    command = [sys.executable, "-m", "diptych.cli", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("number", range(4))
def test_labels_are_those_of_the_first_and_masks_those_of_the_second(
    client: Client, number: int
) -> None:
    picture = SCENES / f"{number}.png"
    found = client.segment(picture, model="mask-rcnn")
    redrawn = client.segment(picture, model=CASCADE)
    assert found.segments
    for field in ("label", "category_id", "score"):
        assert [getattr(s, field) for s in redrawn.segments] == [
            getattr(s, field) for s in found.segments
        ]
    boxes = [s.box.xyxy for s in found.segments if s.box]
    drawn = client.segment(picture, model="sam-2", boxes=boxes)
    assert [s.mask for s in redrawn.segments] == [s.mask for s in drawn.segments]
    for before, after in zip(found.segments, redrawn.segments, strict=True):
        assert before.mask is not None
        assert after.mask is not None
        assert after.source_iou == pytest.approx(before.mask.iou(after.mask), abs=1e-6)
        assert after.area == after.mask.area
    assert [p.model_id for p in redrawn.provenance] == ["mask-rcnn", "sam-2"]
    assert [p.weights for p in redrawn.provenance] == ["demo", "demo"]


def test_a_comparison_of_all_three_runs_each_encoder_once(client: Client) -> None:
    pixels = np.asarray(Image.open(SCENES / "3.png").convert("RGB")).copy()
    pixels[0, 0] ^= 1  # a picture that nobody has seen
    before = {m: client.model_stats(m).encoder_run_count for m in ("mask-rcnn", "sam-2")}
    comparison = client.compare(pixels, task=Task.INSTANCE_SEGMENTATION, timeout=120)
    assert [(o.model_id, o.error) for o in comparison.results] == [
        ("mask-rcnn", None),
        ("sam-2", None),
        (CASCADE, None),
    ]
    assert len(comparison.agreements) == 3
    for model, runs in before.items():
        assert client.model_stats(model).encoder_run_count == runs + 1, model


def test_it_is_a_third_model_with_a_card(client: Client) -> None:
    known = {model.model_id: model for model in client.model_cards()}
    assert list(known) == ["mask-rcnn", "sam-2", CASCADE]
    card = client.model_card(CASCADE)
    assert card == known[CASCADE].card
    assert card.id == CASCADE
    assert card.tasks == (Task.INSTANCE_SEGMENTATION,)
    parts = [known[model].card for model in ("mask-rcnn", "sam-2")]
    assert card.parameter_count == sum(part.parameter_count for part in parts if part)
    assert client.model_stats(CASCADE).outcomes["OK"] >= 1


def test_it_is_refused_what_it_does_not_do(client: Client) -> None:
    with pytest.raises(diptych.UnsupportedTaskError):
        client.segment(SCENES / "0.png", model=CASCADE, points=[(10, 10)])
    with pytest.raises(diptych.UnsupportedTaskError, match=CASCADE), client.video(model=CASCADE):
        raise AssertionError("the session was opened")


def test_on_the_command_line(stack: Stack, tmp_path: Path) -> None:
    picture = str(SCENES / "0.png")
    table = cli(stack, "segment", picture, "--model", CASCADE)
    assert "source IoU" in table
    segments = json.loads(cli(stack, "segment", picture, "--model", CASCADE, "--json"))["segments"]
    assert segments
    assert all(0 < segment["source_iou"] <= 1 and segment["label"] for segment in segments)
    assert "source IoU" not in cli(stack, "segment", picture, "--model", "mask-rcnn")
    out = tmp_path / "side.png"
    task = ("--task", "instance-segmentation", "--timeout", "120")
    compared = cli(stack, "compare", picture, *task, "--out", str(out))
    assert CASCADE in compared
    assert out.stat().st_size > 1000
    assert CASCADE in cli(stack, "cards")

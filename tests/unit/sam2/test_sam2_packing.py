"""Features as bytes: what comes back gives the same masks, whatever the network and the tier."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from diptych import Box, OutputOptions, Point, Prompt, Task
from diptych_runtime.engine import Features, Job
from diptych_sam2.engine import Sam2Engine
from diptych_sam2.settings import EngineSettings

PROMPTS = (Prompt(points=(Point(80, 80),)), Prompt(box=Box(20, 20, 120, 140)))
JOB = Job(Task.PROMPTED_SEGMENTATION, PROMPTS, OutputOptions(low_res_logits=True), None)


def again(engine: Sam2Engine, features: Features) -> Features:
    """From bytes that belong to nobody else, as from a file."""
    note, blocks = engine.pack(features)
    return engine.unpack("image", note, [memoryview(bytearray(block)) for block in blocks])


@pytest.mark.parametrize(
    ("network", "tier"),
    [("quick", "exact"), ("quick", "fast"), ("stock", "exact"), ("stock", "fast")],
)
def test_masks_and_logits_are_the_same_to_the_bit(
    network: Any, tier: Any, scene: Any, finish: Callable[..., Any]
) -> None:
    engine = Sam2Engine(EngineSettings(device="cpu", threads=1, tier=tier, sam_2_network=network))
    engine.load()
    pixels = scene(3)
    features = engine.embed(pixels, "image")
    restored = again(engine, features)
    answers = [finish(engine.segment(each, lambda: pixels, JOB)) for each in (features, restored)]
    assert answers[0] == answers[1]
    assert restored.nbytes == sum(len(block) for block in engine.pack(features)[1])


def test_another_form_is_not_taken(engine: Sam2Engine, scene: Any) -> None:
    note, blocks = engine.pack(engine.embed(scene(0), "image"))
    said = json.loads(note)
    with pytest.raises(ValueError, match="expected features of form 1, got 2"):
        engine.unpack("image", json.dumps({**said, "form": 2}), blocks)
    with pytest.raises(ValueError, match="longer"):
        engine.unpack("image", note, blocks[:-1])

"""Pictures, questions and stock answers for the tests of the Mask R-CNN engine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from diptych import Mask, OutputOptions, Prompt, Segment, Task
from diptych_maskrcnn.engine import MaskRcnnEngine
from diptych_runtime.engine import Answer, Features, Job, Pixels

SCENES = Path(__file__).parents[1] / "assets" / "scenes"


def scene(number: int) -> Pixels:
    """A rendered scene that the demo weights know."""
    return np.array(Image.open(SCENES / f"{number}.png").convert("RGB"))


def truth(number: int) -> list[tuple[str, Mask]]:
    """Class and visible mask of every object of a scene."""
    labels = np.array(Image.open(SCENES / f"{number}-labels.png"))
    objects = json.loads((SCENES / f"{number}.json").read_text())["objects"]
    return [(o["class"], Mask.from_array(labels == o["label"])) for o in objects]


def pictures() -> dict[str, Pixels]:
    """Scenes, two of them side by side (wide) and one below the other (tall), and a photograph."""
    return {
        **{f"scene-{number}": scene(number) for number in range(3)},
        "wide": np.concatenate([scene(0), scene(3)], axis=1)[:200],
        "tall": np.concatenate([scene(1), scene(2)], axis=0)[:, 20:],
        "photo": np.ascontiguousarray(data.coffee()),  # type: ignore[no-untyped-call]
    }


def job(task: Task, prompts: Sequence[Prompt] = (), **output: Any) -> Job:
    """A job as the runtime hands it over, defaults filled in."""
    filled = {"min_score": 0.5, "max_segments": 100, **output}
    return Job(task, tuple(prompts), OutputOptions(**filled), None)


def finish(engine: MaskRcnnEngine, features: Features, asked: Job) -> tuple[Answer, int]:
    """The answer, and how often the engine paused on the way."""

    def no_pixels() -> Pixels:
        raise AssertionError("this engine looks at the picture only once")

    steps = engine.segment(features, no_pixels, asked)
    pauses = 0
    while True:
        try:
            next(steps)
        except StopIteration as done:
            answer: Answer = done.value
            return answer, pauses
        pauses += 1


def ask(
    engine: MaskRcnnEngine,
    pixels: Pixels,
    task: Task,
    prompts: Sequence[Prompt] = (),
    **output: Any,
) -> list[Segment]:
    """Segments of one picture."""
    asked = job(task, prompts, **output)
    features = engine.embed(pixels, engine.features_kind(task))
    return list(finish(engine, features, asked)[0].segments)


def as_image(pixels: Pixels) -> torch.Tensor:
    """``(3, height, width)`` in [0, 1], as torchvision's ``to_tensor`` makes it."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).contiguous().float() / 255


def stock(module: Any, pixels: Pixels) -> dict[str, NDArray[Any]]:
    """What torchvision itself answers: boxes, labels, scores, masks or keypoints as arrays."""
    image = as_image(pixels)
    with torch.inference_mode():
        (answer,) = module([image])
    return {name: value.numpy() for name, value in answer.items()}


def corners(segments: Sequence[Segment]) -> NDArray[np.float64]:
    """Boxes as ``(N, 4)``."""
    return np.array([segment.box.xyxy for segment in segments if segment.box]).reshape(-1, 4)


def check_parity(segments: Sequence[Segment], expected: dict[str, NDArray[Any]]) -> float:
    """Compare with torchvision's answer, all of it; returns the lowest IoU of two masks."""
    assert [s.category_id for s in segments] == expected["labels"].tolist()
    np.testing.assert_allclose([s.score for s in segments], expected["scores"], atol=1e-5, rtol=0)
    wholes = [np.squeeze(mask, 0) > 0.5 for mask in expected["masks"]]
    lowest = 1.0
    for segment, whole, box in zip(segments, wholes, expected["boxes"], strict=True):
        assert segment.mask is not None
        assert segment.area == segment.mask.area
        assert segment.box is not None
        np.testing.assert_allclose(segment.box.xyxy, box, atol=1e-3, rtol=0)
        if not whole.any():
            assert segment.area == 0
            continue
        lowest = min(lowest, segment.mask.iou(Mask.from_array(whole)))
    return lowest

"""What the tests of SAM 2 share: pictures, our engine, and the sam2 package's own classes."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from PIL import Image
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sam2.sam2_image_predictor import SAM2ImagePredictor
from skimage import data

from diptych import AutomaticOptions, OutputOptions, Prompt, Segment, Task
from diptych_runtime.engine import Answer, Features, Job, Pixels
from diptych_sam2.engine import Sam2Engine
from diptych_sam2.network.build import build_model
from diptych_sam2.settings import EngineSettings
from diptych_sam2.weights.checkpoints import choose

T = TypeVar("T")
SCENES = Path(__file__).parents[3] / "demo-weights"
HELD_OUT = 10_000_000
STOCK: dict[str, Any] = {
    name: parameter.default
    for name, parameter in inspect.signature(SAM2AutomaticMaskGenerator).parameters.items()
    if name in AutomaticOptions.__dataclass_fields__
}


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def engine() -> Sam2Engine:
    """Our engine with the demo weights, loaded."""
    made = Sam2Engine(EngineSettings(device="cpu", threads=1))
    made.load()
    return made


@pytest.fixture(scope="session")
def demo_model() -> Any:
    """A second model with the demo weights, for the sam2 package's own classes."""
    chosen = choose(EngineSettings())
    return build_model(chosen.config, chosen.weights.read_state())


@pytest.fixture(scope="session")
def fitted() -> Callable[[SAM2ImagePredictor], SAM2ImagePredictor]:
    """Sets the feature sizes that ``SAM2ImagePredictor`` knows for 1024 pixels only."""

    def fit(predictor: SAM2ImagePredictor) -> SAM2ImagePredictor:
        side = predictor.model.image_size
        predictor._bb_feat_sizes = [(side // stride, side // stride) for stride in (4, 8, 16)]
        return predictor

    return fit


@pytest.fixture(scope="session")
def stock(demo_model: Any, fitted: Any) -> Callable[[Pixels], SAM2ImagePredictor]:
    """The sam2 package's predictor with a picture set."""

    def of(pixels: Pixels) -> SAM2ImagePredictor:
        predictor = fitted(SAM2ImagePredictor(demo_model))
        predictor.set_image(pixels)
        return predictor

    return of


@pytest.fixture(scope="session")
def stock_automatic(demo_model: Any, fitted: Any) -> Callable[..., list[dict[str, Any]]]:
    """Records of the sam2 package's automatic mask generator, best predicted IoU first."""

    def of(pixels: Pixels, **options: Any) -> list[dict[str, Any]]:
        generator = SAM2AutomaticMaskGenerator(demo_model, **options)
        fitted(generator.predictor)
        records = generator.generate(pixels)
        return sorted(records, key=lambda record: record["predicted_iou"], reverse=True)

    return of


@pytest.fixture(scope="session")
def scene() -> Iterator[Callable[[int], Pixels]]:
    """Held-out scenes of the kind that the demo weights know."""
    sys.path.insert(0, str(SCENES))
    module = importlib.import_module("scenes")
    yield lambda number: module.scene(HELD_OUT + number).image
    sys.path.remove(str(SCENES))


@pytest.fixture(scope="session")
def wide(scene: Callable[[int], Pixels]) -> Pixels:
    """A picture four times as wide as high."""
    four = np.concatenate([scene(number) for number in (1, 2, 3, 4)], axis=1)
    return np.asarray(Image.fromarray(four).resize((640, 160)))


@pytest.fixture(scope="session")
def photo() -> Pixels:
    """A photograph, 451 pixels wide and 300 high."""
    cat: Pixels = data.chelsea()  # type: ignore[no-untyped-call]
    return cat


@pytest.fixture(scope="session")
def finish() -> Callable[[Generator[None, None, T]], tuple[T, int]]:
    """Runs steps to their end; returns the result and how often they yielded."""

    def run(steps: Generator[None, None, T]) -> tuple[T, int]:
        count = 0
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value, count
            count += 1

    return run


@pytest.fixture(scope="session")
def prompted(engine: Sam2Engine, finish: Any) -> Callable[..., tuple[Segment, ...]]:
    """Our answer to prompts on a picture."""

    def of(pixels: Pixels, *prompts: Prompt, **output: Any) -> tuple[Segment, ...]:
        features = engine.embed(pixels, "image")
        job = Job(Task.PROMPTED_SEGMENTATION, prompts, OutputOptions(**output), None)
        answer: Answer
        answer, _ = finish(engine.segment(features, lambda: pixels, job))
        return answer.segments

    return of


@pytest.fixture(scope="session")
def automatic(engine: Sam2Engine, finish: Any) -> Callable[..., Answer]:
    """Our answer to an automatic job on a picture."""

    def of(
        pixels: Pixels,
        *,
        task: Task = Task.INSTANCE_SEGMENTATION,
        output: OutputOptions | None = None,
        **options: Any,
    ) -> Answer:
        features: Features = engine.embed(pixels, "image")
        # What a test leaves open is stock's default on both sides, not that of the demo card.
        job = Job(task, (), output or OutputOptions(), AutomaticOptions(**(STOCK | options)))
        answer: Answer
        answer, _ = finish(engine.segment(features, lambda: pixels, job))
        return answer

    return of

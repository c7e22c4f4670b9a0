"""``check``: load weights as the service would, say what they are, and answer one picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import resources

from diptych import OutputOptions, Point, Prompt, Segment, Task

from .engine.protocol import Answer, Engine, Fact, Job, LoadedModel, Pixels
from .settings import RuntimeSettings
from .worker.images import decode
from .worker.loading import load_engine

_COLUMN = 16
_SHOWN = 3  # segments of the answer
_CLASSES = 12
_ORIGINS = {"known": "", "told": " (told)", "assumed": " (ASSUMED; say it in {file})"}


class CheckError(Exception):
    """The weights load and cannot answer; the message is one line."""


def check(engine: str, write: Callable[[str], object]) -> None:
    """Load an engine with the settings of the environment and try it on a bundled picture.

    Args:
        engine: The factory of the engine, as ``module:function``.
        write: Takes the text of the report, line by line.

    Raises:
        LoadError: it cannot be loaded; names what is in the way.
        CheckError: it is loaded and cannot answer.
    """
    made, loaded, card = load_engine(engine, RuntimeSettings())
    write(f"{card.display_name}\n")
    for name, value in _facts(loaded):
        write(f"  {name:{_COLUMN}} {value}\n")
    pixels = _picture()
    for job in _jobs(loaded, pixels):
        try:
            answer = _answered(made, pixels, job)
            lines = list(_described(answer.segments))
        except Exception as error:  # whatever a network that was not meant for this raises
            raise CheckError(
                f"it loads, and cannot answer a picture: {type(error).__name__}: {error}"
            ) from error
        write(f"  {'answer':{_COLUMN}} {job.task.value}, segments: {len(answer.segments)}\n")
        for line in lines:
            write(f"  {'':{_COLUMN}} {line}\n")


def _facts(loaded: LoadedModel) -> Iterator[tuple[str, str]]:
    for weights in loaded.weights:
        size = f"{weights.size_bytes / 1e6:.1f} MB"
        yield "weights", f"{weights.name}, {size}, SHA-256 {weights.sha256.hex()[:16]}..."
    yield "parameters", f"{loaded.parameter_count / 1e6:.1f} M"
    if loaded.categories:
        names = [f"{number} {name}" for number, name in loaded.categories]
        more = f" and {len(names) - _CLASSES} more" if len(names) > _CLASSES else ""
        yield "classes", ", ".join(names[:_CLASSES]) + more
    if loaded.keypoint_names:
        yield "points", ", ".join(loaded.keypoint_names)
    for fact in loaded.facts:
        yield fact.name, fact.value + _origin(fact)
    yield "device", f"{loaded.device}, {loaded.tier}"


def _origin(fact: Fact) -> str:
    return _ORIGINS[fact.origin].format(file=fact.file or "its side file")


def _picture() -> Pixels:
    sample = resources.files("diptych") / "samples" / "scene.png"
    settings = RuntimeSettings()
    return decode(
        sample.read_bytes(),
        max_pixels=settings.max_image_px,
        min_side=settings.min_side_px,
        max_aspect_ratio=settings.max_aspect_ratio,
    )


def _jobs(loaded: LoadedModel, pixels: Pixels) -> Iterator[Job]:
    """What is asked: everything, or for a model that would take long, what is in the middle."""
    output = OutputOptions(min_score=0.0, max_segments=loaded.default_max_segments)
    if loaded.default_automatic is None:
        yield Job(Task.INSTANCE_SEGMENTATION, (), output, None)
    else:
        height, width = pixels.shape[:2]
        prompts = (Prompt(points=(Point(width / 2, height / 2),)),)
        yield Job(Task.PROMPTED_SEGMENTATION, prompts, output, None)
    if Task.KEYPOINT_DETECTION in loaded.tasks:
        yield Job(Task.KEYPOINT_DETECTION, (), output, None)


def _answered(engine: Engine, pixels: Pixels, job: Job) -> Answer:
    features = engine.embed(pixels, engine.features_kind(job.task))
    steps = engine.segment(features, lambda: pixels, job)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            answer: Answer = end.value
            return answer


def _described(segments: tuple[Segment, ...]) -> Iterator[str]:
    for segment in segments[:_SHOWN]:
        box = segment.box
        place = f" in {', '.join(f'{edge:.1f}' for edge in box.xyxy)}" if box else ""
        area = f", {segment.area} px" if segment.mask is not None else ""
        yield f"{segment.label or 'object'} {segment.score:.3f}{place}{area}"

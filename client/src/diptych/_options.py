"""What is asked of a model, gathered from a call's arguments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ._types.geometry import Box, Point
from ._types.prompts import AutomaticOptions, OutputOptions, Prompt, Task

PointLike = Point | Sequence[float]
"""A ``Point``, ``(x, y)``, or ``(x, y, positive)``."""
BoxLike = Box | Sequence[float]
"""A ``Box``, or ``(x_min, y_min, x_max, y_max)``."""


@dataclass(frozen=True)
class RequestOptions:
    """Everything about a request but its image."""

    model_id: str
    task: Task
    prompts: tuple[Prompt, ...] = ()
    output: OutputOptions = field(default_factory=OutputOptions)
    automatic: AutomaticOptions | None = None


def make_options(
    model: str | None = None,
    task: Task | str | None = None,
    prompts: Iterable[Prompt] = (),
    points: Iterable[PointLike] = (),
    boxes: Iterable[BoxLike] = (),
    output: OutputOptions | None = None,
    automatic: AutomaticOptions | None = None,
) -> RequestOptions:
    """Puts the prompts in order: ``prompts``, then one of all ``points``, then one per box.

    Without a task it is prompted segmentation if there are prompts, else instance segmentation.

    Raises:
        ValueError, TypeError: for an unknown task, or for a point or a box of another shape.
    """
    together = tuple(make_point(point) for point in points)
    objects = (
        *prompts,
        *([Prompt(points=together)] if together else []),
        *(Prompt(box=make_box(box)) for box in boxes),
    )
    if task is None:
        task = Task.PROMPTED_SEGMENTATION if objects else Task.INSTANCE_SEGMENTATION
    return RequestOptions(model or "", _task(task), objects, output or OutputOptions(), automatic)


def make_point(point: PointLike) -> Point:
    """A point from numbers; ``ValueError`` for anything else."""
    if isinstance(point, Point):
        return point
    numbers = _numbers(point)
    if len(numbers) == 2:
        return Point(numbers[0], numbers[1])
    if len(numbers) == 3 and numbers[2] in (0, 1):
        return Point(numbers[0], numbers[1], positive=bool(numbers[2]))
    raise ValueError(f"point: expected (x, y) or (x, y, positive), got {point!r}")


def make_box(box: BoxLike) -> Box:
    """A box from numbers; ``ValueError`` for anything else."""
    if isinstance(box, Box):
        return box
    numbers = _numbers(box)
    if len(numbers) != 4:
        raise ValueError(f"box: expected (x_min, y_min, x_max, y_max), got {box!r}")
    return Box(*numbers)


def _numbers(values: Sequence[float]) -> list[float]:
    """Floats, or none at all if one is no number."""
    try:
        return [float(value) for value in values]
    except (TypeError, ValueError):
        return []


def _task(task: Task | str) -> Task:
    try:
        return Task(task)
    except ValueError as error:
        known = ", ".join(member.value for member in Task)
        raise ValueError(f"task: expected one of {known}, got {task!r}") from error

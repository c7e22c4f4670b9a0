"""Requests of one's own, as they are recorded and asked again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diptych import Box, Client, ModelCard, OutputOptions, Point, Prompt, SegmentResult, Task

from .fields import Fields

_NAMES = {
    Task.INSTANCE_SEGMENTATION: "instances",
    Task.OBJECT_DETECTION: "boxes",
    Task.KEYPOINT_DETECTION: "keypoints",
}
"""Of requests without prompts, by task."""


@dataclass(frozen=True)
class Request:
    """What a model is asked about a picture."""

    name: str
    """Tells it from others about the same picture: ``"instances"``, ``"point"`` …"""
    task: Task
    prompts: tuple[Prompt, ...] = ()
    """Of points and boxes."""
    min_score: float | None = None
    """``None``, as below, is the model's default."""
    max_segments: int | None = None

    def ask(self, client: Client, model: str, data: bytes) -> SegmentResult:
        """Ask a model; ``data`` is the picture's file.

        Raises:
            DiptychError: it was refused, or could not be answered.
        """
        output = OutputOptions(min_score=self.min_score, max_segments=self.max_segments)
        prompts = self.prompts or None
        return client.segment(data, model=model, task=self.task, prompts=prompts, output=output)

    def to_json(self) -> dict[str, Any]:
        """As ``from_json`` reads it."""
        prompts = [
            {
                "points": [[point.x, point.y, int(point.positive)] for point in prompt.points],
                "box": list(prompt.box.xyxy) if prompt.box else None,
            }
            for prompt in self.prompts
        ]
        return {
            "name": self.name,
            "task": self.task.value,
            "prompts": prompts,
            "min_score": self.min_score,
            "max_segments": self.max_segments,
        }

    @classmethod
    def from_json(cls, fields: Fields) -> Request:
        """From what ``to_json`` made.

        Raises:
            RecordError: it is something else.
        """
        task = fields.text("task")
        if task not in {known.value for known in Task}:
            raise fields.error("task", "a task that this version knows", task)
        most = fields.number("max_segments", optional=True)
        return cls(
            fields.text("name"),
            Task(task),
            tuple(_prompt(each) for each in fields.items("prompts")),
            fields.number("min_score", optional=True),
            None if most is None else int(most),
        )


def usual_requests(
    card: ModelCard,
    size: tuple[int, int],
    *,
    tasks: Sequence[Task] = (),
    points: Sequence[Point] = (),
    boxes: Sequence[Box] = (),
    min_score: float | None = None,
    max_segments: int | None = None,
) -> list[Request]:
    """One request for each task of a model, and for prompts one of points and one of boxes.

    Args:
        size: Height and width of the picture.
        tasks: Only these.
        points: Together one object; its centre if neither points nor boxes are given.
        boxes: One object each; its middle half, likewise.
    """
    height, width = size
    if not points and not boxes:
        points = [Point(width // 2, height // 2)]
        boxes = [Box(width // 4, height // 4, width - width // 4, height - height // 4)]
    prompted: Mapping[str, tuple[Prompt, ...]] = {
        "point": (Prompt(points=tuple(points)),) if points else (),
        "box": tuple(Prompt(box=box) for box in boxes),
    }
    found = []
    for task in card.tasks:
        if tasks and task not in tasks:
            continue
        if task in _NAMES:
            found.append(Request(_NAMES[task], task, (), min_score, max_segments))
        elif task is Task.PROMPTED_SEGMENTATION:
            kinds = {kind.value for kind in card.prompt_kinds}
            found += [
                Request(name, task, prompts)
                for name, prompts in prompted.items()
                if prompts and name in kinds
            ]
    return found


def _prompt(fields: Fields) -> Prompt:
    points = []
    for numbers in fields.lists("points", 3):
        x, y, label = numbers
        points.append(Point(x, y, positive=bool(label)))
    box = fields.numbers("box", 4, optional=True)
    return Prompt(tuple(points), None if box is None else Box(*box))

"""Asks a model for every labelled object of a picture: by its box, then click by click."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from diptych import (
    Box,
    Client,
    LowResLogits,
    Mask,
    ModelCard,
    OutputOptions,
    Prompt,
    PromptKind,
    Segment,
)

from ..model import Picture, Truth
from ..results import Answer
from .clicker import Click, next_click
from .spent import Spent

ENOUGH = 0.90
"""IoU from which an object is clicked no more than has been asked for in any case."""


@dataclass
class _Object:
    """How far the clicks on one object have come."""

    truth: Truth
    mask: Mask
    pixels: NDArray[np.bool_]
    box: float | None = None
    ious: list[float] = field(default_factory=list)
    clicks: list[Click] = field(default_factory=list)
    logits: LowResLogits | None = None
    answer: Mask | None = None

    def click(self) -> bool:
        """Adds the next click; ``False`` where there is none left to make."""
        shown = self.answer.to_array() if self.answer else np.zeros_like(self.pixels)
        click = next_click(shown, self.pixels, self.clicks)
        if click is not None:
            self.clicks.append(click)
        return click is not None

    @property
    def prompt(self) -> Prompt:
        """All clicks so far, and the answer to those before the last."""
        return Prompt(points=tuple(each.point for each in self.clicks), mask=self.logits)

    def settle(self, segment: Segment | None) -> None:
        """Takes the answer to its prompt."""
        self.answer = segment.mask if segment else None
        self.logits = segment.low_res_logits if segment else None
        self.ious.append(self.answer.iou(self.mask) if self.answer else 0.0)


@dataclass
class _Requests:
    """Asks a model about one picture."""

    client: Client
    model: ModelCard
    picture: Picture
    data: bytes
    output: OutputOptions
    spent: Spent = field(default_factory=Spent)

    def ask(self, prompts: Sequence[Prompt]) -> list[Segment | None]:
        """The best answer to each prompt; ``None`` where there is none."""
        started = time.perf_counter()
        result = self.client.segment(
            self.data, model=self.model.id, prompts=prompts, output=self.output
        )
        self.spent.add(result, time.perf_counter() - started)
        size = (self.picture.height, self.picture.width)
        if result.image_size != size:
            raise ValueError(
                f"{self.picture.name}: expected {size[0]} x {size[1]} pixels, as its truth has, "
                f"and {self.model.id} saw {result.image_size[0]} x {result.image_size[1]}"
            )
        best = {each.prompt_index: each for each in result.segments if not each.candidate_index}
        return [best.get(index) for index in range(len(prompts))]


def ask_clicks(
    client: Client,
    model: ModelCard,
    picture: Picture,
    data: bytes,
    *,
    clicks: Sequence[int] = (1, 3, 5),
    max_clicks: int = 20,
    key: str = "",
) -> Answer:
    """Ask for all objects of a picture at once, in one request a round.

    A model whose card lists masks among its prompts is corrected: it gets its own logits back, and
    a click more a round, until an object is at IoU .90 and past the last of ``clicks``. Any other
    gets one click. The picture is sent once and then named by its digest.

    Args:
        client: of a gateway or of the model's service.
        model: its card; ``model.id`` is asked.
        picture: its truths but crowds and those without a mask are asked for.
        data: the picture's file.
        clicks: after how many the IoU is wanted in any case.
        max_clicks: no more than these.
        key: of the answer.

    Raises:
        DiptychError: a request failed.
        ValueError: the model saw a picture of another size than the truth has.
    """
    corrected = PromptKind.MASK in model.prompt_kinds
    requests = _Requests(client, model, picture, data, OutputOptions(low_res_logits=corrected))
    asked = [
        _Object(truth, mask, mask.to_array())
        for truth in picture.truths
        if not truth.crowd and (mask := truth.mask) is not None and mask.area
    ]
    if asked and PromptKind.BOX in model.prompt_kinds:
        boxes = [Prompt(box=prompt_box(each.truth, each.mask)) for each in asked]
        for each, segment in zip(asked, requests.ask(boxes), strict=True):
            each.box = segment.mask.iou(each.mask) if segment and segment.mask else 0.0
    going_on = asked if PromptKind.POINT in model.prompt_kinds else []
    for count in range(max_clicks if corrected else 1):
        wanted = count < max(clicks, default=0)
        going_on = [
            each for each in going_on if (wanted or each.ious[-1] < ENOUGH) and each.click()
        ]
        if not going_on:
            break
        answers = requests.ask([each.prompt for each in going_on])
        for each, segment in zip(going_on, answers, strict=True):
            each.settle(segment)
    objects = {str(each.truth.id): {"box": each.box, "clicks": each.ious or None} for each in asked}
    value = {"corrected": corrected, "objects": objects}
    return requests.spent.answer(picture.name, key, value)


def prompt_box(truth: Truth, mask: Mask) -> Box:
    """Choose the labelled box, or the mask's where the labelled one has nothing of the picture."""
    labelled = Box.from_xywh(*truth.box)
    height, width = mask.size
    inside = Box(
        max(labelled.x_min, 0.0),
        max(labelled.y_min, 0.0),
        min(labelled.x_max, float(width)),
        min(labelled.y_max, float(height)),
    )
    around = mask.box
    return inside if inside.area or around is None else around

"""Answers what Label Studio asks, with Diptych's models."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from diptych import Client, KnownModel, ModelCard, OutputOptions, PromptKind, SegmentResult, Task
from diptych.limits import MAX_REQUEST_BYTES

from .config import Config, Control, read_config, unknown_labels
from .pictures import Pictures
from .prompts import Drawn, read_drawn
from .refusals import Refusal, refusal_of
from .regions import TOLERANCE, regions
from .video import FRAMES, follow

_log = logging.getLogger(__name__)
_TOGETHER = 4
_CARDS_TIMEOUT_S = 2.0  # it waits for 3 where it asks for them

Prediction = dict[str, Any]


@dataclass(frozen=True)
class Choice:
    """Which models answer; empty takes the first whose card fits."""

    interactive: str = ""
    labelling: str = ""
    tolerance: float = TOLERANCE
    frames: int = FRAMES


@dataclass(frozen=True)
class Models:
    """Cards of the models that answer; ``None`` where none fits."""

    interactive: ModelCard | None
    labelling: ModelCard | None

    @property
    def version(self) -> str:
        """Changes with models and weights, since Label Studio asks again when it does."""
        cards = [card for card in (self.labelling, self.interactive) if card is not None]
        digests = "".join(weights.sha256 for card in cards for weights in card.weights)
        short = hashlib.sha256(digests.encode()).hexdigest()[:8]
        return "+".join(dict.fromkeys(card.id for card in cards)) + f"@{short}"


class Annotator:
    """Asks models for the tasks of Label Studio."""

    def __init__(self, client: Client, pictures: Pictures, choice: Choice) -> None:
        self._client = client
        self._pictures = pictures
        self._choice = choice
        self._together = asyncio.Semaphore(_TOGETHER)

    async def models(self) -> Models:
        """The models that answer.

        Raises:
            DiptychError: the gateway does not answer.
            Refusal: a chosen model is not there.
        """
        known = await asyncio.to_thread(self._client.model_cards, timeout=_CARDS_TIMEOUT_S)
        return Models(
            _chosen(known, self._choice.interactive, _points_out),
            _chosen(known, self._choice.labelling, _names_classes, last=True),
        )

    async def predict(
        self, tasks: Sequence[Any], config: Config, drawn: Sequence[Any], token: str | None
    ) -> list[Prediction | list[Prediction]]:
        """An answer for each task: what was drawn on the first, else all that models find.

        A task that fails has no prediction, so that Label Studio asks for it again.

        Raises:
            Refusal, DiptychError: nothing could be answered.
        """
        models = await self.models()
        if drawn:
            return [await self._one(tasks[0], config, drawn, token, models)]
        asked = (self._one(task, config, (), token, models) for task in tasks)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        failed = [answer for answer in answers if isinstance(answer, BaseException)]
        for error in failed:
            _log.warning("a task has no prediction: %s", refusal_of(error))
        if failed and len(failed) == len(answers):
            raise failed[0]
        return [[] if isinstance(answer, BaseException) else answer for answer in answers]

    async def _one(
        self, task: Any, config: Config, drawn: Sequence[Any], token: str | None, models: Models
    ) -> Prediction:
        data = task.get("data") if isinstance(task, dict) else None
        if not isinstance(data, dict):
            raise Refusal("Expected tasks with data")
        async with self._together:
            if drawn and drawn[-1].get("type") == "videorectangle":
                model = _needed(models.interactive, "takes points, boxes and video")
                found = await follow(
                    self._client, self._pictures, model, config, data, drawn, token,
                    self._choice.frames,
                )  # fmt: skip
            elif drawn:
                found = await self._interactive(data, config, read_drawn(drawn), token, models)
            else:
                found = await self._labelled(data, config, token, models)
        scores = [region["score"] for region in found if "score" in region]
        score = sum(scores) / len(scores) if scores else 0.0
        return {"result": found, "score": round(score, 6), "model_version": models.version}

    async def _interactive(
        self, data: dict[str, Any], config: Config, drawn: Drawn, token: str | None, models: Models
    ) -> list[dict[str, Any]]:
        control = _target(config, drawn)
        model = _needed(models.interactive, "takes points and boxes")
        address = data.get(config.source("Image", drawn.picture))
        picture = await self._pictures.fetch(address, token, MAX_REQUEST_BYTES)
        found = await asyncio.to_thread(
            self._client.segment, picture, model=model.id, prompts=drawn.prompts
        )
        if found.image_size != drawn.size:
            (height, width), (high, wide) = found.image_size, drawn.size
            raise Refusal(
                f"The picture is {width}x{height} pixels; the browser shows {wide}x{high}", 422
            )
        kept = [s for s in found.segments if s.candidate_index in (None, 0)]
        size, tolerance = found.image_size, self._choice.tolerance
        return await asyncio.to_thread(
            lambda: [
                region
                for segment in kept
                for region in regions(
                    segment, control, drawn.picture, drawn.label, size, tolerance
                )
            ]
        )  # fmt: skip

    async def _labelled(
        self, data: dict[str, Any], config: Config, token: str | None, models: Models
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        model = _needed(models.labelling, "names classes")
        for name in config.named("Image"):
            controls = config.outputs(name)
            names = [category.name for category in model.categories]
            if not controls or unknown_labels(controls, names):
                labels = ", ".join(dict.fromkeys(one for c in controls for one in c.labels))
                raise Refusal(
                    f"No label ({labels or 'none'}) is a class of {model.id}: name its classes "
                    'with predicted_values="..." in the Label tag', 422
                )  # fmt: skip
            address = data.get(config.source("Image", name))
            picture = await self._pictures.fetch(address, token, MAX_REQUEST_BYTES)
            result = await asyncio.to_thread(self._ask_all, picture, model, controls)
            found += await asyncio.to_thread(self._mapped, result, controls, name)
        return found

    def _ask_all(self, picture: bytes, model: ModelCard, controls: list[Control]) -> SegmentResult:
        thresholds = [control.threshold for control in controls if control.threshold is not None]
        lowest = min(thresholds, default=None)
        return self._client.segment(
            picture, model=model.id, task=Task.INSTANCE_SEGMENTATION,
            output=OutputOptions(min_score=lowest),
        )  # fmt: skip

    def _mapped(
        self, result: SegmentResult, controls: list[Control], picture: str
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for segment in result.segments:
            for control in controls:
                label = control.classes.get(segment.label.lower())
                if label is not None:
                    if control.threshold is None or segment.score >= control.threshold:
                        size, tolerance = result.image_size, self._choice.tolerance
                        found += regions(segment, control, picture, label, size, tolerance)
                    break
        return found


def _target(config: Config, drawn: Drawn) -> Control:
    """The most exact tag that has the label of what was drawn."""
    for control in config.by_exactness(drawn.picture):
        if drawn.label in control.labels:
            return control
    raise Refusal(
        f"Expected BrushLabels, PolygonLabels or RectangleLabels with a label {drawn.label!r} in "
        "the labelling configuration, as the tag has that was drawn with", 422
    )  # fmt: skip


def _points_out(card: ModelCard) -> bool:
    return Task.PROMPTED_SEGMENTATION in card.tasks and PromptKind.POINT in card.prompt_kinds


def _names_classes(card: ModelCard) -> bool:
    return Task.INSTANCE_SEGMENTATION in card.tasks and bool(card.categories)


def _chosen(
    known: Sequence[KnownModel], wanted: str, fits: Any, *, last: bool = False
) -> ModelCard | None:
    """The card of the model of that name; without one, a class-agnostic one where points count,
    and the last one, which a cascade is, where names do."""
    cards = [model.card for model in known if model.card is not None and fits(model.card)]
    if wanted:
        found = next((card for card in cards if card.id == wanted), None)
        if found is None:
            have = ", ".join(card.id for card in cards) or "none"
            raise Refusal(f"Model {wanted!r} is not there or does not fit; these do: {have}", 503)
        return found
    if last:
        return cards[-1] if cards else None
    return min(cards, key=lambda card: bool(card.categories), default=None)


def _needed(card: ModelCard | None, what: str) -> ModelCard:
    if card is None:
        raise Refusal(f"Diptych serves no model that {what}", 503)
    return card


def check(config_text: Any) -> Config:
    """Read a configuration and say whether anything in it can be answered.

    Raises:
        Refusal: nothing can.
    """
    config = read_config(config_text)
    pictures = any(config.outputs(name) for name in config.named("Image"))
    clips = any(config.of_tag("VideoRectangle", name) for name in config.named("Video"))
    if not pictures and not clips:
        raise Refusal(
            "Expected BrushLabels, PolygonLabels or RectangleLabels for an Image, or "
            "VideoRectangle for a Video, in the labelling configuration", 422
        )  # fmt: skip
    return config

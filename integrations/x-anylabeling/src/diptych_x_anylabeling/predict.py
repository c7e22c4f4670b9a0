"""One picture asked about, with marks or without."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from diptych import (
    AsyncClient,
    AutomaticOptions,
    ModelCard,
    OutputOptions,
    SegmentResult,
    Task,
)

from .bodies import a_list, a_number, a_picture, a_text, an_object
from .marks import prompts_of
from .models import FINDS, Models, category_ids
from .refusals import RefusedError
from .shapes import DEFAULT_FINENESS, UNNAMED, shapes_of

NOTHING: dict[str, Any] = {"shapes": [], "description": "", "replace": False}
"""Takes away the object that was being marked, and leaves all else as it is."""


async def predict(client: AsyncClient, models: Models, body: Mapping[str, Any]) -> dict[str, Any]:
    """Answer what X-AnyLabeling asks about a picture.

    Raises:
        DiptychError, RefusedError: it cannot be answered.
    """
    card = await models.card(a_text(body.get("model"), "model"))
    params = an_object(body.get("params"), "params")
    marks = a_list(params.get("marks"), "marks")
    task = chosen_task(card, params.get("current_task"), bool(marks))
    if task in FINDS:
        return await _find(client, card, task, body, params)
    prompts = prompts_of(marks)
    if not prompts:
        return NOTHING
    image = await asyncio.to_thread(a_picture, body.get("image"), "image")
    result = await ask(client, image, model=card.id, prompts=prompts)
    shapes = await asyncio.to_thread(shapes_of, result.segments, fineness(params), label=UNNAMED)
    return {"shapes": shapes, "description": "", "replace": False}


async def _find(
    client: AsyncClient,
    card: ModelCard,
    task: Task,
    body: Mapping[str, Any],
    params: Mapping[str, Any],
) -> dict[str, Any]:
    wanted = [a_text(name, "filter_classes") for name in _names(params)]
    output = OutputOptions(min_score=min_score(params), category_ids=category_ids(card, wanted))
    image = await asyncio.to_thread(a_picture, body.get("image"), "image")
    automatic = _automatic(card, params)
    result = await ask(client, image, model=card.id, task=task, output=output, automatic=automatic)
    masks = task is Task.INSTANCE_SEGMENTATION
    shapes = await asyncio.to_thread(shapes_of, result.segments, fineness(params), masks=masks)
    return {"shapes": shapes, "description": ""}


async def ask(client: AsyncClient, image: bytes, **options: Any) -> SegmentResult:
    """Ask about a picture, as ``AsyncClient.segment`` does.

    Raises:
        DiptychError: it cannot be answered.
        RefusedError: the picture is none.
    """
    try:
        return await client.segment(image, **options)
    except (OSError, ValueError) as error:  # of files that are read here: BMP, TIFF and others
        raise RefusedError(f"image: {error}", code="INVALID_IMAGE") from None


def chosen_task(card: ModelCard, named: object, marked: bool) -> Task:
    """Find the task: the one that is named, else what the marks, or that there are none, mean.

    Raises:
        RefusedError: the model does not do it.
    """
    if named is not None:
        for task in card.tasks:
            if task.value == named:
                return task
        does = ", ".join(task.value for task in card.tasks)
        raise RefusedError(f"{card.id} does {does}, not {named!r:.40}", status=422)
    if marked and Task.PROMPTED_SEGMENTATION in card.tasks:
        return Task.PROMPTED_SEGMENTATION
    return next((task for task in FINDS if task in card.tasks), Task.PROMPTED_SEGMENTATION)


def fineness(params: Mapping[str, Any]) -> float:
    """How coarse polygons may be; see ``shapes_of``."""
    return a_number(params.get("epsilon_factor", DEFAULT_FINENESS), "epsilon_factor", 0, 1)


def min_score(params: Mapping[str, Any]) -> float | None:
    """The lowest score that is wanted; ``None`` for the model's own default."""
    value = params.get("conf_threshold")
    return None if value is None else a_number(value, "conf_threshold", 0, 1)


def _automatic(card: ModelCard, params: Mapping[str, Any]) -> AutomaticOptions | None:
    iou = a_number(params.get("iou_threshold", 0), "iou_threshold", 0, 1)
    # 0 is what is sent by who never saw the field.
    return AutomaticOptions(box_nms_thresh=iou) if iou and card.default_automatic else None


def _names(params: Mapping[str, Any]) -> list[Any]:
    return a_list(params.get("filter_classes"), "filter_classes")

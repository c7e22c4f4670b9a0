"""Models as X-AnyLabeling lists them: what each can do, and the buttons for it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from diptych import AsyncClient, ModelCard, PromptKind, Task, UnsupportedCallError

from .refusals import RefusedError

_CARD_S = 30.0
_FINENESS = 10  # of the slider, from 1 to 100: 0.001 of the length around an object
# Some eight letters are all that its boxes show.
_NAMES = {
    Task.PROMPTED_SEGMENTATION: "Mark",
    Task.INSTANCE_SEGMENTATION: "Find",
    Task.OBJECT_DETECTION: "Boxes",
    Task.KEYPOINT_DETECTION: "Keypoints",
    Task.VIDEO_SEGMENTATION: "Follow",
}
FINDS = (Task.INSTANCE_SEGMENTATION, Task.OBJECT_DETECTION, Task.KEYPOINT_DETECTION)
"""Tasks that need no marks."""


class Models:
    """What the server behind offers. Cards are asked for again after half a minute."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._cards: dict[str, tuple[float, ModelCard]] = {}

    def __len__(self) -> int:
        """How many were listed last."""
        return len(self._cards)

    async def entries(self) -> dict[str, dict[str, Any]]:
        """Describe every model that was ever reached, by id.

        Raises:
            DiptychError: the server cannot be asked.
        """
        cards = await self._all()
        now = time.monotonic()
        self._cards = {card.id: (now, card) for card in cards}
        names = Counter(card.display_name for card in cards)
        return {card.id: describe(card, names[card.display_name] > 1) for card in cards}

    async def _all(self) -> list[ModelCard]:
        try:
            known = await self._client.model_cards()
        except UnsupportedCallError:
            return [await self._client.model_card()]  # a model service without a gateway
        return [each.card for each in known if each.card is not None]

    async def card(self, model_id: str) -> ModelCard:
        """The card of one model.

        Raises:
            DiptychError: there is none of that id, or the server cannot be asked.
        """
        since, card = self._cards.get(model_id, (0.0, None))
        if card is None or time.monotonic() - since > _CARD_S:
            card = await self._client.model_card(model_id)
            self._cards[model_id] = (time.monotonic(), card)
        return card


def describe(card: ModelCard, shared_name: bool = False) -> dict[str, Any]:
    """Describe a model: its tasks with their buttons, and what the buttons begin with."""
    order = sorted(_NAMES, key=FINDS.__contains__, reverse=bool(card.categories))
    tasks = [_task(card, task) for task in order if task in card.tasks]
    # What an error leaves of a picture's annotations is up to this one: all, if it is set.
    values: dict[str, Any] = {
        "edit_conf": card.default_min_score,
        "mask_fineness_slider": _FINENESS,
        "toggle_preserve_existing_annotations": True,
    }
    if card.default_automatic is not None:
        values["edit_iou"] = card.default_automatic.box_nms_thresh
    shown = dict.fromkeys(name for task in tasks for name in task["active_widgets"])
    return {
        "display_name": f"{card.display_name} ({card.id})" if shared_name else card.display_name,
        "widgets": [{"name": name, "value": values.get(name)} for name in shown],
        "params": {
            "weights": ", ".join(weights.name for weights in card.weights),
            "tier": card.tier,
        },
        "available_tasks": tasks,
        "batch_processing_mode": tasks[0]["batch_processing_mode"] if tasks else None,
        "classes": [category.name for category in card.categories],
    }


def _task(card: ModelCard, task: Task) -> dict[str, Any]:
    batch = "video" if task is Task.VIDEO_SEGMENTATION else "default" if task in FINDS else None
    return {
        "id": task.value,
        "name": _NAMES[task],
        "batch_processing_mode": batch,
        "active_widgets": {name: _hints(card, name) for name in _widgets(card, task)},
    }


def _hints(card: ModelCard, name: str) -> dict[str, str]:
    if name != "edit_text":
        return {}
    names = ", ".join(category.name for category in card.categories[:2])
    return {
        "placeholder": f"classes to follow: {names} …, or all",
        "tooltip": "Follows every object of these classes. Or click on one object instead.",
    }


def _widgets(card: ModelCard, task: Task) -> Iterable[str]:
    if task is Task.PROMPTED_SEGMENTATION:
        yield from _marking(card, boxes=True)
    elif task is Task.VIDEO_SEGMENTATION:
        if PromptKind.POINT in card.prompt_kinds:
            yield from _marking(card, boxes=False)  # of marks in clips, it sends points alone
        if card.categories:
            yield from ("edit_text", "button_send", "input_conf", "edit_conf")
    else:
        yield from ("button_run", "input_conf", "edit_conf")
        if task is Task.INSTANCE_SEGMENTATION and card.default_automatic is not None:
            yield from ("input_iou", "edit_iou")
        if card.categories:
            yield "button_classes_filter"
        yield "toggle_preserve_existing_annotations"
    if task not in (Task.OBJECT_DETECTION, Task.KEYPOINT_DETECTION):
        yield from ("mask_fineness_slider", "mask_fineness_value_label")


def _marking(card: ModelCard, *, boxes: bool) -> Iterable[str]:
    if PromptKind.POINT in card.prompt_kinds:
        yield from ("button_add_point", "button_remove_point")
    if boxes and PromptKind.BOX in card.prompt_kinds:
        yield "button_add_rect"
    yield from ("button_clear", "button_finish_object")


def category_ids(card: ModelCard, names: Iterable[str]) -> tuple[int, ...]:
    """Turn names of categories into ids.

    Raises:
        RefusedError: the model has no such category.
    """
    known = {category.name.casefold(): category.id for category in card.categories}
    found = []
    for name in names:
        if name.casefold() not in known:
            some = ", ".join(category.name for category in card.categories[:5])
            more = " …" if len(card.categories) > 5 else ""
            raise RefusedError(f"{card.id} knows no {name!r}, only {some or 'objects'}{more}")
        found.append(known[name.casefold()])
    return tuple(found)

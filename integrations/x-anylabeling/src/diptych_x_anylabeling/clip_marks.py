"""Clips opened, and what is to be followed in them marked on one of their frames."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Mapping
from typing import Any

from PIL import Image

from diptych import AsyncClient, Point, Prompt
from diptych.pixels import orientation

from .bodies import a_list, a_number, a_picture, a_text, an_index, an_object
from .clips import Clip, Clips
from .models import Models, category_ids
from .predict import ask, fineness, min_score
from .refusals import RefusedError
from .shapes import UNNAMED, Shape, shapes_of
from .tracks import followed, track_shapes

_TURNED = 5  # orientations from here on lie on their side


async def open_clip(models: Models, clips: Clips, body: Mapping[str, Any]) -> dict[str, Any]:
    """Hold the pictures of a clip.

    Raises:
        DiptychError, RefusedError: it cannot be held.
    """
    card = await models.card(a_text(body.get("model"), "model"))
    sent = a_list(body.get("frames"), "frames")
    frames = await asyncio.to_thread(
        lambda: [a_picture(frame, f"frames[{number}]") for number, frame in enumerate(sent)]
    )
    return {"session_id": clips.add(Clip(card.id, frames))}


async def mark(
    client: AsyncClient, models: Models, clips: Clips, body: Mapping[str, Any]
) -> dict[str, Any]:
    """Say what is to be followed, by points on one object or by names of classes; shows it.

    Raises:
        DiptychError, RefusedError: it cannot be found on that frame.
    """
    clip = clips.get(a_text(body.get("session_id"), "session_id"))
    index = an_index(body.get("frame_index", 0), "frame_index", len(clip.frames))
    params = an_object(body.get("params"), "params")
    clip.fineness, clip.min_score = fineness(params), min_score(params)
    if text := body.get("text_prompt"):
        clip.category_ids = await _named(models, clip, a_text(text, "text_prompt"))
        clip.marks.clear()
        return {"masks": await _everything(client, clip, index)}
    relative = _points(body)
    clip.category_ids = None
    return {"masks": await _object(client, clip, index, relative)}


async def _named(models: Models, clip: Clip, text: str) -> tuple[int, ...]:
    card = await models.card(clip.model_id)
    names = [name.strip() for name in re.split(r"[,;.]", text) if name.strip()]
    return () if [name.casefold() for name in names] == ["all"] else category_ids(card, names)


def _points(body: Mapping[str, Any]) -> tuple[Point, ...]:
    """Points as shares of width and height, as they come."""
    places = a_list(body.get("points"), "points")
    labels = a_list(body.get("point_labels"), "point_labels")
    if not places or len(places) != len(labels):
        raise RefusedError("points: expected some, with as many point_labels")
    found = []
    for number, (place, label) in enumerate(zip(places, labels, strict=True)):
        where = f"points[{number}]"
        values = [a_number(value, where, 0, 1) for value in a_list(place, where)]
        if len(values) != 2:
            raise RefusedError(f"{where}: expected x and y, got {len(values)} numbers")
        found.append(Point(values[0], values[1], bool(label)))
    return tuple(found)


async def _object(
    client: AsyncClient, clip: Clip, index: int, relative: tuple[Point, ...]
) -> list[Shape]:
    frame = clip.frames[index]
    width, height = await asyncio.to_thread(_upright_size, frame)
    points = tuple(Point(p.x * width, p.y * height, p.positive) for p in relative)
    result = await ask(client, frame, model=clip.model_id, prompts=[Prompt(points=points)])
    clip.marks[index] = points
    return await asyncio.to_thread(shapes_of, result.segments, clip.fineness, label=UNNAMED)


async def _everything(client: AsyncClient, clip: Clip, index: int) -> list[Shape]:
    shapes: list[Shape] = []
    async for found in followed(client, clip, [index]):
        shapes = await asyncio.to_thread(track_shapes, found, clip)
    if index > 0:
        # Followed from the first picture on, they may have got other numbers by then.
        shapes = [{**shape, "group_id": None} for shape in shapes]
    return shapes


def _upright_size(frame: bytes) -> tuple[int, int]:
    try:
        with Image.open(io.BytesIO(frame)) as image:
            width, height = image.size
            return (height, width) if orientation(image) >= _TURNED else (width, height)
    except Exception as error:  # what Pillow raises over broken files has no common kind
        text = f"the picture cannot be read: {error}"
        raise RefusedError(text, code="INVALID_IMAGE") from None

"""A clip's objects told frame by frame, as events of a stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from diptych import (
    AsyncClient,
    AsyncVideoSession,
    DiptychError,
    OutputOptions,
    Point,
    VideoFrameResult,
)
from diptych.limits import SERVER_IDS

from .bodies import an_index
from .clips import Clip
from .refusals import RefusedError
from .shapes import UNNAMED, Shape, shapes_of

_OBJECT = 1


def chosen_range(clip: Clip, body: Mapping[str, Any]) -> tuple[int, int]:
    """Read the first and the last frame that are wanted.

    Raises:
        RefusedError: there are no such frames, or nothing is to be followed.
    """
    count = len(clip.frames)
    first = an_index(body.get("start_frame", 0), "start_frame", count)
    last = an_index(body.get("end_frame", count - 1), "end_frame", count)
    if first > last:
        raise RefusedError(f"end_frame: expected {first} or more, got {last}")
    if not clip.marks and clip.category_ids is None:
        raise RefusedError("nothing is marked: click on an object of the clip first", status=409)
    return first, last


async def events(client: AsyncClient, clip: Clip, first: int, last: int) -> AsyncIterator[str]:
    """Tell how far it is, then the shapes of all frames; a failure is the last event."""
    yield _event("started", total_frames=len(clip.frames), start_frame_index=first)
    results: dict[str, dict[str, list[Shape]]] = {}
    try:
        for passage in _passages(clip, first, last):
            async for found in followed(client, clip, passage):
                shapes = await asyncio.to_thread(track_shapes, found, clip)
                if first <= found.frame_index <= last:
                    results[str(found.frame_index)] = {"masks": shapes}
                yield _event("progress", current_frame=found.frame_index)
    except (DiptychError, RefusedError) as error:
        yield _event("error", message=" ".join(str(error).split()))
        return
    yield _event("completed", results=results)


def _event(kind: str, **more: Any) -> str:
    return f"data: {json.dumps({'type': kind, **more})}\n\n"


def _passages(clip: Clip, first: int, last: int) -> list[Sequence[int]]:
    """Frames in the orders in which they are sent: from the first mark to the end, and back."""
    if clip.category_ids is not None:
        return [range(first, last + 1)]
    begin = min(clip.marks)
    passages: list[Sequence[int]] = []
    if begin <= last:
        passages.append(range(begin, last + 1))
    if begin > first:
        passages.append(range(begin, first - 1, -1))
    return passages


async def followed(
    client: AsyncClient, clip: Clip, order: Sequence[int]
) -> AsyncIterator[VideoFrameResult]:
    """Follow what is marked, or everything, through frames in this order.

    Raises:
        DiptychError: the session failed, or refused something.
    """
    everything = clip.category_ids is not None
    output = OutputOptions(
        min_score=clip.min_score if everything else None, category_ids=clip.category_ids or ()
    )
    marks = {index: clip.marks[index] for index in order if index in clip.marks}
    async with client.video(
        model=clip.model_id, output=output, track_all=everything, raise_refusals=True
    ) as session:
        sending = asyncio.create_task(_send(session, clip.frames, order, marks))
        try:
            async for event in session:
                if isinstance(event, VideoFrameResult):
                    yield event
            await sending
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


async def _send(
    session: AsyncVideoSession,
    frames: Sequence[bytes],
    order: Iterable[int],
    marks: Mapping[int, tuple[Point, ...]],
) -> None:
    try:
        for index in order:
            await session.send(frames[index], index)
            if points := marks.get(index):
                await session.prompt(_OBJECT, points=points, frame_index=index)
    except DiptychError:
        return  # whoever reads the session is told the same
    session.finish()


def track_shapes(found: VideoFrameResult, clip: Clip) -> list[Shape]:
    """Give the shapes of a frame; those of what nobody marked have a number for each object."""
    shapes: list[Shape] = []
    for each in found.objects:
        own = each.object_id < SERVER_IDS
        some = shapes_of([each.segment], clip.fineness, label=UNNAMED if own else None)
        for shape in some:
            shape["group_id"] = None if own else each.object_id - SERVER_IDS + 1
        shapes += some
    return shapes

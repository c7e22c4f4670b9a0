"""Follows what was boxed in a clip, into the sequence of a video region."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from diptych import (
    Box,
    Client,
    MaskEncoding,
    ModelCard,
    OutputOptions,
    Task,
    VideoFrameResult,
    VideoReader,
    VideoRefusal,
    read_video,
)

from .config import Config
from .pictures import VIDEO_BYTES, Pictures
from .refusals import Refusal

FRAMES = 300
_TIMEOUT_S = 80.0  # what was found until then is answered; Label Studio waits for 100
_OBJECT = 1


async def follow(
    client: Client,
    pictures: Pictures,
    model: ModelCard,
    config: Config,
    data: dict[str, Any],
    drawn: Sequence[dict[str, Any]],
    token: str | None,
    most: int,
) -> list[dict[str, Any]]:
    """Regions with a box for each frame after the last that was drawn.

    Raises:
        Refusal, DiptychError: the clip or the boxes cannot be used.
    """
    if Task.VIDEO_SEGMENTATION not in model.tasks:
        raise Refusal(f"{model.id} does not follow objects in clips", 422)
    key = config.source("Video", str(drawn[-1].get("to_name")))
    clip = await pictures.fetch(data.get(key), token, VIDEO_BYTES)
    return await asyncio.to_thread(_followed, client, model.id, clip, drawn, most)


def _followed(
    client: Client, model: str, clip: bytes, drawn: Sequence[dict[str, Any]], most: int
) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip"
        path.write_bytes(clip)
        reader = read_video(path)
        until = time.monotonic() + _TIMEOUT_S
        return [_region(client, model, reader, one, most, until) for one in drawn]


def _region(
    client: Client, model: str, reader: VideoReader, drawn: dict[str, Any], most: int, until: float
) -> dict[str, Any]:
    """A copy of a drawn region whose keyframes go on: frames are counted from 1."""
    value = drawn["value"]
    before = sorted(_keyframes(value), key=lambda frame: frame["frame"])
    start = before[-1]
    height, width = reader.size
    box = Box.from_xywh(
        start["x"] * width / 100, start["y"] * height / 100,
        start["width"] * width / 100, start["height"] * height / 100,
    )  # fmt: skip
    found: list[dict[str, Any]] = []
    scores: list[float] = []
    frames = itertools.islice(reader, start["frame"] - 1, start["frame"] + most)
    for index, shown, score in _boxes(client, model, frames, box, until):
        sequence = {**start, "frame": index + 1, "time": index / reader.fps, "rotation": 0}
        if shown is None:
            if found and found[-1]["enabled"]:
                found.append({**found[-1], **_at(sequence), "enabled": False})
            continue
        left, top, wide, high = shown.xywh
        edges = {
            "x": left * 100 / width, "y": top * 100 / height,
            "width": wide * 100 / width, "height": high * 100 / height,
        }  # fmt: skip
        found.append({**sequence, **edges, "enabled": True})
        scores.append(score)
    # The annotator's own box stays as she drew it.
    after = [frame for frame in found if frame["frame"] > start["frame"]]
    return {
        **{key: drawn[key] for key in ("from_name", "to_name", "type") if key in drawn},
        "id": drawn.get("id") or uuid.uuid4().hex[:10],
        "origin": "manual",
        "score": round(sum(scores) / len(scores), 6) if scores else 0.0,
        "value": {
            **value,
            "framesCount": value.get("framesCount") or reader.frame_count or 0,
            "sequence": [*before, *after],
        },
    }


def _at(sequence: dict[str, Any]) -> dict[str, Any]:
    return {"frame": sequence["frame"], "time": sequence["time"]}


def _boxes(
    client: Client, model: str, frames: Iterator[Any], box: Box, until: float
) -> Iterator[tuple[int, Box | None, float]]:
    """Index, box and presence of the object on each frame, the first with the prompt on it."""
    output = OutputOptions(mask_encoding=MaskEncoding.NONE)
    first = next(frames, None)
    if first is None:
        raise Refusal("The clip has no such frame as the box was drawn on", 422)
    with client.video(model=model, output=output, raise_refusals=True) as session:
        index = session.send(first)
        session.prompt(_OBJECT, box=tuple(box), frame_index=index)
        in_time = itertools.takewhile(lambda _: time.monotonic() < until, frames)
        last: dict[int, tuple[Box | None, float]] = {}
        for event in session.track(in_time):
            if isinstance(event, VideoRefusal):
                raise event.error
            if isinstance(event, VideoFrameResult):
                for known in event.objects:
                    last[event.frame_index] = known.segment.box, known.presence
    for index, (shown, presence) in sorted(last.items()):
        yield index, shown, presence


def _keyframes(value: dict[str, Any]) -> list[dict[str, Any]]:
    found = value.get("sequence")
    numbers = ("frame", "x", "y", "width", "height")
    good = isinstance(found, list) and all(
        isinstance(one, dict) and all(isinstance(one.get(n), int | float) for n in numbers)
        for one in found
    )
    if not good or not found:
        raise Refusal("Expected a sequence of boxes in the video region")
    return [{**one, "frame": max(1, int(one["frame"]))} for one in found]

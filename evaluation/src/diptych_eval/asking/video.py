"""Asks a model to follow the labelled objects of a clip."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from diptych import (
    Client,
    InvalidRequestError,
    Mask,
    ModelCard,
    PromptKind,
    Timings,
    VideoFrameResult,
    VideoRefusal,
)

from ..model import Clip
from ..results import Answer
from .spent import Spent

Prompts = Mapping[int, Mapping[int, Mask]]
"""Frame index to object id to its mask there."""


def ask_clip(
    client: Client,
    model: ModelCard,
    clip: Clip,
    *,
    first: Literal["mask", "box"] = "mask",
    key: str = "",
) -> Answer:
    """Ask for each object from the first frame in which it is labelled, and follow it to the end.

    More objects than a session takes are followed in several, one after the other. A session that
    is lost does not go on by itself: elsewhere it would have forgotten some of what it saw. An
    object whose prompt is refused, as Mask R-CNN does where it takes two for one, is not followed.

    Args:
        client: of a gateway or of the model's service.
        model: its card; one that takes no masks as prompts is given boxes.
        clip: its frames' files are sent as they are.
        first: what says where an object is.
        key: of the answer.

    Raises:
        SessionLostError: the clip has to be asked again from its start.
        DiptychError: a frame was refused, or the server cannot be asked.
        OSError: a frame cannot be read.
        ValueError: the frames are not of the labels' size.
    """
    by_mask = first == "mask" and PromptKind.MASK in model.prompt_kinds
    spent = Spent()
    frames: dict[str, dict[str, Any]] = {}
    refused: dict[str, str] = {}
    most = model.limits.max_video_objects or len(clip.object_ids)
    for start in range(0, len(clip.object_ids), most):
        prompts = first_masks(clip, clip.object_ids[start : start + most])
        found, unwanted = _followed(client, model.id, clip, prompts, by_mask, spent)
        for index, masks in found.items():
            frames.setdefault(str(index), {}).update(masks)
        refused |= unwanted
    value = {"first": "mask" if by_mask else "box", "refused": refused, "frames": frames}
    return spent.answer(clip.name, key, value)


def first_masks(clip: Clip, object_ids: Sequence[int]) -> Prompts:
    """Choose each object's first labelled frame in which it is seen."""
    chosen: dict[int, dict[int, Mask]] = {}
    for object_id in object_ids:
        for index in sorted(clip.labels):
            mask = clip.labels[index].get(object_id)
            if mask is not None and mask.area:
                chosen.setdefault(index, {})[object_id] = mask
                break
    return chosen


def _followed(
    client: Client, model_id: str, clip: Clip, prompts: Prompts, by_mask: bool, spent: Spent
) -> tuple[dict[int, dict[str, Any]], dict[str, str]]:
    """Follow some of the objects in one session: masks by frame, and why objects were refused."""
    started = time.perf_counter()
    found: dict[int, dict[str, Any]] = {}
    refused: dict[str, str] = {}
    with client.video(model=model_id, auto_resume=False) as session:

        def frames() -> Iterator[Path]:
            for index, frame in enumerate(clip.frames):
                yield frame
                # Asked for the next frame, so this one has been sent.
                for object_id, mask in prompts.get(index, {}).items():
                    if by_mask:
                        session.prompt(object_id, mask=mask)
                    else:
                        session.prompt(object_id, box=mask.box)

        for event in session.track(frames()):
            if isinstance(event, VideoRefusal):
                if event.object_id is None or not isinstance(event.error, InvalidRequestError):
                    raise event.error
                refused[str(event.object_id)] = str(event.error)
                continue
            if event.image_size != (clip.height, clip.width):
                raise ValueError(
                    f"{clip.name}: expected frames of {clip.height} x {clip.width} pixels, as the "
                    f"labels have, and {model_id} saw {event.image_size[0]} x {event.image_size[1]}"
                )
            found[event.frame_index] = _masks(event)
            spent.service_s += _work_s(event.timings)
            spent.reply_bytes += event.raw.ByteSize() if event.raw else 0
        spent.provenance = session.provenance
    spent.wall_s += time.perf_counter() - started
    spent.calls += 1
    return found, refused


def _work_s(timings: Timings) -> float:
    """Sum what was done for a frame; its ``total_s`` is also that of frames before it."""
    done = (timings.decode_s, timings.encode_s, timings.predict_s, timings.postprocess_s)
    return sum(done)


def _masks(result: VideoFrameResult) -> dict[str, Any]:
    """Write the masks of a frame as COCO run lengths, by object id; hidden ones are left out."""
    return {
        str(each.object_id): {"size": list(mask.size), "counts": mask.to_coco().decode("ascii")}
        for each in result.objects
        if (mask := each.segment.mask) is not None
    }

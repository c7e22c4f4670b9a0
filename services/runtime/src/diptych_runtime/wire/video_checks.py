"""Refuses video messages before any work is done for them: all that needs no pixels.

Runs in the front. What needs a frame's size, or to know what the session holds, is checked in the
engine process at the message's turn.
"""

from __future__ import annotations

from diptych import Task
from diptych.segment import v1 as pb
from diptych.wire.requests import task_value

from ..engine.errors import Reason, ServiceError, invalid
from ..engine.video import OWN_IDS
from .checks import check_kinds, check_model, check_output
from .prompt_checks import check_run_lengths, prompt_problems, refuse


def check_follows(card: pb.ModelCard) -> None:
    """Check that a model follows objects at all.

    Raises:
        ServiceError: it does not.
    """
    if task_value(Task.VIDEO_SEGMENTATION) not in card.tasks:
        text = f"expected a model that does video-segmentation, got {card.id}"
        raise invalid(Reason.TASK_UNSUPPORTED, "SegmentVideo", text, modelId=card.id)


def check_start(request: pb.SegmentVideoRequest, card: pb.ModelCard) -> None:
    """Check the first message of a stream.

    Raises:
        ServiceError: it is not ``start``, or asks for what video does not have.
    """
    kind = request.WhichOneof("event")
    if kind != "start":
        text = f"expected start as the first message, got {kind or 'nothing'}"
        raise ServiceError(Reason.SESSION_ORDER, text)
    check_model(request.start.model_id, card)
    output = request.start.output
    check_output(output, card, "start.output")
    for name in ("all_candidates", "low_res_logits"):
        if getattr(output, name):
            text = "expected it unset, video answers do not hold them"
            raise invalid(Reason.OPTION_INVALID, f"start.output.{name}", text)


def check_event(request: pb.SegmentVideoRequest, card: pb.ModelCard) -> None:
    """Check any message after the first.

    Raises:
        ServiceError: with the field and what was expected of it; to be told in band.
    """
    kind = request.WhichOneof("event")
    if kind is None:
        text = "expected a frame, a prompt or a removal, got none of them"
        raise invalid(Reason.OPTION_INVALID, "event", text)
    if kind == "start":
        raise ServiceError(Reason.SESSION_ORDER, "start: expected once, the session is open")
    if kind == "frame":
        _check_frame(request.frame)
    elif kind == "prompt":
        _check_prompt(request.prompt, card)


def _check_frame(frame: pb.VideoFrame) -> None:
    if frame.frame_index < 0:
        text = f"frame.frame_index: expected 0 or more, got {frame.frame_index}"
        raise ServiceError(Reason.SESSION_ORDER, text)
    if not frame.encoded:
        text = "expected JPEG, PNG or WebP, got 0 bytes"
        raise invalid(Reason.IMAGE_UNREADABLE, "frame.encoded", text)


def _check_prompt(asked: pb.VideoPrompt, card: pb.ModelCard) -> None:
    if not 0 <= asked.object_id < OWN_IDS:
        text = f"expected 0 to {OWN_IDS - 1}, got {asked.object_id}"
        raise invalid(Reason.PROMPT_INVALID, "prompt.object_id", text)
    prompt, path = asked.prompt, "prompt.prompt"
    most = card.limits.max_points_per_prompt
    if len(prompt.points) > most:
        text = f"expected at most {most}, got {len(prompt.points)}"
        raise invalid(Reason.PROMPT_INVALID, f"{path}.points", text)
    check_kinds(prompt, path, card)
    if prompt.mask.HasField("low_res_logits"):
        text = "expected a mask of the frame, got logits of an image answer"
        raise invalid(Reason.PROMPT_INVALID, f"{path}.mask.low_res_logits", text)
    check_run_lengths([prompt], f"{path}.mask.mask.coco_rle")
    refuse(prompt_problems(prompt, path, corrects=True))

"""Refuses requests that cannot be answered, before any work is done for them.

All that the card alone decides; runs in the front. What needs the size of the picture is checked by
``prompt_checks.check_prompts`` in the engine process, before the encoder.
"""

from __future__ import annotations

import sys

from google.protobuf.message import DecodeError

from diptych import Task
from diptych.segment import v1 as pb
from diptych.wire.requests import read_encoding, read_request, read_task

from ..engine.errors import Reason, exact, invalid, unreadable
from .prompt_checks import check_run_lengths, prompt_problems, refuse

_DIGEST_BYTES = 32
_MAX_QUOTED = 100
_MAX_CATEGORIES = 10_000
_ABOVE_ZERO = sys.float_info.min

# Option: lowest, highest value; the figures are the contract's.
_AUTOMATIC_RANGES: dict[str, tuple[float, float]] = {
    "points_per_side": (1, 64),
    "pred_iou_thresh": (0, 1),
    "stability_score_thresh": (0, 1),
    "box_nms_thresh": (0, 1),
    "crop_n_layers": (0, 2),
    "min_mask_region_area_px": (0, 2**31 - 1),
    "stability_score_offset": (_ABOVE_ZERO, 10),
    "crop_nms_thresh": (0, 1),
    "crop_overlap_ratio": (0, 0.5),
    "crop_n_points_downscale_factor": (1, 8),
}


def read_checked_request(
    raw: bytes, card: pb.ModelCard
) -> tuple[pb.SegmentRequest, bytes | memoryview, Task]:
    """Read a serialised ``SegmentRequest`` and check everything that needs no pixels.

    Returns:
        The request without the file of its image, that file, and the task.

    Raises:
        ServiceError: it is no such message, or see ``check_request``.
    """
    try:
        message, encoded = read_request(raw)
    except DecodeError as error:
        raise unreadable(raw) from error
    return message, encoded, check_request(message, encoded, card)


def check_request(
    request: pb.SegmentRequest, encoded: bytes | memoryview, card: pb.ModelCard
) -> Task:
    """Check everything that needs no pixels; returns the task.

    Args:
        request: The request; the file of its image may have been taken out.
        encoded: That file.
        card: The card of the model that is to answer.

    Raises:
        ServiceError: with the field and what was expected of it.
    """
    check_model(request.model_id, card)
    task = _check_task(request, card)
    _check_image(request.image, encoded)
    check_output(request.output, card)
    if card.HasField("default_automatic"):
        _check_automatic(request.automatic, card)
    _check_prompt_count(request, task, card)
    if not request.prompts:
        return task
    for index, prompt in enumerate(request.prompts):
        check_kinds(prompt, f"prompts[{index}]", card)
    check_run_lengths(request.prompts, "prompts")
    paths = ((f"prompts[{index}]", prompt) for index, prompt in enumerate(request.prompts))
    refuse(problem for path, prompt in paths for problem in prompt_problems(prompt, path))
    return task


def check_model(model_id: str, card: pb.ModelCard) -> None:
    """Check that a request is for this model.

    Raises:
        ServiceError: it is for another one.
    """
    if model_id not in ("", card.id):
        came = model_id[:_MAX_QUOTED]
        text = f"expected {card.id!r} or nothing, got {came!r}"
        raise invalid(Reason.MODEL_UNKNOWN, "model_id", text, modelId=came)


def _check_task(request: pb.SegmentRequest, card: pb.ModelCard) -> Task:
    task = read_task(request.task)
    if task is None:
        raise invalid(
            Reason.OPTION_INVALID, "task", f"expected one of the tasks, got {request.task}"
        )
    if request.task not in card.tasks or task is Task.VIDEO_SEGMENTATION:
        known = (read_task(value) for value in card.tasks)
        does = [t.value for t in known if t and t is not Task.VIDEO_SEGMENTATION]
        text = f"expected {' or '.join(does)}, got {task.value}, which {card.id} does not do"
        raise invalid(Reason.TASK_UNSUPPORTED, "task", text, modelId=card.id, task=task.value)
    return task


def _check_image(image: pb.Image, encoded: bytes | memoryview) -> None:
    source = image.WhichOneof("source")
    if source is None:
        text = "expected encoded bytes or a digest, got neither"
        raise invalid(Reason.IMAGE_UNREADABLE, "image", text)
    if source == "encoded" and not encoded:
        raise invalid(
            Reason.IMAGE_UNREADABLE, "image.encoded", "expected JPEG, PNG or WebP, got 0 bytes"
        )
    if source == "sha256" and len(image.sha256) != _DIGEST_BYTES:
        raise invalid(
            Reason.IMAGE_UNREADABLE,
            "image.sha256",
            f"expected {_DIGEST_BYTES} bytes, got {len(image.sha256)}",
        )


def check_output(output: pb.OutputOptions, card: pb.ModelCard, path: str = "output") -> None:
    """Check what the answer should hold; ``path`` is where it stands in the request.

    Raises:
        ServiceError: with the field and what was expected of it.
    """
    if output.HasField("min_score"):
        _check_range(f"{path}.min_score", output.min_score, 0, 1)
    if output.HasField("max_segments"):
        _check_range(f"{path}.max_segments", output.max_segments, 1, card.limits.max_segments)
    if read_encoding(output.mask_encoding) is None:
        raise invalid(
            Reason.OPTION_INVALID,
            f"{path}.mask_encoding",
            f"expected one of the encodings, got {output.mask_encoding}",
        )
    if not output.category_ids:
        return
    known = {category.id for category in card.categories}
    if len(output.category_ids) > _MAX_CATEGORIES:
        text = f"expected at most {_MAX_CATEGORIES}, got {len(output.category_ids)}"
        raise invalid(Reason.OPTION_INVALID, f"{path}.category_ids", text)
    for index, category in enumerate(output.category_ids if known else ()):
        if category not in known:
            raise invalid(
                Reason.OPTION_INVALID,
                f"{path}.category_ids[{index}]",
                f"expected a category of {card.id}'s card, got {category}",
            )


def _check_range(field: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # also false for NaN
        text = f"expected {_number(low)} to {_number(high)}, got {_number(value)}"
        raise invalid(Reason.OPTION_INVALID, field, text)


def _number(value: float) -> str:
    if value == _ABOVE_ZERO:
        return "more than 0"
    return str(value) if isinstance(value, int) else exact(value)


def _check_automatic(options: pb.AutomaticOptions, card: pb.ModelCard) -> None:
    for name, (low, high) in _AUTOMATIC_RANGES.items():
        if options.HasField(name):  # type: ignore[arg-type]
            _check_range(f"automatic.{name}", getattr(options, name), low, high)
    total = grid_points(options, card.default_automatic)
    if total > card.limits.max_grid_points:
        raise invalid(
            Reason.OPTION_INVALID,
            "automatic.points_per_side",
            f"expected at most {card.limits.max_grid_points} points over all crops, got {total}",
        )


def grid_points(options: pb.AutomaticOptions, default: pb.AutomaticOptions) -> int:
    """Points of the automatic grid, all crops together."""
    asked = pb.AutomaticOptions()
    asked.CopyFrom(default)
    asked.MergeFrom(options)
    layers = range(asked.crop_n_layers + 1)
    shrink = max(asked.crop_n_points_downscale_factor, 1)
    # Layer i cuts the picture into 2^i by 2^i crops, each with a grid of its own.
    return sum(4**i * max(asked.points_per_side // shrink**i, 1) ** 2 for i in layers)


def _check_prompt_count(request: pb.SegmentRequest, task: Task, card: pb.ModelCard) -> None:
    count = len(request.prompts)
    if task is not Task.PROMPTED_SEGMENTATION:
        if count:
            raise invalid(
                Reason.PROMPT_INVALID, "prompts", f"expected none for {task.value}, got {count}"
            )
        return
    if not 1 <= count <= card.limits.max_prompts:
        raise invalid(
            Reason.PROMPT_INVALID,
            "prompts",
            f"expected 1 to {card.limits.max_prompts} for {task.value}, got {count}",
        )
    for index, prompt in enumerate(request.prompts):
        if len(prompt.points) > card.limits.max_points_per_prompt:
            raise invalid(
                Reason.PROMPT_INVALID,
                f"prompts[{index}].points",
                f"expected at most {card.limits.max_points_per_prompt}, got {len(prompt.points)}",
            )


def check_kinds(prompt: pb.ObjectPrompt, path: str, card: pb.ModelCard) -> None:
    """Check that the model takes these kinds of prompts.

    Raises:
        ServiceError: with the field and what the model takes.
    """
    sent = {
        "points": (bool(prompt.points), pb.PromptKind.PROMPT_KIND_POINT),
        "box": (prompt.HasField("box"), pb.PromptKind.PROMPT_KIND_BOX),
        "mask": (prompt.HasField("mask"), pb.PromptKind.PROMPT_KIND_MASK),
    }
    for name, (present, kind) in sent.items():
        if present and kind not in card.prompt_kinds:
            takes = ", ".join(known for known, (_, k) in sent.items() if k in card.prompt_kinds)
            text = f"expected {takes or 'no prompts'}, got a kind that {card.id} does not take"
            raise invalid(Reason.PROMPT_UNSUPPORTED, f"{path}.{name}", text, modelId=card.id)

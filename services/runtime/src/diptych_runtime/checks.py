"""Refuses requests that cannot be answered, before any work is done for them.

``check_request`` needs the card alone and runs in the front; ``check_prompts`` needs the size of
the picture and runs in the engine process, before the encoder.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from diptych import Prompt, Task
from diptych.segment import v1 as pb

from .convert import encoding_from_wire, prompt_from_wire, task_from_wire
from .errors import Reason, ServiceError, Violation, invalid

_DIGEST_BYTES = 32
_LOGITS_SIDE = 1024
_MAX_RETURNED = 50

# Option: lowest, highest value; the figures are the contract's.
_AUTOMATIC_RANGES: dict[str, tuple[float, float]] = {
    "points_per_side": (1, 64),
    "pred_iou_thresh": (0, 1),
    "stability_score_thresh": (0, 1),
    "box_nms_thresh": (0, 1),
    "crop_n_layers": (0, 2),
    "min_mask_region_area_px": (0, 2**31 - 1),
    "stability_score_offset": (1e-6, 10),
    "crop_nms_thresh": (0, 1),
    "crop_overlap_ratio": (0, 0.5),
    "crop_n_points_downscale_factor": (1, 8),
}


def check_request(request: pb.SegmentRequest, card: pb.ModelCard) -> Task:
    """Check everything that needs no pixels; returns the task.

    Raises:
        ServiceError: with the field and what was expected of it.
    """
    if request.model_id not in ("", card.id):
        raise ServiceError(
            Reason.MODEL_UNKNOWN,
            f"model_id: expected {card.id!r} or nothing, got {request.model_id[:100]!r}",
            metadata={"modelId": request.model_id[:100]},
        )
    task = _check_task(request, card)
    _check_image(request.image)
    _check_output(request.output, card)
    if card.HasField("default_automatic"):
        _check_automatic(request.automatic, card)
    _check_prompt_count(request, task, card)
    problems: list[Violation] = []
    for index, prompt in enumerate(request.prompts):
        _check_kinds(prompt, f"prompts[{index}]", card)
        problems += _prompt_problems(prompt, f"prompts[{index}]")
    _raise(problems)
    return task


def check_prompts(
    request: pb.SegmentRequest, size: tuple[int, int], logits_size: tuple[int, int] | None
) -> tuple[Prompt, ...]:
    """Check prompts against a picture of ``size`` (height, width); returns them converted.

    Raises:
        ServiceError: with the fields and what was expected of them.
    """
    problems: list[Violation] = []
    prompts = []
    for index, prompt in enumerate(request.prompts):
        path = f"prompts[{index}]"
        problems += _outside(prompt, path, size)
        logits = prompt.mask.low_res_logits
        if prompt.mask.HasField("low_res_logits") and (logits.height, logits.width) != logits_size:
            want = f"{logits_size[1]} x {logits_size[0]}" if logits_size else "none"
            text = f"expected {want}, got {logits.width} x {logits.height}"
            problems.append(Violation(f"{path}.mask.low_res_logits", text))
            continue
        try:
            prompts.append(prompt_from_wire(prompt, size))
        except ValueError as error:
            problems.append(Violation(f"{path}.mask.mask", str(error)))
            continue
        if prompt.mask.HasField("mask") and not getattr(prompts[-1].mask, "area", 1):
            problems.append(Violation(f"{path}.mask.mask", "expected at least one pixel, got none"))
    _raise(problems)
    return tuple(prompts)


def _raise(problems: list[Violation]) -> None:
    if problems:
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ServiceError(
            Reason.PROMPT_INVALID,
            f"{first.field}: {first.description}{more}",
            violations=problems[:_MAX_RETURNED],
        )


def _check_task(request: pb.SegmentRequest, card: pb.ModelCard) -> Task:
    task = task_from_wire(request.task)
    if task is None:
        raise invalid(
            Reason.OPTION_INVALID, "task", f"expected one of the tasks, got {request.task}"
        )
    if request.task not in card.tasks or task is Task.VIDEO_SEGMENTATION:
        known = (task_from_wire(value) for value in card.tasks)
        does = [t.value for t in known if t and t is not Task.VIDEO_SEGMENTATION]
        raise ServiceError(
            Reason.TASK_UNSUPPORTED,
            f"task: {card.id} does not do {task.value} on a picture; it does {', '.join(does)}",
            metadata={"modelId": card.id, "task": task.value},
        )
    return task


def _check_image(image: pb.Image) -> None:
    source = image.WhichOneof("source")
    if source is None:
        raise invalid(Reason.IMAGE_UNREADABLE, "image", "expected encoded bytes or a digest")
    if source == "encoded" and not image.encoded:
        raise invalid(
            Reason.IMAGE_UNREADABLE, "image.encoded", "expected JPEG, PNG or WebP, got 0 bytes"
        )
    if source == "sha256" and len(image.sha256) != _DIGEST_BYTES:
        raise invalid(
            Reason.IMAGE_UNREADABLE,
            "image.sha256",
            f"expected {_DIGEST_BYTES} bytes, got {len(image.sha256)}",
        )


def _check_output(output: pb.OutputOptions, card: pb.ModelCard) -> None:
    if output.HasField("min_score"):
        _check_range("output.min_score", output.min_score, 0, 1)
    if output.HasField("max_segments"):
        _check_range("output.max_segments", output.max_segments, 1, card.limits.max_segments)
    if encoding_from_wire(output.mask_encoding) is None:
        raise invalid(
            Reason.OPTION_INVALID,
            "output.mask_encoding",
            f"expected one of the encodings, got {output.mask_encoding}",
        )
    known = {category.id for category in card.categories}
    for index, category in enumerate(output.category_ids if known else ()):
        if category not in known:
            raise invalid(
                Reason.OPTION_INVALID,
                f"output.category_ids[{index}]",
                f"expected a category of {card.id}'s card, got {category}",
            )


def _check_range(field: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # also false for NaN
        raise invalid(Reason.OPTION_INVALID, field, f"expected {low:g} to {high:g}, got {value:g}")


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


def _check_kinds(prompt: pb.ObjectPrompt, path: str, card: pb.ModelCard) -> None:
    sent = {
        "points": (bool(prompt.points), pb.PromptKind.PROMPT_KIND_POINT),
        "box": (prompt.HasField("box"), pb.PromptKind.PROMPT_KIND_BOX),
        "mask": (prompt.HasField("mask"), pb.PromptKind.PROMPT_KIND_MASK),
    }
    for name, (present, kind) in sent.items():
        if present and kind not in card.prompt_kinds:
            raise ServiceError(
                Reason.PROMPT_UNSUPPORTED,
                f"{path}.{name}: {card.id} does not take this kind of prompt",
                metadata={"modelId": card.id},
                violations=[Violation(f"{path}.{name}", "this kind of prompt is not taken")],
            )


def _prompt_problems(prompt: pb.ObjectPrompt, path: str) -> Iterator[Violation]:
    """What is wrong with a prompt whatever the picture."""
    positive = False
    for index, point in enumerate(prompt.points):
        where = f"{path}.points[{index}]"
        if not (math.isfinite(point.x_px) and math.isfinite(point.y_px)):
            yield Violation(where, f"expected finite numbers, got {point.x_px:g}, {point.y_px:g}")
        if point.label == pb.PointLabel.POINT_LABEL_FOREGROUND:
            positive = True
        elif point.label != pb.PointLabel.POINT_LABEL_BACKGROUND:
            yield Violation(
                f"{where}.label", f"expected foreground or background, got {point.label}"
            )
    if prompt.HasField("box"):
        yield from _box_problems(prompt.box, f"{path}.box")
    if prompt.HasField("mask"):
        yield from _mask_problems(prompt, f"{path}.mask")
    elif not positive and not prompt.HasField("box"):
        yield Violation(path, "expected a foreground point, a box or a mask, got none of them")


def _box_problems(box: pb.BoundingBox, path: str) -> Iterator[Violation]:
    edges = (box.x_min_px, box.y_min_px, box.x_max_px, box.y_max_px)
    text = ", ".join(f"{edge:g}" for edge in edges)
    if not all(map(math.isfinite, edges)):
        yield Violation(path, f"expected finite edges, got {text}")
    elif box.x_min_px >= box.x_max_px or box.y_min_px >= box.y_max_px:
        yield Violation(path, f"expected x_min < x_max and y_min < y_max, got {text}")


def _mask_problems(prompt: pb.ObjectPrompt, path: str) -> Iterator[Violation]:
    source = prompt.mask.WhichOneof("source")
    if source == "low_res_logits":
        logits = prompt.mask.low_res_logits
        sides = (logits.height, logits.width)
        if not all(1 <= side <= _LOGITS_SIDE for side in sides):
            yield Violation(
                f"{path}.low_res_logits", f"expected sides of 1 to {_LOGITS_SIDE}, got {sides}"
            )
        elif len(logits.float16_le) != 2 * sides[0] * sides[1]:
            yield Violation(
                f"{path}.low_res_logits.float16_le",
                f"expected {2 * sides[0] * sides[1]} bytes, got {len(logits.float16_le)}",
            )
        elif not np.isfinite(np.frombuffer(logits.float16_le, "<f2")).all():
            yield Violation(f"{path}.low_res_logits.float16_le", "expected finite numbers")
    elif source is None:
        yield Violation(path, "expected low-res logits or a mask")
    elif prompt.mask.mask.WhichOneof("encoding") not in ("coco_rle", "png"):
        yield Violation(f"{path}.mask", "expected COCO RLE or PNG")
    elif prompt.points or prompt.HasField("box"):
        yield Violation(f"{path}.mask", "expected a mask alone, got points or a box with it")


def _outside(prompt: pb.ObjectPrompt, path: str, size: tuple[int, int]) -> Iterator[Violation]:
    """Points and boxes that leave a picture of ``size`` (height, width)."""
    height, width = size
    inside = f"expected 0 to {width} across and 0 to {height} down"
    for index, point in enumerate(prompt.points):
        if not (0 <= point.x_px <= width and 0 <= point.y_px <= height):
            where = f"{path}.points[{index}]"
            yield Violation(where, f"{inside}, got {point.x_px:g}, {point.y_px:g}")
    box = prompt.box
    if prompt.HasField("box") and not (
        box.x_min_px >= 0 and box.y_min_px >= 0 and box.x_max_px <= width and box.y_max_px <= height
    ):
        text = f"{box.x_min_px:g}, {box.y_min_px:g}, {box.x_max_px:g}, {box.y_max_px:g}"
        yield Violation(f"{path}.box", f"{inside}, got {text}")

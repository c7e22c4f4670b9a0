"""Refuses prompts: what is wrong with them whatever the picture, and what is outside of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np

from diptych import Prompt
from diptych.segment import v1 as pb
from diptych.wire.requests import read_prompt

from ..engine.errors import Reason, ServiceError, Violation, invalid

_LOGITS_SIDE = 1024
_RLE_BYTES = 4 * 1024 * 1024  # of all masks of a request; each takes 33 bytes while it is read
_PNG_PIXELS = 256_000_000  # of all masks of a request; each takes 3 ns to draw, however small
_MAX_LISTED = 100  # problems that are looked for; more of them would help nobody


def check_prompts(
    request: pb.SegmentRequest,
    size: tuple[int, int],
    logits_size: tuple[int, int] | None,
    *,
    between: Callable[[], None] = lambda: None,
) -> tuple[Prompt, ...]:
    """Check prompts against a picture of ``size`` (height, width); returns them converted.

    ``between`` is called before each prompt, to stop by raising: masks take a while to decode.

    Raises:
        ServiceError: with the fields and what was expected of them.
    """
    prompts: list[Prompt] = []
    _check_pixels(request, size)

    def problems() -> Iterator[Violation]:
        for index, prompt in enumerate(request.prompts):
            between()
            path = f"prompts[{index}]"
            yield from _outside(prompt, path, size)
            yield from _wrong_logits(prompt, path, logits_size)
            try:
                prompts.append(read_prompt(prompt, size))
            except ValueError as error:
                yield Violation(f"{path}.mask.mask", str(error))

    refuse(problems())
    return tuple(prompts)


def _check_pixels(request: pb.SegmentRequest, size: tuple[int, int]) -> None:
    """Refuse masks of too many pixels in all; those of another size are not drawn anyway."""
    files = sum(prompt.mask.mask.WhichOneof("encoding") == "png" for prompt in request.prompts)
    pixels = files * size[0] * size[1]
    if files > 1 and pixels > _PNG_PIXELS:
        text = f"expected PNG masks of at most {_PNG_PIXELS} pixels in all, got {pixels}"
        raise invalid(Reason.PROMPT_INVALID, "prompts", f"{text}; send COCO RLE")


def check_run_lengths(prompts: Iterable[pb.ObjectPrompt], path: str) -> None:
    """Refuse run lengths that would take too much room and time to read, all masks together.

    Raises:
        ServiceError: with the length and what was expected.
    """
    length = sum(len(prompt.mask.mask.coco_rle) for prompt in prompts)
    if length > _RLE_BYTES:
        text = f"expected COCO RLE of at most {_RLE_BYTES} bytes in all, got {length}"
        raise invalid(Reason.PROMPT_INVALID, path, text)


def check_video_prompt(prompt: pb.ObjectPrompt, path: str, size: tuple[int, int]) -> Prompt:
    """Check a prompt against frames of ``size`` (height, width); returns it converted.

    Raises:
        ServiceError: with the fields and what was expected of them.
    """
    refuse(_outside(prompt, path, size))
    try:
        return read_prompt(prompt, size)
    except ValueError as error:
        raise invalid(Reason.PROMPT_INVALID, f"{path}.mask.mask", str(error)) from error


def _wrong_logits(
    prompt: pb.ObjectPrompt, path: str, size: tuple[int, int] | None
) -> Iterator[Violation]:
    """Logits of another model; ``size`` is (height, width), ``None`` for models without."""
    logits = prompt.mask.low_res_logits
    if prompt.mask.HasField("low_res_logits") and (logits.height, logits.width) != size:
        want = f"{size[1]} x {size[0]}" if size else "none"
        text = f"expected {want}, got {logits.width} x {logits.height}"
        yield Violation(f"{path}.mask.low_res_logits", text)


def refuse(problems: Iterable[Violation]) -> None:
    """Raise for these problems, if there are any; a hostile request may have very many."""
    listed = list(islice(problems, _MAX_LISTED))
    if listed:
        more = f" (and {len(listed) - 1} more)" if len(listed) > 1 else ""
        if len(listed) == _MAX_LISTED:
            more = " (and many more)"
        raise ServiceError(
            Reason.PROMPT_INVALID,
            f"{listed[0].field}: {listed[0].description}{more}",
            violations=listed,
        )


def prompt_problems(prompt: pb.ObjectPrompt, path: str) -> Iterator[Violation]:
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
                f"{path}.low_res_logits",
                f"expected sides of 1 to {_LOGITS_SIDE}, got {sides[1]} x {sides[0]}",
            )
        elif len(logits.float16_le) != 2 * sides[0] * sides[1]:
            yield Violation(
                f"{path}.low_res_logits.float16_le",
                f"expected {2 * sides[0] * sides[1]} bytes, got {len(logits.float16_le)}",
            )
        elif not np.isfinite(np.frombuffer(logits.float16_le, "<f2")).all():
            yield Violation(
                f"{path}.low_res_logits.float16_le", "expected finite numbers, got others"
            )
    elif source is None:
        yield Violation(path, "expected low-res logits or a mask, got neither")
    elif prompt.mask.mask.WhichOneof("encoding") not in ("coco_rle", "png"):
        sent = prompt.mask.mask.WhichOneof("encoding") or "nothing"
        yield Violation(f"{path}.mask", f"expected COCO RLE or PNG, got {sent}")
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

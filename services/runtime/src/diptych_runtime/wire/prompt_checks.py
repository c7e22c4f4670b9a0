"""Refuses prompts: what is wrong with them whatever the picture, and what is outside of it.

What only leaves the picture is put into it instead: a box that overlaps it, and a point that
rounding has pushed over its edge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice

import numpy as np

from diptych import Box, Prompt
from diptych.segment import v1 as pb
from diptych.wire.requests import read_prompt

from ..engine.errors import Reason, ServiceError, Violation, exact, invalid

_LOGITS_SIDE = 1024
_RLE_BYTES = 4 * 1024 * 1024  # of all masks of a request; each takes 33 bytes while it is read
_PNG_PIXELS = 256_000_000  # of all masks of a request; each takes 3 ns to draw, however small
_MAX_LISTED = 100  # problems that are looked for; more of them would help nobody
_ROUNDING_PX = 1.0  # a point may leave the picture by less, as rounding and half pixels do


def check_prompts(
    request: pb.SegmentRequest,
    size: tuple[int, int],
    logits_size: tuple[int, int] | None,
    *,
    between: Callable[[], None] = lambda: None,
) -> tuple[Prompt, ...]:
    """Check prompts against a picture of ``size`` (height, width); returns them converted, and
    inside of it.

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
                prompts.append(_fitted(read_prompt(prompt, size), size))
            except ValueError as error:
                yield Violation(f"{path}.mask.mask", _of_mask(error))

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
    """Check a prompt against frames of ``size`` (height, width); returns it converted, and inside
    of them.

    Raises:
        ServiceError: with the fields and what was expected of them.
    """
    refuse(_outside(prompt, path, size))
    try:
        return _fitted(read_prompt(prompt, size), size)
    except ValueError as error:
        raise invalid(Reason.PROMPT_INVALID, f"{path}.mask.mask", _of_mask(error)) from error


def _of_mask(error: ValueError) -> str:
    """What is wrong with a mask, which the field names already."""
    return str(error).removeprefix("mask: ")


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


def prompt_problems(
    prompt: pb.ObjectPrompt, path: str, *, corrects: bool = False
) -> Iterator[Violation]:
    """What is wrong with a prompt whatever the picture; one that ``corrects`` an object that is
    known already may say only where it is not."""
    positive = False
    for index, point in enumerate(prompt.points):
        where = f"{path}.points[{index}]"
        if not (math.isfinite(point.x_px) and math.isfinite(point.y_px)):
            yield Violation(
                where, f"expected finite numbers, got {_listed(point.x_px, point.y_px)}"
            )
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
    elif not positive and not prompt.HasField("box") and not (corrects and prompt.points):
        yield Violation(path, _nothing_wanted(prompt))


def _nothing_wanted(prompt: pb.ObjectPrompt) -> str:
    wanted = "expected a foreground point, a box or a mask"
    if not prompt.points:
        return f"{wanted}, got none of them"
    return f"{wanted}, got background points alone, which correct what comes with them"


def _box_problems(box: pb.BoundingBox, path: str) -> Iterator[Violation]:
    edges = (box.x_min_px, box.y_min_px, box.x_max_px, box.y_max_px)
    text = _listed(*edges)
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


def _outside(prompt: pb.ObjectPrompt, path: str, size: tuple[int, int]) -> Iterator[Violation]:
    """Points outside of a picture of ``size`` (height, width), and boxes that do not overlap it."""
    height, width = size
    inside = f"0 to {width} across and 0 to {height} down"
    for index, point in enumerate(prompt.points):
        if not (_is_near(point.x_px, width) and _is_near(point.y_px, height)):
            text = f"expected {inside}, got {_listed(point.x_px, point.y_px)}"
            yield Violation(f"{path}.points[{index}]", text)
    box = prompt.box
    if prompt.HasField("box") and not (
        box.x_min_px < width and box.y_min_px < height and box.x_max_px > 0 and box.y_max_px > 0
    ):
        edges = _listed(box.x_min_px, box.y_min_px, box.x_max_px, box.y_max_px)
        yield Violation(f"{path}.box", f"expected a box that overlaps {inside}, got {edges}")


def _is_near(position: float, side: int) -> bool:
    return -_ROUNDING_PX < position < side + _ROUNDING_PX


def _fitted(prompt: Prompt, size: tuple[int, int]) -> Prompt:
    """Move the edges of a box and points that leave a picture of ``size`` to its edge."""
    height, width = size
    box = prompt.box
    if box is not None:
        box = Box(
            max(box.x_min, 0.0),
            max(box.y_min, 0.0),
            min(box.x_max, float(width)),
            min(box.y_max, float(height)),
        )
    points = tuple(
        replace(
            point,
            x=min(max(point.x, 0.0), float(width)),
            y=min(max(point.y, 0.0), float(height)),
        )
        for point in prompt.points
    )
    return Prompt(points, box, prompt.mask)


def _listed(*numbers: float) -> str:
    return ", ".join(map(exact, numbers))

"""Where objects are, as ``--point`` and ``--box`` of ``diptych video`` say it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import click

from ... import Box, Point, Prompt, VideoPrompt, VideoReader
from ...limits import SERVER_IDS
from .._options import NumbersType, box_of, point_of

_T = TypeVar("_T", Point, Box)

Plan = Mapping[int, Sequence[VideoPrompt]]
"""Prompts by frame, in the order in which they are sent."""


@dataclass(frozen=True)
class Placed(Generic[_T]):
    """A point or a box on a frame, of an object if one was named."""

    object_id: int | None
    frame_index: int
    shape: _T


class _PlacedType(NumbersType):
    """``[OBJECT@]FRAME:`` and numbers."""

    def __init__(self, numbers: str, shape: Callable[[Sequence[float]], Point | Box | None]):
        self.name = f"[OBJECT@]FRAME:{numbers}"
        self._shape = shape

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Placed[Any]:
        if isinstance(value, Placed):
            return value
        parts = re.fullmatch(r"(?:(\d{1,10})@)?(\d{1,18}):([^:]+)", value, re.ASCII)
        shape = self._shape(self.numbers(parts[3], param, ctx)) if parts else None
        if parts is None or shape is None:
            self.fail(f"expected {self.name}, got {value!r}.", param, ctx)
        object_id = None if parts[1] is None else int(parts[1])
        if object_id is not None and object_id >= SERVER_IDS:
            self.fail(f"expected an OBJECT below {SERVER_IDS}, got {value!r}.", param, ctx)
        return Placed(object_id, int(parts[2]), shape)


FRAME_POINT = _PlacedType("X,Y[,0|1]", point_of)
FRAME_BOX = _PlacedType("X1,Y1,X2,Y2 with X1 < X2 and Y1 < Y2", box_of)
# What --help shows; the error says more.
BOX_METAVAR = "[OBJECT@]FRAME:X1,Y1,X2,Y2"


def prompt_plan(points: Sequence[Placed[Point]], boxes: Sequence[Placed[Box]]) -> Plan:
    """What to send after which frame.

    Points that name no object are together one, boxes that name none are one each; they take the
    lowest numbers from 1 that are free. Points and box of one object and frame are one prompt.

    Raises:
        click.BadParameter: two boxes are for the same object and frame.
    """
    named = {point.object_id for point in points} | {box.object_id for box in boxes}
    free = (number for number in itertools.count(1) if number not in named)
    loose = next(free) if any(point.object_id is None for point in points) else None
    asked: dict[tuple[int, int], Prompt] = {}
    for point in points:
        key = (point.frame_index, _known(point.object_id, loose))
        asked[key] = Prompt(points=(*asked.get(key, Prompt()).points, point.shape))
    for box in boxes:
        key = (box.frame_index, next(free) if box.object_id is None else box.object_id)
        prompt = asked.get(key, Prompt())
        if prompt.box is not None:
            raise click.BadParameter(
                f"expected one box for object {key[1]} on frame {key[0]}, got two.",
                param_hint="--box",
            )
        asked[key] = Prompt(points=prompt.points, box=box.shape)
    plan: dict[int, list[VideoPrompt]] = {}
    for (frame_index, object_id), prompt in asked.items():
        plan.setdefault(frame_index, []).append(VideoPrompt(object_id, frame_index, prompt))
    return plan


def check_frames(frames: Iterable[int], clip: VideoReader) -> None:
    """Raises ``click.UsageError`` for a prompt on a frame that is never sent."""
    indexes = clip.indexes
    for frame in sorted(frames):
        if frame not in indexes:
            every = f", every {indexes.step}th" if indexes.step > 1 else ""
            last = f" to {indexes[-1]}" if clip.frame_count else " on"
            read = f"frames {indexes.start}{last}{every}" if indexes else "none"
            raise click.UsageError(
                f"prompt on frame {frame}: expected one that is read ({read}), got {frame}."
            )


def _known(object_id: int | None, loose: int | None) -> int:
    number = loose if object_id is None else object_id
    assert number is not None
    return number

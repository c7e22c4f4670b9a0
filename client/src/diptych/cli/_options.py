"""Options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from .. import Box, Client, Mask, OutputOptions, Point, Prompt, Task
from .._transport.timeouts import DEFAULT_TIMEOUT_S
from ..documents.prompts import prompts_from_json
from ._security import security, security_options

_F = TypeVar("_F", bound=Callable[..., Any])


class Number(click.FloatRange):
    """A finite number in a range; click's own lets NaN pass."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


class NumbersType(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.4
    """Finite numbers with commas between them."""

    def numbers(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[float]:
        try:
            numbers = [float(part) for part in value.split(",")]
        except ValueError:
            self.fail(f"expected numbers as {self.name}, got {value!r}.", param, ctx)
        if not all(map(math.isfinite, numbers)):
            self.fail(f"expected finite numbers, got {value!r}.", param, ctx)
        return numbers


class PointType(NumbersType):
    """``x,y`` or ``x,y,1`` on the object, ``x,y,0`` off it."""

    name = "X,Y[,0|1]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Point:
        if isinstance(value, Point):
            return value
        point = point_of(self.numbers(value, param, ctx))
        if point is None:
            self.fail(f"expected {self.name}, got {value!r}.", param, ctx)
        return point


class BoxType(NumbersType):
    """``x1,y1,x2,y2``."""

    name = "X1,Y1,X2,Y2"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Box:
        if isinstance(value, Box):
            return value
        box = box_of(self.numbers(value, param, ctx))
        if box is None:
            self.fail(f"expected {self.name} with X1 < X2 and Y1 < Y2, got {value!r}.", param, ctx)
        return box


class PromptsType(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.4
    """A file with prompts as JSON; ``-`` is stdin."""

    name = "FILE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[Prompt]:
        if isinstance(value, list):
            return value
        try:
            return prompts_from_json(click.File("rb").convert(value, param, ctx).read())
        except ValueError as error:
            self.fail(str(error), param, ctx)


def point_of(numbers: Sequence[float]) -> Point | None:
    """The point of ``x, y`` and perhaps 0 or 1; ``None`` if they are no point."""
    if len(numbers) not in (2, 3) or (len(numbers) == 3 and numbers[2] not in (0, 1)):
        return None
    return Point(numbers[0], numbers[1], positive=list(numbers[2:]) != [0])


def box_of(numbers: Sequence[float]) -> Box | None:
    """The box of ``x1, y1, x2, y2``; ``None`` if they are no box with an inside."""
    if len(numbers) != 4 or numbers[0] >= numbers[2] or numbers[1] >= numbers[3]:
        return None
    return Box(*numbers)


def _decorated(options: Sequence[Callable[[Any], Any]]) -> Callable[[_F], _F]:
    def decorate(function: _F) -> _F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def connection_options_within(timeout: float, *, existing_files: bool = True) -> Callable[[_F], _F]:
    """Options on the server, with a default for ``--timeout`` in seconds.

    Files that are not there are wrong usage, unless the command looks at them itself.
    """
    return _decorated(
        [
            click.option("--address", metavar="HOST:PORT", help="Gateway or model service."),
            click.option(
                "--timeout",
                type=Number(min=0, min_open=True),
                default=timeout,
                show_default=True,
                metavar="SECONDS",
                help="Longest wait for an answer.",
            ),
            *security_options(existing=existing_files),
        ]
    )


jobs_option = click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Pictures asked at a time.",
)
connection_options = connection_options_within(DEFAULT_TIMEOUT_S)
ask_options = _decorated(
    [
        click.option(
            "--task",
            type=click.Choice([task.value for task in Task if task is not Task.VIDEO_SEGMENTATION]),
            help="Default: prompted-segmentation with prompts, else instance-segmentation.",
        ),
        click.option(
            "--point",
            "points",
            type=PointType(),
            multiple=True,
            help="On the object (1) or off it (0); all points together are one object. Points that"
            " are all off it correct the one box or mask that is given.",
        ),
        click.option(
            "--box", "boxes", type=BoxType(), multiple=True, help="Around an object; one each."
        ),
        click.option(
            "--mask",
            "masks",
            type=_EXISTING_FILE,
            multiple=True,
            help="PNG of the picture's size with an earlier guess; one object each.",
        ),
        click.option(
            "--prompts",
            "listed",
            type=PromptsType(),
            help="JSON file, or - for stdin, with objects as HTTP takes them: points, box, mask.",
        ),
        click.option(
            "--one-object",
            is_flag=True,
            help="Points, box and mask are one object: points and box correct the mask.",
        ),
        click.option("--min-score", type=Number(0, 1), help="Drop what scores lower."),
        click.option("--max-segments", type=click.IntRange(1, 100_000), help="Keep the best."),
        click.option("--all-candidates", is_flag=True, help="Every mask of an ambiguous prompt."),
    ]
)


def connect(address: str | None, timeout: float) -> Client:
    """The client for a command, as its connection options say."""
    try:
        return Client(address, timeout=timeout, **security())
    except (OSError, ValueError) as error:
        raise click.UsageError(str(error)) from error


def ask_arguments(
    *,
    task: str | None,
    points: Sequence[Point],
    boxes: Sequence[Box],
    masks: Sequence[Path],
    listed: Sequence[Prompt] | None,
    one_object: bool,
    min_score: float | None,
    max_segments: int | None,
    all_candidates: bool,
) -> dict[str, Any]:
    """Arguments for ``Client.segment`` and its like, from ``ask_options``."""
    prompts = [Prompt(mask=_mask(path)) for path in masks]
    if one_object and listed:
        raise click.UsageError("--one-object is for points, boxes and masks, not for --prompts.")
    prompts = [*(listed or ()), *prompts]
    if one_object:
        prompts, points, boxes = [_one_object(prompts, points, boxes)], (), ()
    return {
        "task": task,
        # An option that was not given is not a list of nothing.
        "prompts": prompts or None,
        "points": points or None,
        "boxes": boxes or None,
        "output": OutputOptions(
            min_score=min_score, max_segments=max_segments, all_candidates=all_candidates
        ),
    }


def _one_object(masks: list[Prompt], points: Sequence[Point], boxes: Sequence[Box]) -> Prompt:
    for name, given in (("--mask", masks), ("--box", boxes)):
        if len(given) > 1:
            raise click.BadParameter(
                f"expected at most one with --one-object, got {len(given)}.", param_hint=name
            )
    mask = masks[0].mask if masks else None
    return Prompt(tuple(points), boxes[0] if boxes else None, mask)


def _mask(path: Path) -> Mask:
    try:
        mask = Mask.from_png(path.read_bytes())
        mask.counts  # noqa: B018  decodes, so that a broken file is noticed here
        return mask
    except ValueError as error:
        raise click.BadParameter(f"{path}: {error}", param_hint="--mask") from error

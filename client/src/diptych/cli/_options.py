"""Options on the server, and kinds of values, that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from .. import Box, Client, Point
from .._transport.timeouts import DEFAULT_TIMEOUT_S
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


def decorated(options: Sequence[Callable[[Any], Any]]) -> Callable[[_F], _F]:
    def decorate(function: _F) -> _F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def connection_options_within(timeout: float, *, existing_files: bool = True) -> Callable[[_F], _F]:
    """Options on the server, with a default for ``--timeout`` in seconds.

    Files that are not there are wrong usage, unless the command looks at them itself.
    """
    return decorated(
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


def connect(address: str | None, timeout: float) -> Client:
    """The client for a command, as its connection options say."""
    try:
        return Client(address, timeout=timeout, **security())
    except (OSError, ValueError) as error:
        raise click.UsageError(str(error)) from error

"""Charts as inline SVG: intervals, bars and lines.

Rows of a table are drawn with shares of their cell's width, so that they fit any screen; the
numbers stand beside them as text, which is why screen readers are not told of the drawing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..results import Curve
from .markup import Markup, number, tag
from .words import MINUS

_WIDTH, _HEIGHT = 360, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 10, 40
_MOST_POINTS = 160


@dataclass(frozen=True)
class Axis:
    """A range of numbers and where its ticks are."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def share(self, value: float) -> float:
        """Where a value lies between both ends, 0 to 1."""
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)


def axis_over(values: Iterable[float], *, most_ticks: int = 5) -> Axis:
    """Choose an axis of round ticks that holds all values; from 0 to 1 if there are none."""
    found = list(values) or [0.0, 1.0]
    low, high = min(found), max(found)
    if high - low < 1e-12:
        margin = abs(high) / 2 or 0.5
        low, high = low - margin, high + margin
    rough = (high - low) / most_ticks
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(index * step for index in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks)


def tick(value: float) -> str:
    """Write a tick of a difference: ``-.5``, ``0``, ``+20``, with a true minus."""
    text = f"{abs(value):g}".removeprefix("0") if abs(value) < 1 else f"{abs(value):g}"
    return "0" if abs(value) < 1e-12 else f"{'+' if value > 0 else MINUS}{text}"


def interval_row(axis: Axis, value: float, low: float, high: float, look: str) -> Markup:
    """Draw a difference and its interval on an axis that has a line at 0."""
    x, left, right = (_percent(axis.share(each)) for each in (value, low, high))
    parts = [
        *[tag("line", class_="grid", x1=at, x2=at, y1=0, y2=28) for at in _places(axis)],
        tag(
            "line",
            class_="zero",
            x1=_percent(axis.share(0)),
            x2=_percent(axis.share(0)),
            y1=0,
            y2=28,
        ),
        tag("line", class_="reach", x1=left, x2=right, y1=14, y2=14),
        *[tag("line", class_="reach", x1=at, x2=at, y1=9, y2=19) for at in (left, right)],
        tag("circle", cx=x, cy=14, r=5),
    ]
    return tag("svg", parts, class_=f"row {look}", height=28, aria_hidden="true")


def axis_row(axis: Axis, written: Sequence[str]) -> Markup:
    """Draw the numbers below ``interval_row``."""
    texts = []
    for index, (at, text) in enumerate(zip(_places(axis), written, strict=True)):
        anchor = "start" if index == 0 else "end" if index == len(written) - 1 else "middle"
        texts.append(tag("text", text, x=at, y=13, text_anchor=anchor))
    return tag("svg", texts, class_="row axis", height=18, aria_hidden="true")


def bar(share: float, look: str) -> Markup:
    """Draw a bar over a share of its cell."""
    width = f"{number(min(max(share, 0.0), 1.0) * 100)}%"
    drawn = tag("rect", x=0, y=3, width=width, height=12, rx=2)
    return tag("svg", drawn, class_=f"row {look}", height=18, aria_hidden="true")


def lines(curves: Sequence[tuple[str, str, Curve]], *, diagonal: bool = False) -> Markup:
    """Draw curves of one name, ``(look, model, curve)`` each; marks are told on hovering."""
    across = axis_over([x for *_, curve in curves for x in curve.x])
    up = axis_over([y for *_, curve in curves for y in curve.y] + [0.0])
    first = curves[0][2]
    parts = [*_frame(across, up), *_labels(first.x_label, first.y_label)]
    if diagonal:
        low, high = max(across.low, up.low), min(across.high, up.high)
        parts.append(_line("ideal", *_point(across, up, low, low), *_point(across, up, high, high)))
    for look, model, curve in curves:
        points = [_point(across, up, x, y) for x, y in _thinned(curve.x, curve.y)]
        text = " ".join(f"{number(x)},{number(y)}" for x, y in points)
        parts.append(tag("polyline", points=text, class_=f"curve {look}"))
        for x, y, said in curve.marks:
            at, height = _point(across, up, x, y)
            title = tag("title", f"{model}: {said}")
            parts.append(tag("g", title, tag("circle", cx=at, cy=height, r=4.5), class_=look))
    said = "; ".join(f"{model}: {_summary(curve)}" for _, model, curve in curves)
    label = f"{first.y_label} over {first.x_label}. {said}"
    return tag(
        "svg",
        parts,
        class_="chart",
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=label,
    )


def _summary(curve: Curve) -> str:
    if curve.marks:
        return ", ".join(text for *_, text in curve.marks)
    if not curve.y:
        return "no points"
    return f"from {curve.y[0]:.3g} to {curve.y[-1]:.3g}"


def _frame(across: Axis, up: Axis) -> list[Markup]:
    parts = []
    for tick in across.ticks:
        x, _ = _point(across, up, tick, up.low)
        parts.append(_line("grid", x, _TOP, x, _HEIGHT - _BOTTOM))
        parts.append(
            tag("text", f"{tick:.6g}", x=x, y=_HEIGHT - _BOTTOM + 15, text_anchor="middle")
        )
    for tick in up.ticks:
        _, y = _point(across, up, across.low, tick)
        parts.append(_line("grid", _LEFT, y, _WIDTH - _RIGHT, y))
        parts.append(tag("text", f"{tick:.6g}", x=_LEFT - 6, y=y + 4, text_anchor="end"))
    return parts


def _labels(x_label: str, y_label: str) -> list[Markup]:
    middle = (_HEIGHT - _BOTTOM + _TOP) / 2
    turned = f"rotate(-90 11 {number(middle)})"
    return [
        tag("text", x_label, x=(_LEFT + _WIDTH - _RIGHT) / 2, y=_HEIGHT - 6, text_anchor="middle"),
        tag("text", y_label, x=11, y=middle, text_anchor="middle", transform=turned),
    ]


def _line(look: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return tag("line", class_=look, x1=x1, y1=y1, x2=x2, y2=y2)


def _point(across: Axis, up: Axis, x: float, y: float) -> tuple[float, float]:
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    return _LEFT + across.share(x) * width, _TOP + (1 - up.share(y)) * height


def _thinned(x: Sequence[float], y: Sequence[float]) -> list[tuple[float, float]]:
    points = list(zip(x, y, strict=True))
    step = max(1, math.ceil(len(points) / _MOST_POINTS))
    return points[::step] + ([points[-1]] if points and (len(points) - 1) % step else [])


def _places(axis: Axis) -> list[str]:
    return [_percent(axis.share(tick)) for tick in axis.ticks]


def _percent(share: float) -> str:
    # A margin of 2 % keeps dots at the ends whole.
    return f"{number(2 + share * 96)}%"


def dot(look: str) -> Markup:
    """Draw a model's mark for a legend."""
    drawn = tag("circle", cx=6, cy=6, r=5)
    return tag("svg", drawn, class_=f"dot {look}", width=12, height=12, aria_hidden="true")


def legend(models: Sequence[tuple[str, str]]) -> Markup:
    """List ``(look, model)``."""
    return tag("ul", [tag("li", dot(look), " ", name) for look, name in models], class_="legend")

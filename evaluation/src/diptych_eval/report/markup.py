"""HTML and SVG as text that nobody's names can break."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

LONGEST_NAME = 160
"""Characters of a name of a picture, class or model; longer ones are cut."""

_VOID = frozenset({"input", "meta", "br", "circle", "line", "rect", "polyline", "image"})
# What no document may hold, and what turns the direction of the text around it.
_UNSEEMLY = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]"
)


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | Markup | None | Iterable["Child"]


def clean(text: str) -> str:
    """Make text fit for a document: without control characters and halves of characters."""
    return _UNSEEMLY.sub("�", text)


def short(name: str) -> str:
    """Cut a name that is too long for a table, in its middle."""
    if len(name) <= LONGEST_NAME:
        return name
    half = LONGEST_NAME // 2
    return f"{name[:half]}…{name[-half:]}"


def tag(name: str, *children: Child, **attributes: str | int | float | bool | None) -> Markup:
    """Make an element; children that are not ``Markup`` are escaped, ``None`` is left out.

    Of attributes ``True`` stands alone and ``None`` and ``False`` are left out; ``class_`` and
    ``for_`` lose their underline, others become hyphens, and ``viewBox`` keeps its case.
    """
    said = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{name}{said}/>")
    return Markup(f"<{name}{said}>{join(children)}</{name}>")


def join(children: Iterable[Child]) -> Markup:
    """Put children one after another."""
    return Markup("".join(_child(each) for each in children))


def _child(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, str):
        return html.escape(clean(child), quote=False)
    return join(child)


def _attribute(key: str, value: str | int | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    text = number(value) if isinstance(value, float) else str(value)
    return f' {name}="{html.escape(clean(text))}"'


def number(value: float) -> str:
    """Write a coordinate with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".").replace("-0", "-0" if value <= -0.005 else "0")

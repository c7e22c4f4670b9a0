"""XML with names in it that a stranger chose."""

from __future__ import annotations

from collections.abc import Iterable
from xml.sax.saxutils import escape, quoteattr

from .names import shown


def element(name: str, content: object = "", /, **attributes: object) -> str:
    """An element around a text, or around others that were made so."""
    marks = "".join(f" {key}={quoteattr(shown(str(value)))}" for key, value in attributes.items())
    inside = "".join(content) if isinstance(content, Children) else escape(shown(str(content)))
    return f"<{name}{marks}>{inside}</{name}>" if inside else f"<{name}{marks}/>"


class Children(list[str]):
    """Elements inside another."""


def inside(elements: Iterable[str], indent: str = "\n") -> Children:
    """Elements, each on a line of its own."""
    return Children([*(f"{indent}{one}" for one in elements), indent[:-1] or "\n"])


def document(root: str) -> bytes:
    """A file of one element."""
    return f'<?xml version="1.0" encoding="utf-8"?>\n{root}\n'.encode()

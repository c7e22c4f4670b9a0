"""A picture from stdin."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import click

from ... import Comparison, SegmentResult
from ..._pictures.formats import HEAD_BYTES, other_format
from ...limits import MAX_REQUEST_BYTES

_STDIN = "-"
_META = f"{__name__}.path"
_R = TypeVar("_R", SegmentResult, Comparison)
_MOST_BYTES = 8 * MAX_REQUEST_BYTES
"""What is no JPEG, PNG or WebP is made smaller before it is sent."""


class _Picture(click.Path):
    """A path; ``-`` is a picture from stdin, which lies in a file while the command runs."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value != _STDIN or ctx is None:
            return super().convert(value, param, ctx)
        if ctx.resilient_parsing:  # a shell completes: stdin is a person
            return Path(value)
        if ctx.meta.get(_META):
            self.fail("stdin has one picture: expected - once.", param, ctx)
        if sys.stdin.isatty():
            self.fail("expected a picture from a pipe or a file behind <, got none.", param, ctx)
        data = sys.stdin.buffer.read(_MOST_BYTES + 1)
        if not data:
            self.fail("expected a picture on stdin, got nothing.", param, ctx)
        if len(data) > _MOST_BYTES:
            self.fail(f"expected at most {_MOST_BYTES} bytes on stdin, got more.", param, ctx)
        folder = ctx.with_resource(TemporaryDirectory(prefix="diptych-"))
        path = Path(folder) / f"stdin.{_suffix(data[:HEAD_BYTES])}"
        path.write_bytes(data)
        ctx.meta[_META] = path
        return path


PICTURE = _Picture(exists=True, dir_okay=False, path_type=Path)
PICTURES = _Picture(exists=True, path_type=Path)


def as_given(result: _R) -> _R:
    """The result with ``-`` as its source, if that is where its picture came from."""
    path = click.get_current_context().meta.get(_META)
    return replace(result, source=_STDIN) if path and result.source == path else result


def _suffix(head: bytes) -> str:
    if head.startswith(b"\xff\xd8\xff"):
        return "jpg"
    if head.startswith(b"RIFF"):
        return "webp"
    other = None if head.startswith(b"\x89PNG") else other_format(head)
    return other.lower() if other else "png"

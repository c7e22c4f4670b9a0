"""The sign ``-``: a picture from stdin, and one file to stdout."""

from __future__ import annotations

from .stdin import PICTURE, PICTURES, as_given
from .stdout import STDOUT, check_stdout, print_bytes, print_only, shown_where

__all__ = [
    "PICTURE",
    "PICTURES",
    "STDOUT",
    "as_given",
    "check_stdout",
    "print_bytes",
    "print_only",
    "shown_where",
]

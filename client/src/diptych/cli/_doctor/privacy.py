"""Keeps out of a report what must not be in a bug tracker."""

from __future__ import annotations

import getpass
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..._video.streams import shown

_HOMES = re.compile(r"((?:/home|/Users|[A-Za-z]:\\Users)[/\\])[^/\\\s'\"]+")


def redactor(token: str) -> Callable[[Any], Any]:
    """What takes tokens, user names and passwords out of texts, lists and objects."""
    home, user = _home(), _user()
    # As a part of a path alone: as a word, "root" or "data" would be much else.
    as_part = re.compile(rf"(?<=[/\\]){re.escape(user)}(?=[/\\@]|$)") if user else None

    def text(value: str) -> str:
        if token:
            value = value.replace(token, "[token]")
        value = shown(value)
        if home:
            value = value.replace(home, "~")
        value = _HOMES.sub(r"\1[user]", value)
        return as_part.sub("[user]", value) if as_part else value

    def redact(value: Any) -> Any:
        if isinstance(value, str):
            return text(value)
        if isinstance(value, dict):
            return {key: redact(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [redact(each) for each in value]
        return value

    return redact


def _home() -> str:
    try:
        home = str(Path.home())
    except RuntimeError:
        return ""
    return home if home.count("/") + home.count("\\") > 1 else ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a number without a name, as in containers
        return ""

"""Fields of a JSON document that anybody may have written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, overload


class RecordError(Exception):
    """A record that cannot be read; the message says where, and what was expected there."""


@dataclass(frozen=True)
class Fields:
    """A JSON object whose fields are looked at one by one.

    Every method raises ``RecordError`` for a field that is missing or of another kind.
    """

    where: str
    """The file and the place in it, for messages."""
    values: Mapping[str, Any]

    @classmethod
    def of_line(cls, where: str, line: bytes) -> Fields:
        """From the text of a JSON object."""
        try:
            value = json.loads(line, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            text = str(error) or type(error).__name__
            raise RecordError(f"{where}: expected a JSON object: {text}") from error
        return cls.of(where, value)

    @classmethod
    def of(cls, where: str, value: object) -> Fields:
        """From a value that should be an object."""
        if not isinstance(value, dict):
            raise RecordError(f"{where}: expected a JSON object, got {_shown(value)}")
        return cls(where, value)

    def error(self, name: str, expected: str, got: object) -> RecordError:
        """The error for a field."""
        return RecordError(f"{self.where}: {name}: expected {expected}, got {_shown(got)}")

    def text(self, name: str, default: str | None = None) -> str:
        """A string."""
        value = self.values.get(name, default)
        if not isinstance(value, str):
            raise self.error(name, "a text", value)
        return value

    @overload
    def number(self, name: str) -> float: ...
    @overload
    def number(self, name: str, *, optional: Literal[True]) -> float | None: ...
    def number(self, name: str, *, optional: bool = False) -> float | None:
        """A number; ``None`` for null, or if it is missing, where that may be."""
        value = self.values.get(name)
        if value is None and optional:
            return None
        if value is None or not _is_number(value):
            raise self.error(name, "a number", value)
        return float(value)

    def whole(self, name: str) -> int:
        """A whole number that is not negative."""
        value = self.values.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self.error(name, "a whole number from 0", value)
        return value

    def optional_whole(self, name: str) -> int | None:
        """A whole number that is not negative; ``None`` for null or if it is missing."""
        return None if self.values.get(name) is None else self.whole(name)

    @overload
    def numbers(self, name: str, count: int | None) -> list[float]: ...
    @overload
    def numbers(
        self, name: str, count: int | None, *, optional: Literal[True]
    ) -> list[float] | None: ...
    def numbers(
        self, name: str, count: int | None, *, optional: bool = False
    ) -> list[float] | None:
        """A list of so many numbers, of any length for ``None``."""
        value = self.values.get(name)
        if value is None and optional:
            return None
        if not isinstance(value, list) or not all(map(_is_number, value)):
            raise self.error(name, "numbers", value)
        if count is not None and len(value) != count:
            raise self.error(name, f"{count} numbers", value)
        return [float(each) for each in value]

    def lists(self, name: str, count: int) -> list[list[float]]:
        """A list of lists of so many numbers each."""
        return [
            Fields(f"{self.where}: {name}", {str(i): each}).numbers(str(i), count)
            for i, each in enumerate(self._list(name))
        ]

    def texts(self, name: str) -> list[str]:
        """A list of texts; empty if it is missing."""
        found = self._list(name)
        if not all(isinstance(each, str) for each in found):
            raise self.error(name, "texts", found)
        return found

    def inside(self, name: str) -> Fields:
        """An object inside this one."""
        return Fields.of(f"{self.where}: {name}", self.values.get(name))

    def items(self, name: str) -> list[Fields]:
        """A list of objects; empty if it is missing."""
        found = self._list(name)
        return [Fields.of(f"{self.where}: {name}[{i}]", each) for i, each in enumerate(found)]

    def _list(self, name: str) -> list[Any]:
        value = self.values.get(name, [])
        if not isinstance(value, list):
            raise self.error(name, "a list", value)
        return value


def _is_number(value: object) -> bool:
    # Python reads numbers of any length, of which no float comes.
    real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return real and -1e15 < value < 1e15  # type: ignore[operator]


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _shown(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

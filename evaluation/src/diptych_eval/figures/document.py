"""Figures as JSON: ``metrics.json``.

The form follows from the fields of :mod:`diptych_eval.results`, so a new field needs nothing here.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from numbers import Integral, Real
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

from ..results import Figures

VERSION = 1
"""Of the form: larger once a reader of today would read a document of then wrongly."""


def to_json(figures: Figures) -> dict[str, Any]:
    """Make the object of ``metrics.json``: what ``from_json`` makes the same figures of.

    Raises ``ValueError`` that names the place of a number that is not finite (such a figure is
    ``None`` with a reason) or of a value that JSON does not have.
    """
    return {"version": VERSION, **_written(figures, "")}


def from_json(document: Mapping[str, Any]) -> Figures:
    """Read what ``to_json`` made; fields that this version does not know are left out.

    Raises ``ValueError`` that names the place, what was expected there and what came.
    """
    if not isinstance(document, Mapping):
        raise ValueError(f"metrics: expected an object, got {type(document).__name__}")
    version = document.get("version")
    if version != VERSION:
        raise ValueError(f"version: expected {VERSION}, got {version!r}")
    return cast(Figures, _read(document, Figures, ""))


def _written(value: Any, place: str) -> Any:
    if is_dataclass(value):
        names = [field.name for field in fields(value)]
        return {name: _written(getattr(value, name), f"{place}/{name}") for name in names}
    if isinstance(value, Mapping):
        return {str(key): _written(each, f"{place}/{key}") for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_written(each, f"{place}/{index}") for index, each in enumerate(value)]
    if value is None or isinstance(value, (str, bool)):
        return value
    # numpy's numbers are of these kinds too.
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real) and math.isfinite(value):
        return float(value)
    raise ValueError(f"{place[1:]}: expected text, a finite number or none, got {value!r}")


def _read(value: Any, kind: Any, place: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        rest = [each for each in arguments if each is not type(None)]
        return None if value is None else _read(value, rest[0], place)
    if origin is tuple:
        return _read_tuple(value, arguments, place)
    if is_dataclass(kind):
        return _read_fields(_expect(value, Mapping, "an object", place), kind, place)
    if origin is not None and issubclass(origin, Mapping):
        _expect(value, Mapping, "an object", place)
        return {key: _read(each, arguments[1], f"{place}/{key}") for key, each in value.items()}
    return _read_plain(value, kind, place)


def _read_tuple(value: Any, arguments: tuple[Any, ...], place: str) -> tuple[Any, ...]:
    _expect(value, Sequence, "a list", place)
    kinds = [arguments[0]] * len(value) if arguments[-1] is ... else list(arguments)
    if len(kinds) != len(value):
        raise ValueError(f"{place[1:]}: expected {len(kinds)} entries, got {len(value)}")
    pairs = enumerate(zip(value, kinds, strict=True))
    return tuple(_read(each, kind, f"{place}/{index}") for index, (each, kind) in pairs)


def _read_fields(value: Mapping[str, Any], kind: Any, place: str) -> Any:
    hints = get_type_hints(kind)
    read = {}
    for field in fields(kind):
        where = f"{place}/{field.name}"
        if field.name in value:
            read[field.name] = _read(value[field.name], hints[field.name], where)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{where[1:]}: expected, but it is missing")
    return kind(**read)


def _read_plain(value: Any, kind: type, place: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is float and isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{place[1:]}: expected a finite number, got {value!r}")
    if isinstance(value, bool) and kind is not bool:
        raise ValueError(f"{place[1:]}: expected {kind.__name__}, got {value!r}")
    return _expect(value, kind, kind.__name__, place)


def _expect(value: Any, kind: type, words: str, place: str) -> Any:
    right = isinstance(value, kind) and (kind is str or not isinstance(value, str))
    if not right:
        raise ValueError(f"{place[1:]}: expected {words}, got {value!r:.80}")
    return value

"""What weights cannot say of their network: ``NAME.model.toml`` beside ``NAME.pth``."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, TypeVar

import tomllib
from pydantic import BaseModel, ConfigDict, ValidationError

from diptych_runtime.weights import WeightsError

_MAX_BYTES = 1 << 16
_SUFFIX = ".model.toml"


class SideFile(BaseModel):
    """The keys that such a file may have; a model says its own in a subclass, none required."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


F = TypeVar("F", bound=SideFile)


def side_file_of(weights: Path) -> Path:
    """Return where the side file of a weights file is, whether or not there is one."""
    return weights.with_suffix(_SUFFIX)


def read_side_file(weights: Path, kind: type[F]) -> F:
    """Read the file beside ``weights``; without one, every key has its default.

    Raises:
        WeightsError: it is no TOML, or has an unknown key or a value of a wrong type or range;
            names the key.
    """
    path = side_file_of(weights)
    if not path.exists():
        return kind()
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise WeightsError(f"{path.name} has more than {_MAX_BYTES} bytes")
        found = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path.name} cannot be read as TOML: {error}") from error
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        raise WeightsError(f"{path.name}: {_explained(error, kind)}") from error


def _explained(error: ValidationError, kind: type[SideFile]) -> str:
    """Say of each key once what is wrong; one that takes several types has several errors."""
    parts: dict[str, str] = {}
    for item in error.errors():
        key = str(item["loc"][0]) if item["loc"] else "the file"
        parts.setdefault(key, _problem(key, item, kind))
    return "; ".join(parts.values())


def _problem(key: str, item: Any, kind: type[SideFile]) -> str:
    if item["type"] == "extra_forbidden":
        known = list(kind.model_fields)
        close = difflib.get_close_matches(key, known, n=1)
        return f"{key} is no key; " + (
            f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
        )
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{key}: {message[:1].lower()}{message[1:]}, got {item['input']!r}"

"""The parameters of ``-p NAME=TYPE:VALUE``, checked, and the client that they describe."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from diptych import Client

from .failures import FunctionError

_TIMEOUT_S = 120.0
_TYPES = {str: "str", float: "float", int: "int", bool: "bool"}

SERVER = {"address": str, "model": str, "token_env": str, "tls": bool, "timeout": float}
"""What every function takes."""


@dataclass(frozen=True)
class Parameters:
    """What was given, by name."""

    given: Mapping[str, object]

    def text(self, name: str, default: str) -> str:
        """A word."""
        return str(self.given.get(name, default))

    def number(
        self, name: str, default: float | None, *, most: float = float("inf")
    ) -> float | None:
        """A number from 0 to ``most``; ``default`` if it was not given."""
        if name not in self.given:
            return default
        value = float(str(self.given[name]))
        if not 0 <= value <= most:
            limit = "" if most == float("inf") else f" to {most:g}"
            raise FunctionError(
                f"parameter {name!r}: expected a number from 0{limit}, got {value:g}"
            )
        return value

    def names(self, name: str) -> tuple[str, ...]:
        """Words between commas; none if it was not given."""
        return tuple(word for part in self.text(name, "").split(",") if (word := part.strip()))

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """One of some words, the first by default."""
        value = self.text(name, choices[0])
        if value not in choices:
            raise FunctionError(f"parameter {name!r}: expected {_listed(choices)}, got {value!r}")
        return value

    def client(self) -> Client:
        """A client of the server that they name; nothing is asked yet."""
        token = None
        if variable := self.text("token_env", ""):
            token = os.environ.get(variable)
            if not token:
                raise FunctionError(
                    f"parameter 'token_env': expected a variable that holds a token, "
                    f"got {variable!r}, which is not set"
                )
        tls = True if self.given.get("tls") else None
        timeout = self.number("timeout", _TIMEOUT_S)
        try:
            return Client(self.text("address", "") or None, timeout=timeout, tls=tls, token=token)
        except (ValueError, OSError) as error:
            raise FunctionError(str(error)) from error


def read(given: Mapping[str, object], own: Mapping[str, type]) -> Parameters:
    """Check names and types of what was given.

    Args:
        own: those that the function has beside ``SERVER``, with their types.

    Raises:
        FunctionError: one is unknown, or of another type.
    """
    known = {**SERVER, **own}
    for name, value in given.items():
        if name not in known:
            raise FunctionError(f"parameter {name!r}: expected one of {', '.join(known)}")
        wanted = known[name]
        taken = (float, int) if wanted is float else (wanted,)
        if not isinstance(value, taken) or (isinstance(value, bool) and wanted is not bool):
            raise FunctionError(
                f"parameter {name!r}: expected {name}={_TYPES[wanted]}:VALUE, got {value!r}"
            )
    return Parameters(given)


def _listed(choices: tuple[str, ...]) -> str:
    return f"{', '.join(choices[:-1])} or {choices[-1]}"

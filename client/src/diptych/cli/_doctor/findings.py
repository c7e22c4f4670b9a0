"""What a check found, and checks that end in time and never end the others."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


class State(str, enum.Enum):
    """How a check went."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    name: str
    state: State
    text: str
    fix: str = ""
    """What to do about it; empty if nothing has to be done."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The same for programs, as JSON takes it."""


Check = Callable[[], Iterator[Finding]]
"""Yields what it finds; may raise and may hang."""


def ok(name: str, text: str, **facts: Any) -> Finding:
    """All is well."""
    return Finding(name, State.OK, text, facts=facts)


def warning(name: str, text: str, fix: str, **facts: Any) -> Finding:
    """It works, but not as one would want, or not for long."""
    return Finding(name, State.WARNING, text, fix, facts)


def failed(name: str, text: str, fix: str, **facts: Any) -> Finding:
    """Nothing works as long as this is so."""
    return Finding(name, State.FAILED, text, fix, facts)


def skipped(name: str, why: str) -> Finding:
    """It could not be looked at."""
    return Finding(name, State.SKIPPED, why)


def said(error: Exception) -> str:
    """An error of this machine as a sentence, without the number of the system."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror.lower()}"
    return str(error)


def bounded(name: str, check: Check, seconds: float) -> list[Finding]:
    """What a check finds within its time; a failure of the check itself is one more finding."""
    found: list[Finding] = []

    def run() -> None:
        try:
            found.extend(check())
        except Exception as error:  # a broken check must not take the others along
            text = f"this could not be looked at: {type(error).__name__}: {error}"
            found.append(failed(name, text, "put this line into a bug report"))

    # A daemon: what hangs in a resolver or a driver cannot be ended, and must not be waited for.
    thread = threading.Thread(target=run, name=f"doctor-{name}", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        late = failed(name, f"no result within {seconds:g} s", "allow more with --timeout")
        return [*found, late]
    return found

"""A request in the hands of the model."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Protocol

from ..engine.protocol import Answer, DeviceLostError, Steps
from .work import Work

Done = Callable[[Work, Answer | Exception], None]
"""Told of each finished request: its answer, or why there is none."""


class Running(Protocol):
    """What the model works on: a request, or several at once."""

    def step(self) -> bool:
        """Run one step; returns whether another follows.

        Tells of finished requests, and handles all errors but ``DeviceLostError``.
        """
        ...


class Alone:
    """One request."""

    def __init__(self, work: Work, steps: Steps[Answer], done: Done) -> None:
        self._work = work
        self._steps = steps
        self._done = done

    def step(self) -> bool:
        """See ``Running``."""
        started = time.monotonic()
        try:
            self._work.check_alive()
            next(self._steps)
        except StopIteration as stop:
            self._finish(started, stop.value)
        except DeviceLostError:
            raise
        except Exception as error:
            with contextlib.suppress(Exception):  # the first error is the one to tell
                self._steps.close()
            self._finish(started, error)
        else:
            self._work.model_s += time.monotonic() - started
            return True
        return False

    def _finish(self, started: float, result: Answer | Exception) -> None:
        self._work.model_s += time.monotonic() - started
        self._done(self._work, result)

"""Decides which request's next step the model runs.

One thread calls the engine. Three lanes lead to it. Requests are worked on in order, step by step.
Video sessions take turns, a step each. These two lanes alternate, so that neither starves the
other. Between two steps an interactive request (a prompt on a picture that is held) goes first; a
stream of those starves nobody either: after each of them another lane gets a step.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .engine import Answer, DeviceLostError, Steps
from .work import Work, Workshop

Done = Callable[[Work, Answer | Exception], None]
"""Told of each finished request: its answer, or why there is none."""

_READY_AHEAD = 1  # one decoded picture waits while another is in the model


class Turns(Protocol):
    """A video session, as far as the model thread cares."""

    def step(self) -> bool:
        """Run one step; returns whether another can follow at once.

        Handles all errors but ``DeviceLostError``. Called too often it does nothing.
        """
        ...


@dataclass
class _Running:
    work: Work
    steps: Steps[Answer]


class Scheduler:
    """Queues in front of the model; ``run`` is the model thread's loop."""

    def __init__(self, *, done: Done, pulse: Callable[[], None]) -> None:
        self._done = done
        self._pulse = pulse
        self._changed = threading.Condition()
        self._interactive: deque[Work] = deque()
        self._ready: deque[Work] = deque()
        self._current: _Running | None = None
        self._turns: deque[Turns] = deque()
        self._turning: Turns | None = None
        self._turn_again = False
        self._turn_is_next = False

    def add_interactive(self, work: Work) -> None:
        """Queue a prepared prompt on a held picture."""
        with self._changed:
            self._interactive.append(work)
            self._changed.notify_all()

    def add(self, work: Work) -> None:
        """Queue any other prepared request; waits while enough of them are ready."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._ready) < _READY_AHEAD)
            self._ready.append(work)
            self._changed.notify_all()

    def add_turns(self, session: Turns) -> None:
        """A session has something to do, or has to see that it is over."""
        with self._changed:
            if session is self._turning:
                self._turn_again = True
            elif session not in self._turns:
                self._turns.append(session)
            self._changed.notify_all()

    def run(self, workshop: Workshop) -> None:
        """Work for ever; ends the loop only by an exception of the device."""
        while True:
            # A call of its own: what it holds, pictures above all, goes when it returns.
            self._round(workshop)

    def _round(self, workshop: Workshop) -> None:
        """One interactive request, then one step of another lane."""
        urgent, following = self._next()
        if urgent:
            running: _Running | None = _Running(urgent, workshop.answer(urgent))
            while running:
                running = self._step(running)
        if following:
            self._current = _Running(following, workshop.answer(following))
        if self._turning:
            self._take_turn(self._turning)
        elif self._current:
            self._current = self._step(self._current)

    def _next(self) -> tuple[Work | None, Work | None]:
        """An interactive request if one waits, and the next other one if none is under way and it
        is not a session's turn."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._current or self._interactive or self._ready or self._turns
            )
            urgent = self._interactive.popleft() if self._interactive else None
            image_waits = self._current or self._ready
            following = None
            if self._turns and (self._turn_is_next or not image_waits):
                self._turning = self._turns.popleft()
            elif self._ready and not self._current:
                following = self._ready.popleft()
            self._turn_is_next = self._turning is None
            self._changed.notify_all()
            return urgent, following

    def _take_turn(self, session: Turns) -> None:
        more = session.step()
        self._pulse()
        with self._changed:
            if more or self._turn_again:
                self._turns.append(session)
            self._turning, self._turn_again = None, False

    def _step(self, running: _Running) -> _Running | None:
        """Run one step; returns what is left to run."""
        work = running.work
        started = time.monotonic()
        try:
            work.check_alive()
            next(running.steps)
        except StopIteration as stop:
            self._finish(work, started, stop.value)
        except DeviceLostError:
            raise
        except Exception as error:
            with contextlib.suppress(Exception):  # the first error is the one to tell
                running.steps.close()
            self._finish(work, started, error)
        else:
            work.model_s += time.monotonic() - started
            self._pulse()
            return running
        return None

    def _finish(self, work: Work, started: float, result: Answer | Exception) -> None:
        work.model_s += time.monotonic() - started
        self._pulse()
        self._done(work, result)

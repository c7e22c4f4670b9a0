"""Decides which request's next step the model runs.

One thread calls the engine, in rounds. A round belongs to a lane of requests or to a video session,
one after the other, so that none starves another: it runs all of a prompt on a new image, for which
a person waits; or a step of what runs for a whole image; or a step of one session. Within a lane
requests are worked on in order. Each round begins with a prompt on a held image if one waits, or
with several that are answered together; a stream of those starves nobody either.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from ..engine.protocol import Answer, DeviceLostError, Steps
from ..ipc.lanes import Lane
from .work import EngineContext, Work

_READY_AHEAD = 1  # one decoded image waits while another is in the model

OnDone: TypeAlias = Callable[[Work, Answer | Exception], None]
"""Gets each finished request: its answer, or why there is none."""
OnRetry: TypeAlias = Callable[[list[Work]], None]
"""Gets what a batch that failed has not answered, to be tried in smaller ones."""


class Running(Protocol):
    """What the model works on: a request, or several at once."""

    def step(self) -> bool:
        """Run one step; returns whether another follows.

        Reports finished requests, and handles all errors but ``DeviceLostError``.
        """
        ...


class Batches(Protocol):
    """Puts requests on held images together."""

    def start(
        self, ready: deque[Work], on_done: OnDone, on_retry: OnRetry, *, others: bool
    ) -> Running:
        """Take the first request out of ``ready``, and what goes with it; ``others`` says whether
        somebody else waits for the model."""
        ...


class SteppedSession(Protocol):
    """A video session, as far as the model's thread cares."""

    def step(self) -> bool:
        """Run one step; returns whether another can follow at once.

        Handles all errors but ``DeviceLostError``. Called too often it does nothing.
        """
        ...


class SingleRun:
    """Runs one request."""

    def __init__(self, work: Work, steps: Steps[Answer], on_done: OnDone) -> None:
        self._work = work
        self._steps = steps
        self._on_done = on_done

    def step(self) -> bool:
        """See ``Running``."""
        started = time.monotonic()
        try:
            self._work.check_alive()
            self._work.estimate_s = 0.0  # what has begun may use all of its time
            self._work.mark(True)
            next(self._steps)
        except StopIteration as stop:
            self._finish(started, stop.value)
        except DeviceLostError:
            raise
        except Exception as error:
            with contextlib.suppress(Exception):  # the first error is the one to report
                self._steps.close()
            self._finish(started, error)
        else:
            self._work.model_s += time.monotonic() - started
            self._work.mark(False)
            return True
        return False

    def _finish(self, started: float, result: Answer | Exception) -> None:
        self._work.model_s += time.monotonic() - started
        self._work.mark(False)
        self._on_done(self._work, result)


@dataclass
class _Queue:
    """One lane: what is ready for the model, and what is under way."""

    ready: deque[Work] = field(default_factory=deque)
    current: Running | None = None


class Scheduler:
    """Queues in front of the model; ``run`` is the loop of the model's thread."""

    def __init__(self, *, on_done: OnDone, on_step: Callable[[], None]) -> None:
        self._on_done = on_done
        self._on_step = on_step
        self._changed = threading.Condition()
        self._lanes = {lane: _Queue() for lane in Lane}
        self._sessions: deque[SteppedSession] = deque()
        self._stepping: SteppedSession | None = None
        self._step_again = False
        self._rotation: deque[_Queue | deque[SteppedSession]] = deque(
            (self._lanes[Lane.NEW], self._lanes[Lane.BULK], self._sessions)
        )

    def add(self, lane: Lane, work: Work) -> None:
        """Queue a prepared request. Waits while enough of its lane are ready, unless its image is
        held: those hold no decoded pixels."""
        ready = self._lanes[lane].ready
        with self._changed:
            if lane is not Lane.HELD:
                self._changed.wait_for(lambda: len(ready) < _READY_AHEAD)
            ready.append(work)
            self._changed.notify_all()

    def offer(self, lane: Lane, work: Work) -> bool:
        """Queue a request that is not prepared, if the model has nothing to do; never waits.

        Returns whether it was queued. Another thread would prepare it no sooner then.
        """
        with self._changed:
            if self._has_work() or self._stepping is not None:
                return False
            self._lanes[lane].ready.append(work)
            self._changed.notify_all()
            return True

    @property
    def has_waiting(self) -> bool:
        """Whether anybody waits for the model, as it seems now, besides what it works on."""
        return bool(self._sessions) or any(lane.ready for lane in self._lanes.values())

    def add_session(self, session: SteppedSession) -> None:
        """Queue a session that has something to do, or has to see that it is over."""
        with self._changed:
            if session is self._stepping:
                self._step_again = True
            elif session not in self._sessions:
                self._sessions.append(session)
            self._changed.notify_all()

    def run(self, context: EngineContext, batches: Batches | None = None) -> None:
        """Work for ever; ends the loop only by an exception of the device."""
        while True:
            # A call of its own: what it holds, images above all, goes when it returns.
            self._round(context, batches)

    def _round(self, context: EngineContext, batches: Batches | None) -> None:
        """Run one request on a held image, or one batch of them, then what the round is for."""
        with self._changed:
            self._changed.wait_for(self._has_work)
            held, lane = self._lanes[Lane.HELD], self._next_lane()
            if lane is None and self._sessions:
                self._stepping = self._sessions.popleft()
            if batches is not None and held.ready and held.current is None:
                others = lane is not None or self._stepping is not None
                held.current = batches.start(held.ready, self._on_done, self._retry, others=others)
            self._start(held, context)
            if lane is not None:
                self._start(lane, context)
            self._changed.notify_all()
        self._finish_current(held)
        if self._stepping:
            self._step_session(self._stepping)
        elif lane is self._lanes[Lane.NEW]:
            self._finish_current(lane)
        elif lane is not None and lane.current:
            self._step(lane)

    def _has_work(self) -> bool:
        return bool(self._sessions) or any(
            lane.current or lane.ready for lane in self._lanes.values()
        )

    def _next_lane(self) -> _Queue | None:
        """Choose the lane of this round among those that have work; ``None`` if it is a session's,
        or nobody has any."""
        for _ in range(len(self._rotation)):
            lane = self._rotation[0]
            self._rotation.rotate(-1)
            if isinstance(lane, _Queue):
                if lane.current or lane.ready:
                    return lane
            elif lane:
                return None
        return None

    def _start(self, lane: _Queue, context: EngineContext) -> None:
        if lane.current is None and lane.ready:
            work = lane.ready.popleft()
            lane.current = SingleRun(work, context.answer(work), self._on_done)

    def _retry(self, works: list[Work]) -> None:
        """Put requests back to the front of the lane of held images, where they were before."""
        with self._changed:
            self._lanes[Lane.HELD].ready.extendleft(reversed(works))

    def _finish_current(self, lane: _Queue) -> None:
        while lane.current:
            self._step(lane)

    def _step_session(self, session: SteppedSession) -> None:
        more = session.step()
        self._on_step()
        with self._changed:
            if more or self._step_again:
                self._sessions.append(session)
            self._stepping, self._step_again = None, False

    def _step(self, lane: _Queue) -> None:
        assert lane.current is not None
        more = lane.current.step()
        self._on_step()
        if not more:
            lane.current = None

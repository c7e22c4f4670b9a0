"""Decides which request's next step the model runs.

One thread calls the engine. The lanes of requests and the video sessions take turns, so that none
starves another: all of a prompt on a new picture, for which a person waits; a step of what runs for
a whole picture; a step of a session, which take turns among themselves. Within a lane requests are
worked on in order. Between two turns a prompt on a held picture goes first, or several that are
answered together; a stream of those starves nobody either: after each there is another turn.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ..ipc.lanes import Lane
from .batching import Batcher
from .running import Alone, Done, Running
from .work import Work, Workshop

_READY_AHEAD = 1  # one decoded picture waits while another is in the model


class Turns(Protocol):
    """A video session, as far as the model thread cares."""

    def step(self) -> bool:
        """Run one step; returns whether another can follow at once.

        Handles all errors but ``DeviceLostError``. Called too often it does nothing.
        """
        ...


@dataclass
class _Requests:
    """One lane: what is ready for the model, and what is under way."""

    ready: deque[Work] = field(default_factory=deque)
    current: Running | None = None


class Scheduler:
    """Queues in front of the model; ``run`` is the model thread's loop."""

    def __init__(self, *, done: Done, pulse: Callable[[], None]) -> None:
        self._done = done
        self._pulse = pulse
        self._changed = threading.Condition()
        self._lanes = {lane: _Requests() for lane in Lane}
        self._turns: deque[Turns] = deque()
        self._turning: Turns | None = None
        self._turn_again = False
        self._rotation: deque[_Requests | deque[Turns]] = deque(
            (self._lanes[Lane.NEW], self._lanes[Lane.BULK], self._turns)
        )

    def add(self, lane: Lane, work: Work) -> None:
        """Queue a prepared request. Waits while enough of its lane are ready, unless its picture
        is held: those hold no decoded pixels."""
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
            if self._has_work() or self._turning is not None:
                return False
            self._lanes[lane].ready.append(work)
            self._changed.notify_all()
            return True

    @property
    def pressed(self) -> bool:
        """Whether anybody waits for the model, as it seems now, besides what it works on."""
        return bool(self._turns) or any(lane.ready for lane in self._lanes.values())

    def add_turns(self, session: Turns) -> None:
        """A session has something to do, or has to see that it is over."""
        with self._changed:
            if session is self._turning:
                self._turn_again = True
            elif session not in self._turns:
                self._turns.append(session)
            self._changed.notify_all()

    def run(self, workshop: Workshop, batcher: Batcher | None = None) -> None:
        """Work for ever; ends the loop only by an exception of the device."""
        while True:
            # A call of its own: what it holds, pictures above all, goes when it returns.
            self._round(workshop, batcher)

    def _round(self, workshop: Workshop, batcher: Batcher | None) -> None:
        """One request on a held picture, or one batch of them, then one turn."""
        with self._changed:
            self._changed.wait_for(self._has_work)
            held, lane = self._lanes[Lane.HELD], self._next_lane()
            if lane is None and self._turns:
                self._turning = self._turns.popleft()
            if batcher is not None and held.ready and held.current is None:
                others = lane is not None or self._turning is not None
                held.current = batcher.start(held.ready, self._done, self._again, others=others)
            self._start(held, workshop)
            if lane is not None:
                self._start(lane, workshop)
            self._changed.notify_all()
        self._finish_current(held)
        if self._turning:
            self._take_turn(self._turning)
        elif lane is self._lanes[Lane.NEW]:
            self._finish_current(lane)
        elif lane is not None and lane.current:
            self._step(lane)

    def _has_work(self) -> bool:
        return bool(self._turns) or any(lane.current or lane.ready for lane in self._lanes.values())

    def _next_lane(self) -> _Requests | None:
        """Whose turn it is among those that have work; ``None`` if it is a session's, or nobody
        has any."""
        for _ in range(len(self._rotation)):
            lane = self._rotation[0]
            self._rotation.rotate(-1)
            if isinstance(lane, _Requests):
                if lane.current or lane.ready:
                    return lane
            elif lane:
                return None
        return None

    def _start(self, lane: _Requests, workshop: Workshop) -> None:
        if lane.current is None and lane.ready:
            work = lane.ready.popleft()
            lane.current = Alone(work, workshop.answer(work), self._done)

    def _again(self, works: list[Work]) -> None:
        """They were taken out of the lane of held pictures, and go back to its front."""
        with self._changed:
            self._lanes[Lane.HELD].ready.extendleft(reversed(works))

    def _finish_current(self, lane: _Requests) -> None:
        while lane.current:
            self._step(lane)

    def _take_turn(self, session: Turns) -> None:
        more = session.step()
        self._pulse()
        with self._changed:
            if more or self._turn_again:
                self._turns.append(session)
            self._turning, self._turn_again = None, False

    def _step(self, lane: _Requests) -> None:
        assert lane.current is not None
        more = lane.current.step()
        self._pulse()
        if not more:
            lane.current = None

"""Requests on held pictures that the model answers together.

Nobody waits for company: when the model is free, what waits already may go together. With how many,
``batch_policy`` says.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable

from ..engine.errors import Reason, ServiceError
from ..engine.protocol import Answer, BatchingEngine, BatchSteps, DeviceLostError
from .batch_policy import BatchPolicy
from .running import Alone, Done, Running
from .work import Work, Workshop

# What a batch may take by what is known, in seconds: who comes meanwhile waits for it. The second
# holds while others wait for the model already, and is about a step of an automatic mode.
_LONGEST_S = 1.0
_LONGEST_TURN_S = 0.25

Again = Callable[[list[Work]], None]
"""Gets what a batch that failed has not answered, to be tried in smaller ones."""


class Batcher:
    """Puts requests to one engine together."""

    def __init__(self, engine: BatchingEngine, workshop: Workshop, max_batch: int) -> None:
        self._engine = engine
        self._workshop = workshop
        self.max_batch = max_batch
        self._policy = BatchPolicy(max_batch)

    def start(self, ready: deque[Work], done: Done, again: Again, *, others: bool) -> Running:
        """Take the first request out of ``ready``, and what goes with it; ``others`` says whether
        somebody else waits for the model."""
        works = self._take(ready, _LONGEST_TURN_S if others else _LONGEST_S)
        for work in works:
            work.together = len(works)
        if len(works) > 1:
            return Batch(works, self, done, again)
        return Alone(works[0], self._workshop.answer(works[0]), self._learning(done))

    def _take(self, ready: deque[Work], limit_s: float) -> list[Work]:
        first, *later = ready
        most = self._look_at(first)
        alike = [first]
        if most > 1:
            # What was in a batch that failed goes with others of such, which newer ones may join.
            alike += [w for w in later if self._look_at(w) >= most and _alike(w, first)]
        size = self._policy.size(first.batch_key, len(alike), limit_s=limit_s)
        taken = alike[: min(size, most)]
        chosen = {id(work) for work in taken}
        rest = [work for work in ready if id(work) not in chosen]
        ready.clear()
        ready.extend(rest)
        return taken

    def _look_at(self, work: Work) -> int:
        """With how many a request may be answered."""
        if work.most_together is None:
            try:
                job = self._workshop.job(work)
                features = self._workshop.features(work, job.task)
                if features is not None:
                    work.batch_key = self._engine.batch_key(features, job)
            except Exception:
                work.batch_key = None  # alone, it is told what is wrong
            work.most_together = 1 if work.batch_key is None else self.max_batch
        return work.most_together

    def _learning(self, done: Done) -> Done:
        def learn(work: Work, result: Answer | Exception) -> None:
            # What was in a batch that failed has that time counted, too.
            fresh = work.batch_key is not None and work.most_together == self.max_batch
            if fresh and not isinstance(result, Exception):
                self._policy.learn(work.batch_key, 1, work.model_s)
            done(work, result)

        return learn

    def steps(self, works: list[Work], wanted: Callable[[int], bool]) -> BatchSteps:
        """Have the engine answer them; ``wanted`` is asked by place."""

        def asks(place: int) -> Callable[[], bool]:
            return lambda: wanted(place)

        asked = [self._workshop.asked(work, asks(place)) for place, work in enumerate(works)]
        yield from self._engine.segment_batch(asked)

    def learn(self, works: list[Work], seconds: float) -> None:
        """The model answered all of them in so many seconds."""
        self._policy.learn(works[0].batch_key, len(works), seconds)

    def failed(self, works: list[Work], error: Exception) -> None:
        """They could not be answered together, and are not tried in that number again."""
        for work in works:
            work.most_together = max(len(works) // 2, 1)
        if isinstance(error, ServiceError) and error.reason is Reason.DEVICE_MEMORY:
            self._policy.too_large(works[0].batch_key, len(works))


def _alike(one: Work, other: Work) -> bool:
    return one.batch_key == other.batch_key


def batcher_of(workshop: Workshop) -> Batcher | None:
    """For an engine that can answer several jobs together, if the settings want that."""
    engine, most = workshop.engine, workshop.settings.max_batch
    if most == 1 or not isinstance(engine, BatchingEngine):
        return None
    return Batcher(engine, workshop, most)


class Batch:
    """Requests that were put together. Each is told of as soon as it is answered; who is cancelled
    or late drops out between two steps."""

    def __init__(self, works: list[Work], batcher: Batcher, done: Done, again: Again) -> None:
        self._works = works
        self._open = dict(enumerate(works))
        self._batcher = batcher
        self._done = done
        self._again = again
        self._steps = batcher.steps(works, self._open.__contains__)
        self._answered = 0
        self._spent_s = 0.0

    def step(self) -> bool:
        """See ``Running``."""
        self._drop_dead()
        if not self._open:
            return self._end()
        started = time.monotonic()
        try:
            told = next(self._steps)
        except StopIteration:
            return self._fail(RuntimeError("the engine left jobs of a batch out"))
        except DeviceLostError:
            raise
        except Exception as error:
            return self._fail(error)
        self._charge(time.monotonic() - started)
        if told is not None and told[0] in self._open:
            place, result = told
            self._answered += not isinstance(result, Exception)
            self._done(self._open.pop(place), result)
        return bool(self._open) or self._end()

    def _drop_dead(self) -> None:
        for place, work in list(self._open.items()):
            try:
                work.check_alive()
            except Exception as error:
                self._done(self._open.pop(place), error)

    def _charge(self, seconds: float) -> None:
        """Every request that is not answered yet bears an equal part."""
        self._spent_s += seconds
        for work in self._open.values():
            work.model_s += seconds / len(self._open)

    def _fail(self, error: Exception) -> bool:
        self._close()
        left = list(self._open.values())
        self._batcher.failed(left, error)
        self._again(left)
        return False

    def _end(self) -> bool:
        self._close()
        if self._answered == len(self._works):
            self._batcher.learn(self._works, self._spent_s)
        return False

    def _close(self) -> None:
        with contextlib.suppress(Exception):  # what matters was told
            self._steps.close()

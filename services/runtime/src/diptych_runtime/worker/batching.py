"""Requests on held images that the model answers together.

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
from .scheduler import OnDone, OnRetry, Running, SingleRun
from .work import EngineContext, Work

# What a batch may take by what is known, in seconds: who comes meanwhile waits for it. The second
# holds while others wait for the model already, and is about a step of an automatic mode.
_LONGEST_S = 1.0
_LONGEST_ROUND_S = 0.25


class Batcher:
    """Puts requests to one engine together; implements ``scheduler.Batches``."""

    def __init__(self, engine: BatchingEngine, context: EngineContext, max_batch: int) -> None:
        self._engine = engine
        self._context = context
        self.max_batch = max_batch
        self._policy = BatchPolicy(max_batch)

    def start(
        self, ready: deque[Work], on_done: OnDone, on_retry: OnRetry, *, others: bool
    ) -> Running:
        """See ``scheduler.Batches``."""
        works = self._take(ready, _LONGEST_ROUND_S if others else _LONGEST_S)
        for work in works:
            work.batch_size = len(works)
        if len(works) > 1:
            return Batch(works, self, on_done, on_retry)
        return SingleRun(works[0], self._context.answer(works[0]), self._learning(on_done))

    def _take(self, ready: deque[Work], limit_s: float) -> list[Work]:
        first, *later = ready
        most = self._max_batch_of(first)
        alike = [first]
        if most > 1:
            # What was in a batch that failed goes with others of such, which newer ones may join.
            alike += [w for w in later if self._max_batch_of(w) >= most and _alike(w, first)]
        size = self._policy.size(first.batch_key, len(alike), limit_s=limit_s)
        taken = alike[: min(size, most)]
        chosen = {id(work) for work in taken}
        rest = [work for work in ready if id(work) not in chosen]
        ready.clear()
        ready.extend(rest)
        return taken

    def _max_batch_of(self, work: Work) -> int:
        """Find the largest batch that a request may be part of, and its key."""
        if work.max_batch is None:
            try:
                job = self._context.job(work)
                features = self._context.features(work, job.task)
                if features is not None:
                    work.batch_key = self._engine.batch_key(features, job)
            except Exception:
                work.batch_key = None  # answered alone, it gets this error again
            work.max_batch = 1 if work.batch_key is None else self.max_batch
        return work.max_batch

    def _learning(self, on_done: OnDone) -> OnDone:
        def learn(work: Work, result: Answer | Exception) -> None:
            # What was in a batch that failed has that time counted, too.
            fresh = work.batch_key is not None and work.max_batch == self.max_batch
            if fresh and not isinstance(result, Exception):
                self._policy.learn(work.batch_key, 1, work.model_s)
            on_done(work, result)

        return learn

    def steps(self, works: list[Work], wanted: Callable[[int], bool]) -> BatchSteps:
        """Have the engine answer requests; ``wanted`` says by index whether one still is."""

        def wants(index: int) -> Callable[[], bool]:
            return lambda: wanted(index)

        items = [self._context.batch_item(work, wants(i)) for i, work in enumerate(works)]
        yield from self._engine.segment_batch(items)

    def learn(self, works: list[Work], seconds: float) -> None:
        """Take in how many seconds the model worked on a batch, all of which it answered."""
        self._policy.learn(works[0].batch_key, len(works), seconds)

    def failed(self, works: list[Work], error: Exception) -> None:
        """Note that requests could not be answered together: never again in that number."""
        for work in works:
            work.max_batch = max(len(works) // 2, 1)
        if isinstance(error, ServiceError) and error.reason is Reason.DEVICE_MEMORY:
            self._policy.too_large(works[0].batch_key, len(works))


def _alike(one: Work, other: Work) -> bool:
    return one.batch_key == other.batch_key


def batcher_of(context: EngineContext) -> Batcher | None:
    """Make a batcher for an engine that can answer several jobs together, if the settings want
    that."""
    engine, most = context.engine, context.settings.max_batch
    if most == 1 or not isinstance(engine, BatchingEngine):
        return None
    return Batcher(engine, context, most)


class Batch:
    """Runs requests that were put together. Each is reported as soon as it is answered; who is
    cancelled or late drops out between two steps."""

    def __init__(
        self, works: list[Work], batcher: Batcher, on_done: OnDone, on_retry: OnRetry
    ) -> None:
        self._works = works
        self._unanswered = dict(enumerate(works))
        self._batcher = batcher
        self._on_done = on_done
        self._on_retry = on_retry
        self._steps = batcher.steps(works, self._unanswered.__contains__)
        self._answered = 0
        self._spent_s = 0.0

    def step(self) -> bool:
        """See ``Running``."""
        self._drop_dead()
        if not self._unanswered:
            return self._end()
        started = time.monotonic()
        try:
            self._mark(True)
            finished = next(self._steps)
        except StopIteration:
            return self._fail(RuntimeError("the engine left jobs of a batch out"))
        except DeviceLostError:
            raise
        except Exception as error:
            return self._fail(error)
        self._charge(time.monotonic() - started)
        self._mark(False)
        if finished is not None and finished[0] in self._unanswered:
            index, result = finished
            self._answered += not isinstance(result, Exception)
            self._on_done(self._unanswered.pop(index), result)
        return bool(self._unanswered) or self._end()

    def _drop_dead(self) -> None:
        for index, work in list(self._unanswered.items()):
            try:
                work.check_alive()
            except Exception as error:
                self._on_done(self._unanswered.pop(index), error)
            work.estimate_s = 0.0

    def _mark(self, working: bool) -> None:
        for work in self._unanswered.values():
            work.mark(working)

    def _charge(self, seconds: float) -> None:
        """Charge every request that is not answered yet an equal part."""
        self._spent_s += seconds
        for work in self._unanswered.values():
            work.model_s += seconds / len(self._unanswered)

    def _fail(self, error: Exception) -> bool:
        self._close()
        self._mark(False)
        unanswered = list(self._unanswered.values())
        self._batcher.failed(unanswered, error)
        self._on_retry(unanswered)
        return False

    def _end(self) -> bool:
        self._close()
        if self._answered == len(self._works):
            self._batcher.learn(self._works, self._spent_s)
        return False

    def _close(self) -> None:
        with contextlib.suppress(Exception):  # what matters was reported
            self._steps.close()

"""Requests on held pictures that go to the model together: which, in which order, and what happens
when something goes wrong with one of them."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import fake_engine
import numpy as np
import pytest
from serving_helpers import point_request

from diptych import Point, Prompt
from diptych_runtime.engine import (
    Answer,
    BatchItem,
    BatchSteps,
    DeviceLostError,
    Features,
    Job,
    Reason,
    ServiceError,
    Steps,
)
from diptych_runtime.ipc.lanes import Lane
from diptych_runtime.settings import RuntimeSettings
from diptych_runtime.worker.batching import Batcher, batcher_of
from diptych_runtime.worker.scheduler import Scheduler
from diptych_runtime.worker.work import (
    CachedImage,
    CancelledWorkError,
    EngineContext,
    ImageCache,
    Work,
)

FAR = 1e12


class Engine(fake_engine.FakeEngine):
    """Notes who is answered with whom. Prompts are named by the x of their point, and those that
    are 100 apart have equal keys."""

    def __init__(self) -> None:
        self.noted: list[list[int]] = []
        self.at_step: Callable[[int], object] = lambda x: None
        self.in_call: Callable[[list[int]], object] = lambda xs: None
        self.left_out: set[int] = set()

    def batch_key(self, features: Features, job: Job) -> Hashable | None:
        return _x(job) // 100 or None

    def segment(self, features: Features, pixels: Any, job: Job) -> Steps[Answer]:
        self.noted.append([_x(job)])
        self.in_call([_x(job)])
        yield
        self.at_step(_x(job))
        return Answer((), omitted=_x(job))

    def segment_batch(self, items: Sequence[BatchItem]) -> BatchSteps:
        xs = [_x(item.job) for item in items]
        self.noted.append(xs)
        self.in_call(xs)
        for index, x in enumerate(xs):
            yield None
            self.at_step(x)
            if items[index].wanted() and x not in self.left_out:
                yield index, Answer((), omitted=x)


class FixedPolicy:
    """As many as there are, up to so many."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.learned: list[tuple[Hashable, int]] = []
        self.limits: list[float] = []
        self.reduced: list[int] = []

    def size(self, kind: Hashable, waiting: int, *, limit_s: float) -> int:
        self.limits.append(limit_s)
        return min(waiting, self.most)

    def learn(self, kind: Hashable, size: int, seconds: float) -> None:
        assert seconds >= 0
        self.learned.append((kind, size))

    def too_large(self, kind: Hashable, size: int) -> None:
        self.reduced.append(size)


class Bench:
    """A scheduler, a batcher and an engine, without processes."""

    def __init__(self, most: int = 32) -> None:
        self.engine = Engine()
        self.policy = FixedPolicy(most)
        cache = ImageCache(1 << 20)
        context = EngineContext(self.engine, self.engine.load(), cache, RuntimeSettings())
        self.context = context
        self.batcher = Batcher(self.engine, context, 32)  # type: ignore[arg-type]
        self.batcher._policy = self.policy  # type: ignore[assignment]
        self.results: dict[int, Answer | Exception] = {}
        self.pulses = 0
        self.finished: Callable[[], object] = lambda: None
        self.scheduler = Scheduler(on_done=self._done, on_step=self._pulse)
        self.features = Features(("label", (0, 0, 0), (48, 64)), 10)
        self.works: dict[int, Work] = {}

    def add(self, x: int, *, deadline: float = FAR, digest: str = "picture") -> Work:
        image = CachedImage(b"", (48, 64), {"image": self.features})
        self.context.cache.put(digest, image)
        request = point_request(b"", x=x)
        prompts = (Prompt(points=(Point(x, 1),)),)
        work = Work(x, str(x), digest, 0.0, deadline, request, image=image, prompts=prompts)
        self.scheduler.add(Lane.HELD, work)
        self.works[x] = work
        return work

    def add_all(self, *xs: int) -> None:
        for x in xs:
            self.add(x)

    def _done(self, work: Work, result: Answer | Exception) -> None:
        self.results[work.id] = result
        self.finished()

    def _pulse(self) -> None:
        self.pulses += 1

    def run(self, requests: int) -> list[list[int]]:
        """Until so many are answered; what the engine was asked."""

        def stop_after() -> None:
            if len(self.results) == requests:
                raise DeviceLostError

        self.finished = stop_after
        with pytest.raises(DeviceLostError):
            self.scheduler.run(self.context, self.batcher)
        return self.engine.noted

    def right(self, *xs: int) -> bool:
        return all(self.results[x] == Answer((), omitted=x) for x in xs)


def _x(job: Job) -> int:
    return int(job.prompts[0].points[0].x)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_waits_goes_together_and_each_gets_its_own_answer(bench: Bench) -> None:
    bench.add_all(101, 102, 103)
    assert bench.run(3) == [[101, 102, 103]]
    assert bench.right(101, 102, 103)
    assert bench.policy.learned == []  # the run was ended in the last answer
    assert {work.batch_size for work in bench.works.values()} == {3}


def test_one_that_waits_alone_goes_alone(bench: Bench) -> None:
    bench.engine.at_step = lambda x: bench.add(102) if x == 101 else None
    bench.add(101)
    assert bench.run(2) == [[101], [102]]
    assert bench.policy.learned == [(1, 1), (1, 1)]


def test_no_more_than_the_policy_says(bench: Bench) -> None:
    bench.policy.most = 2
    bench.add_all(101, 102, 103, 104, 105)
    assert bench.run(5) == [[101, 102], [103, 104], [105]]
    assert bench.policy.learned == [(1, 2), (1, 2), (1, 1)]


def test_only_equal_keys_go_together_and_the_first_one_first(bench: Bench) -> None:
    bench.add_all(101, 201, 102, 7, 202, 8, 103)
    assert bench.run(7) == [[101, 102, 103], [201, 202], [7], [8]]
    assert bench.right(101, 102, 103, 201, 202, 7, 8)


def test_a_picture_without_features_goes_alone_and_is_encoded(bench: Bench) -> None:
    bench.add_all(101, 102)
    assert bench.works[101].image
    bench.works[101].image.features.clear()
    bench.works[101].digest = "other"
    bench.works[101].pixels = np.zeros((48, 64, 3), np.uint8)
    assert bench.run(2) == [[101], [102]]
    assert bench.works[101].encoder_ran
    assert not bench.works[102].encoder_ran


def test_an_engine_that_cannot_tell_a_key_gets_the_job_alone(bench: Bench) -> None:
    def key(features: Features, job: Job) -> Hashable:
        if _x(job) == 102:
            raise ValueError("a fault of the engine")
        return "key"

    bench.engine.batch_key = key  # type: ignore[method-assign]
    bench.add_all(101, 102, 103)
    assert bench.run(3) == [[101, 103], [102]]
    assert bench.right(101, 102, 103)


def test_a_bad_one_fails_alone(bench: Bench) -> None:
    def refuse(xs: list[int]) -> None:
        if 103 in xs:
            raise RuntimeError("bad")

    bench.engine.in_call = refuse
    bench.add_all(101, 102, 103, 104, 105)
    noted = bench.run(5)
    assert noted[0] == [101, 102, 103, 104, 105]
    assert noted[-1] != noted[0]
    assert isinstance(bench.results[103], RuntimeError)
    assert bench.right(101, 102, 104, 105)
    assert bench.policy.reduced == []


def test_those_told_of_before_a_failure_are_not_asked_again(bench: Bench) -> None:
    def fail_once(x: int) -> None:
        if x == 103 and len(bench.engine.noted) == 1:
            raise RuntimeError("once")

    bench.engine.at_step = fail_once
    bench.add_all(101, 102, 103, 104)
    assert bench.run(4) == [[101, 102, 103, 104], [103], [104]]
    assert bench.right(101, 102, 103, 104)
    assert bench.policy.learned == []  # their time has that of the failure in it


def test_an_error_that_the_engine_tells_is_of_one_alone(bench: Bench) -> None:
    refused = ServiceError(Reason.PROMPT_INVALID, "no")

    def segment_batch(items: Sequence[BatchItem]) -> BatchSteps:
        yield 1, refused
        yield 0, Answer((), omitted=101)
        yield 2, Answer((), omitted=103)

    bench.engine.segment_batch = segment_batch  # type: ignore[method-assign]
    bench.add_all(101, 102, 103)
    assert bench.run(3) == []
    assert bench.results[102] is refused
    assert bench.right(101, 103)


def test_one_that_the_engine_leaves_out_is_asked_alone(bench: Bench) -> None:
    bench.engine.left_out = {102}
    bench.add_all(101, 102, 103)
    assert bench.run(3) == [[101, 102, 103], [102]]
    assert bench.right(101, 102, 103)


def test_too_little_memory_halves_the_batch(bench: Bench) -> None:
    def fits_two(xs: list[int]) -> None:
        if len(xs) > 2:
            raise ServiceError(Reason.DEVICE_MEMORY, "full")

    bench.engine.in_call = fits_two
    bench.add_all(*range(101, 109))
    sizes = [len(xs) for xs in bench.run(8)]
    assert sizes == [8, 4, 2, 2, 4, 2, 2]
    assert bench.right(*range(101, 109))
    assert bench.policy.reduced == [8, 4, 4]


def test_a_lost_device_ends_the_loop(bench: Bench) -> None:
    def lose(xs: list[int]) -> None:
        raise DeviceLostError

    bench.engine.in_call = lose
    bench.add_all(101, 102)
    with pytest.raises(DeviceLostError):
        bench.scheduler.run(bench.context, bench.batcher)
    assert bench.results == {}


def test_a_cancelled_one_drops_out_between_steps(bench: Bench) -> None:
    wanted: list[int] = []

    def cancel(x: int) -> None:
        wanted.append(x)
        if x == 101:
            bench.works[103].cancelled.set()

    bench.engine.at_step = cancel
    bench.add_all(101, 102, 103, 104)
    assert bench.run(4) == [[101, 102, 103, 104]]
    assert isinstance(bench.results[103], CancelledWorkError)
    assert bench.right(101, 102, 104)
    assert list(bench.results)[:2] == [101, 103]


def test_late_ones_are_not_computed(bench: Bench) -> None:
    bench.add(101)
    bench.add(102, deadline=time.monotonic())
    bench.add(103)
    bench.run(3)
    late = bench.results[102]
    assert isinstance(late, ServiceError)
    assert late.reason is Reason.DEADLINE
    assert bench.right(101, 103)


def test_a_batch_that_nobody_waits_for_is_left_at_once(bench: Bench) -> None:
    bench.add_all(101, 102)
    for work in bench.works.values():
        work.cancelled.set()
    bench.engine.at_step = lambda x: pytest.fail("nobody waits")
    assert bench.run(2) == []


def test_every_step_is_a_sign_of_life(bench: Bench) -> None:
    bench.add_all(101, 102, 103)
    bench.run(3)
    assert bench.pulses == 5  # a step and an answer each; the last one ended the run


def test_a_batch_is_one_round(bench: Bench) -> None:
    bench.policy.most = 2
    bulk = Work(7, "bulk", "", 0.0, FAR, point_request(b"", x=7))
    bulk.image = CachedImage(b"", (48, 64), {"image": bench.features})
    bulk.prompts = (Prompt(points=(Point(7, 1),)),)
    bench.scheduler.add(Lane.BULK, bulk)
    bench.add_all(101, 102, 103, 104)
    order: list[int] = []
    bench.engine.at_step = order.append
    bench.run(5)
    # The other lane's two steps: the first one notes it, the second comes after the second batch.
    assert bench.engine.noted == [[101, 102], [7], [103, 104]]
    assert order == [101, 102, 103, 104, 7]


def test_batches_are_shorter_while_others_wait(bench: Bench) -> None:
    bench.policy.most = 2
    bulk = Work(7, "bulk", "", 0.0, FAR, point_request(b"", x=7))
    bulk.image = CachedImage(b"", (48, 64), {"image": bench.features})
    bulk.prompts = (Prompt(points=(Point(7, 1),)),)
    bench.scheduler.add(Lane.BULK, bulk)
    bench.add_all(101, 102, 103, 104, 105, 106)
    bench.run(7)
    crowded, again, free = bench.policy.limits
    assert crowded == again
    assert crowded < free


def test_nothing_is_kept_of_finished_batches(bench: Bench) -> None:
    bench.engine.in_call = lambda xs: 1 / 0 if len(xs) == 3 else None
    bench.add_all(101, 102, 103)
    kept = [weakref.ref(work) for work in bench.works.values()]
    bench.works.clear()
    finished = threading.Event()
    bench.finished = lambda: len(bench.results) == 3 and finished.set()
    arguments = (bench.context, bench.batcher)
    threading.Thread(target=bench.scheduler.run, args=arguments, daemon=True).start()
    assert finished.wait(20)
    bench.results.clear()
    for _ in range(2000):  # the thread has to come round to waiting for the next request
        if not any(ref() for ref in kept):
            break
        time.sleep(0.005)
    assert not any(ref() for ref in kept)


def test_a_setting_switches_it_off_and_plain_engines_need_nothing() -> None:
    cache, loaded = ImageCache(0), fake_engine.FakeEngine().load()

    def batcher(engine: Any, **settings: int) -> Batcher | None:
        return batcher_of(EngineContext(engine, loaded, cache, RuntimeSettings(**settings)))

    assert batcher(fake_engine.create_batching(), max_batch=1) is None
    assert batcher(fake_engine.FakeEngine()) is None
    found = batcher(fake_engine.create_batching(), max_batch=8)
    assert found
    assert found.max_batch == 8

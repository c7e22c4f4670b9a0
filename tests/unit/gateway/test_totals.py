"""Sums of what replicas count never fall, whoever starts again, leaves or comes."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diptych import AnswerTime, ModelStats, StageTime, Task
from diptych_gateway.backend import totals
from diptych_gateway.backend.totals import Totals


def at(second: float) -> datetime:
    return datetime.fromtimestamp(second, timezone.utc)


def counted(runs: int, *, since: float | None = None, **more: Any) -> ModelStats:
    """What a replica says that has counted so much of everything."""
    return ModelStats(
        outcomes={"OK": runs, "CANCELLED": 2 * runs},
        stages={"queue": StageTime(runs, runs / 4)},
        encoder_run_count=runs,
        image_cache_hit_count=runs,
        engine_restart_count=runs,
        batch_sizes={1: runs, 8: 3 * runs},
        device_s=runs / 2,
        counting_since=None if since is None else at(since),
        **more,
    )


class Model:
    """Replicas that are asked now and then; ``now`` is the time of day."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.totals = Totals(clock=lambda: self.now)

    def say(self, **answers: ModelStats) -> int:
        """Ask them all, a second after the last time; returns the sum, which all counters agree
        on."""
        self.now += 1
        found = self.totals.add(answers)
        runs = found.encoder_run_count
        if not found.outcomes:  # nobody has ever answered
            assert runs == 0
            return 0
        assert found.outcomes == {"OK": runs, "CANCELLED": 2 * runs}
        assert found.stages == {"queue": StageTime(runs, runs / 4)}
        assert found.batch_sizes == {1: runs, 8: 3 * runs}
        assert found.device_s == runs / 2
        assert found.engine_restart_count == found.image_cache_hit_count == runs
        return runs


def test_two_behind_one_name_are_one_sum() -> None:
    model = Model()
    few, many = counted(10, since=1), counted(1000, since=2)
    assert model.say(a=few, b=many) == 1010
    # Asked in turn by one address, as behind a balancer that the gateway does not see through.
    assert [model.say(a=few), model.say(b=many), model.say(a=counted(11, since=1))] == [
        1010,
        1010,
        1011,
    ]


def test_one_address_with_two_behind_it_is_told_apart_by_when_they_began() -> None:
    model = Model()
    assert model.say(a=counted(10, since=1)) == 10
    assert model.say(a=counted(1000, since=2)) == 10  # it had them before we knew it
    assert model.say(a=counted(12, since=1)) == 12
    assert model.say(a=counted(1005, since=2)) == 17


def test_what_begins_again_goes_on() -> None:
    model = Model()
    assert model.say(a=counted(10, since=1), b=counted(5, since=1)) == 15
    assert model.say(a=counted(3, since=1001.5), b=counted(5, since=1)) == 18
    assert model.say(a=counted(4, since=1001.5), b=counted(6, since=1)) == 20


def test_what_does_not_say_since_when_begins_again_when_it_falls() -> None:
    model = Model()
    assert [model.say(a=counted(n)) for n in (10, 12, 3, 4)] == [10, 12, 15, 16]


def test_what_leaves_leaves_what_it_had_and_may_come_back() -> None:
    model = Model()
    assert model.say(a=counted(10, since=1), b=counted(5, since=1)) == 15
    assert model.say(a=counted(11, since=1)) == 16
    assert model.say(a=counted(11, since=1), b=counted(9, since=1)) == 20


def test_what_joins_late_brings_nothing_along_that_is_old() -> None:
    model = Model()
    assert model.say(a=counted(10, since=1)) == 10
    assert model.say(a=counted(10, since=1), b=counted(1_000_000, since=2)) == 10
    assert model.say(a=counted(10, since=1), b=counted(1_000_007, since=2)) == 17


def test_queues_and_memory_are_those_of_now() -> None:
    one = counted(
        1,
        since=5,
        queue_length=3,
        session_count=1,
        held_bytes=100,
        queue_wait_s=2.5,
        engine_memory_bytes=10,
        engine_peak_memory_bytes=20,
        device="cpu A",
    )
    two = counted(1, since=4, queue_length=4, queue_wait_s=0.5, device="cpu B")
    found = Totals().add({"a": one, "b": two})
    assert (found.queue_length, found.session_count, found.held_bytes) == (7, 1, 100)
    assert (found.queue_wait_s, found.engine_memory_bytes) == (2.5, 10)
    assert found.engine_peak_memory_bytes == 20
    assert found.counting_since == at(4)
    assert found.device == "cpu A, cpu B"
    nobody = Totals().add({})
    assert (nobody.queue_length, nobody.counting_since, nobody.device) == (0, None, "")


def test_times_are_put_together_by_what_they_are_from() -> None:
    def times(count: int, p50_s: float, p95_s: float, *, held: bool = False) -> AnswerTime:
        return AnswerTime(Task.INSTANCE_SEGMENTATION, held, count, p50_s, p95_s)

    one = counted(1, answer_times=(times(100, 1.0, 2.0), times(1, 0.1, 0.1, held=True)))
    two = counted(1, answer_times=(times(10, 9.0, 10.0),))
    found = Totals().add({"a": one, "b": two})
    assert found.answer_times == (times(110, 1.0, 10.0), times(1, 0.1, 0.1, held=True))


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals, "MOST_REPLICAS", 3)
    monkeypatch.setattr(totals, "MOST_NAMES", 12)
    model = Totals()
    for number in range(10):
        model.add({f"pod-{number}": counted(1, since=number)})
    assert len(model._seen) == 3
    many = model.add({"a": ModelStats(outcomes=dict.fromkeys(map(str, range(50)), 1), stages={})})
    assert len(many.outcomes) < 12


REPLICA = st.sampled_from("abc")
STEP = st.dictionaries(REPLICA, st.sampled_from(["works", "restarts", "hides"]), min_size=1)


@given(st.lists(STEP, min_size=1, max_size=20), st.booleans())
@settings(max_examples=60, deadline=None)
def test_no_sum_falls_whatever_happens(steps: list[dict[str, str]], says_since: bool) -> None:
    model = Model()
    state = {name: (10 ** (3 - number), 0.0) for number, name in enumerate("abc")}
    before = 0
    for step in steps:
        for name, what in step.items():
            runs, since = state[name]
            state[name] = (runs + 1, since) if what == "works" else (runs, since)
            if what == "restarts":
                state[name] = (0, model.now + 0.5)
        shown = {name: state[name] for name in "abc" if step.get(name) != "hides"}
        now = model.say(
            **{
                name: counted(runs, since=since if says_since else None)
                for name, (runs, since) in shown.items()
            }
        )
        assert now >= before
        before = now

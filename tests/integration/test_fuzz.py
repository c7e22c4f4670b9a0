"""A few hundred inputs of the fuzzer that looks for cost; ``make fuzz`` tries thousands."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from harness.fuzz import Search, Worker, search
from harness.fuzz_targets import PLANTED, TARGETS, MiB, Target

INPUTS = 60
MEMORY = 600 * MiB
"""Of a refused small input; what an interpreter keeps between two of them is in it."""


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_small_inputs_end_well_and_take_little(target: Target, worker: Worker) -> None:
    seeds = [seed for seed in target.seeds() if len(seed) < 50_000][:4]
    one = Search(TARGETS.index(target), target, worker, random.Random(target.name))
    for number, seed in enumerate(seeds):
        one.take(seed, f"seed {number}")
    while one.tried < INPUTS:
        one.step()
    assert one.unexpected == {}
    assert [d.recipe for d in one.dearest if not d.cost.pixels and d.cost.peak > MEMORY] == []


def test_what_is_dear_is_found(worker: Worker) -> None:
    (found,) = search([PLANTED], 120, 60.0, 1, worker)
    assert found.dearest[0].cost.peak > 200 * MiB
    assert found.dearest[0].score > 1

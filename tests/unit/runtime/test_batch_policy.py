"""How many requests go together, from what they took."""

from __future__ import annotations

from collections.abc import Callable

from diptych_runtime.worker.batch_policy import BatchPolicy

Cost = Callable[[int], float]
LONG = 1e9


def served(policy: BatchPolicy, cost: Cost, rounds: int, waiting: int = 32) -> list[int]:
    """The sizes chosen while so many wait all the time; a batch takes ``cost`` seconds."""
    sizes = []
    for _ in range(rounds):
        size = policy.size("kind", waiting, limit_s=LONG)
        policy.learn("kind", size, cost(size))
        sizes.append(size)
    return sizes


def fixed_and_each(n: int) -> float:
    return 5.0 + 1.0 * n


def each(n: int) -> float:
    return 1.0 * n


def best_at_four(n: int) -> float:
    return 4.0 + n if n <= 4 else 3.0 * n


def test_a_lone_request_goes_alone_whatever_is_known() -> None:
    policy = BatchPolicy(32)
    served(policy, fixed_and_each, 40)
    assert policy.size("kind", 1, limit_s=LONG) == 1


def test_sizes_double_while_that_pays_up_to_the_most() -> None:
    sizes = served(BatchPolicy(32), fixed_and_each, 20)
    assert sizes == [1] * 3 + [2] * 3 + [4] * 3 + [8] * 3 + [16] * 3 + [32] * 5


def test_what_gains_nothing_is_served_one_by_one_after_three_tries() -> None:
    sizes = served(BatchPolicy(32), each, 300)
    assert sizes[:6] == [1, 1, 1, 2, 2, 2]
    # Afterwards three tries in two hundred choices.
    assert sorted(set(sizes[6:])) == [1, 2]
    assert sizes[6:].count(2) == 3


def test_it_stops_where_larger_batches_are_slower() -> None:
    sizes = served(BatchPolicy(32), best_at_four, 250)
    assert sizes[:12] == [1] * 3 + [2] * 3 + [4] * 3 + [8] * 3
    assert sizes[12:].count(4) >= 225
    assert max(sizes[12:]) == 8  # tried again now and then


def test_sizes_alike_are_not_worth_waiting_longer_for() -> None:
    sizes = served(BatchPolicy(32), lambda n: n * (1.0 if n == 1 else 0.5), 100)
    assert sizes[-10:] == [2] * 10


def test_all_that_wait_go_if_more_pays() -> None:
    policy = BatchPolicy(32)
    served(policy, fixed_and_each, 20)
    assert [policy.size("kind", n, limit_s=LONG) for n in (2, 3, 5, 13, 31, 40)] == [
        *(2, 3, 5, 13, 31, 32)
    ]


def test_no_more_than_pays_go_if_more_does_not() -> None:
    policy = BatchPolicy(32)
    served(policy, best_at_four, 40)
    assert [policy.size("kind", n, limit_s=LONG) for n in (3, 5, 7, 8)] == [3, 4, 4, 4]


def test_any_most_is_kept() -> None:
    for most in (2, 3, 6, 24):
        assert max(served(BatchPolicy(most), fixed_and_each, 400)) == most


def test_kinds_are_learned_apart() -> None:
    policy = BatchPolicy(32)
    served(policy, fixed_and_each, 40)
    assert policy.size("other kind", 32, limit_s=LONG) == 1


def test_a_batch_takes_no_longer_than_others_may_wait() -> None:
    policy = BatchPolicy(32)
    served(policy, fixed_and_each, 40)  # 37 s for 32, so 1.16 s for each
    assert policy.size("kind", 32, limit_s=10.0) == 8
    assert policy.size("kind", 32, limit_s=0.1) == 1


def test_a_machine_that_changes_is_learned_anew() -> None:
    policy = BatchPolicy(32)
    served(policy, fixed_and_each, 100)
    assert served(policy, each, 1200)[-100:].count(1) >= 94
    assert served(policy, fixed_and_each, 1200)[-100:].count(32) >= 94


def test_a_clock_that_stands_still_harms_nothing() -> None:
    policy = BatchPolicy(32)
    served(policy, lambda n: 0.0, 10)
    assert policy.size("kind", 4, limit_s=1.0) >= 1


def test_one_slow_batch_changes_nothing() -> None:
    policy = BatchPolicy(32)
    served(policy, fixed_and_each, 40)
    policy.learn("kind", 32, 1000.0)
    assert policy.size("kind", 32, limit_s=LONG) == 32


def test_what_does_not_fit_into_memory_is_halved_and_tried_again_later() -> None:
    policy = BatchPolicy(32)
    served(policy, fixed_and_each, 20)
    policy.too_large("kind", 32)
    assert served(policy, fixed_and_each, 20) == [16] * 20
    assert 32 in served(policy, fixed_and_each, 200)


def test_what_is_known_of_kinds_is_bounded() -> None:
    policy = BatchPolicy(32)
    for number in range(1000):
        policy.learn(number, 1, 1.0)
    assert len(policy._kinds) == 64
    assert 999 in policy._kinds

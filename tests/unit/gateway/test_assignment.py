from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diptych_gateway.compare.assignment import assign

Weights = dict[tuple[int, int], float]


@st.composite
def sparse_weights(draw: st.DrawFn, most: int = 6) -> Weights:
    rows, columns = draw(st.integers(0, most)), draw(st.integers(0, most))
    # Few values, so that equal weights are frequent.
    weight = st.sampled_from([0.0, 0.25, 0.5, 0.5, 0.75, 1.0]) | st.floats(0.01, 1.0)
    drawn = {(i, j): draw(weight) for i in range(rows) for j in range(columns)}
    return {pair: value for pair, value in drawn.items() if value > 0}


def best_sum(weights: Weights) -> float:
    """By trying every injection of rows into columns, with spare columns that weigh nothing."""
    rows = sorted({i for i, _ in weights})
    columns: list[int | None] = [*sorted({j for _, j in weights})]
    columns += [None] * len(rows)
    best = 0.0
    for chosen in set(permutations(columns, len(rows))):
        total = sum(
            weights.get((i, j), 0.0) for i, j in zip(rows, chosen, strict=True) if j is not None
        )
        best = max(best, total)
    return best


@given(sparse_weights(most=4))
def test_no_assignment_weighs_more(weights: Weights) -> None:
    pairs = assign(weights)
    assert all(pair in weights for pair in pairs)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    assert pairs == sorted(pairs)
    assert sum(weights[pair] for pair in pairs) == pytest.approx(best_sum(weights))


@pytest.mark.parametrize("shape", [(1, 1), (7, 7), (30, 50), (50, 30), (3, 200)])
@pytest.mark.parametrize("density", [0.05, 0.3, 1.0])
def test_as_heavy_as_scipys(shape: tuple[int, int], density: float) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(hash((shape, density)) % 1000)
    for _ in range(5):
        matrix = rng.random(shape) * (rng.random(shape) < density)
        weights = {(int(i), int(j)): float(matrix[i, j]) for i, j in np.argwhere(matrix > 0)}
        rows, columns = optimize.linear_sum_assignment(matrix, maximize=True)
        ours = sum(weights[pair] for pair in assign(weights))
        assert ours == pytest.approx(matrix[rows, columns].sum())


def test_the_greedy_choice_is_not_taken() -> None:
    # 0.9 first leaves 0.1 for the rest; the better sum is 0.8 + 0.8.
    weights = {(0, 0): 0.9, (0, 1): 0.8, (1, 0): 0.8, (1, 1): 0.1}
    assert assign(weights) == [(0, 1), (1, 0)]


def test_nothing_to_assign() -> None:
    assert assign({}) == []


def test_stops_when_told() -> None:
    weights = {(i, j): 1.0 for i in range(20) for j in range(20)}
    asked = 0

    def stopped() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    assert len(assign(weights, stopped=stopped)) < 20
    assert asked == 4

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diptych_gateway.request import at_least_s


def as_sent_ms(timeout_ms: int) -> int:
    """What gRPC makes of a timeout: three digits, rounded up."""
    unit = 1
    while timeout_ms > 1000 * unit:
        unit *= 10
    return -(-timeout_ms // unit) * unit


@given(st.integers(1, 600_000), st.integers(0, 2), st.floats(0, 0.0005))
def test_never_more_than_was_given(timeout_ms: int, ticks: int, travel_s: float) -> None:
    arrived = as_sent_ms(timeout_ms + ticks) / 1000 - travel_s
    assert at_least_s(arrived) <= timeout_ms / 1000 + 1e-9


@pytest.mark.parametrize(
    ("arrived_s", "unit_s"), [(0.01, 0.001), (0.5, 0.001), (5, 0.01), (12.4, 0.1), (302, 1)]
)
def test_never_less_than_a_unit_of_the_third_digit_below(arrived_s: float, unit_s: float) -> None:
    assert at_least_s(arrived_s) == pytest.approx(arrived_s - unit_s - 0.002)

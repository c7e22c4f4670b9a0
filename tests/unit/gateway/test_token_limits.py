"""Limits of tokens: how they are read, what counts towards them, and fair shares of a model."""

from __future__ import annotations

import contextlib
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diptych_gateway import request
from diptych_gateway.request import Permits
from diptych_gateway.security.limits import Limits
from diptych_gateway.security.tokens import parse_tokens
from diptych_gateway.security.usage import Accounts
from diptych_runtime.engine import Reason, ServiceError

ENTRY = f'[tokens.a]\nsha256 = "{hashlib.sha256(b"a").hexdigest()}"\n'


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_token_overrides_the_limits_of_all() -> None:
    common = "[limits]\nrequests_per_second = 2.5\nsessions = 3\n"
    (token,) = parse_tokens(common + ENTRY + "sessions = 1\nburst = 7\n")
    assert token.limits == Limits(requests_per_second=2.5, burst=7, sessions=1)
    assert parse_tokens(ENTRY)[0].limits == Limits()


@pytest.mark.parametrize(
    "text",
    [
        ENTRY + "request_per_second = 1",
        ENTRY + "requests_per_second = 0",
        ENTRY + "requests_per_second = nan",
        ENTRY + "requests_per_second = '1'",
        ENTRY + "requests_in_flight = 1.5",
        ENTRY + "sessions = true",
        ENTRY + "burst = 3",
        ENTRY + "[limits]\nsessons = 3",
        ENTRY + "[limit]\nsessions = 3",
    ],
)
def test_limits_that_cannot_be_used(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_tokens(text)


def refusal(accounts: Accounts, limits: Limits, *, session: bool = False) -> ServiceError | None:
    found: ServiceError | None = None
    try:
        accounts.of("a", limits).admit(session=session)
    except ServiceError as error:
        found = error
    assert found is None or found.reason is Reason.RATE_LIMIT
    return found


def test_a_rate_with_its_burst_and_the_time_to_wait() -> None:
    clock = Clock()
    accounts, limits = Accounts(clock), Limits(requests_per_second=2, burst=3)
    assert [refusal(accounts, limits) for _ in range(3)] == [None] * 3
    error = refusal(accounts, limits)
    assert error is not None
    assert error.metadata["limit"] == "requests_per_second"
    assert error.retry_after_s == pytest.approx(0.5)
    clock.now_s += error.retry_after_s or 0.0
    assert refusal(accounts, limits) is None
    assert refusal(accounts, limits) is not None
    more = Limits(requests_per_second=2, burst=4)  # what was used counts on
    assert refusal(accounts, more) is None
    assert refusal(accounts, more) is not None


def test_device_time_is_charged_afterwards_and_paid_off() -> None:
    clock = Clock()
    accounts, limits = Accounts(clock), Limits(device_seconds_per_minute=6)
    assert refusal(accounts, limits) is None
    accounts.of("a", limits).charge(9.0)
    error = refusal(accounts, limits)
    assert error is not None
    assert error.retry_after_s == pytest.approx(30.1)
    clock.now_s += 29
    assert refusal(accounts, limits) is not None
    clock.now_s += 2
    assert refusal(accounts, limits) is None


@pytest.mark.parametrize("session", [False, True])
def test_calls_at_once_are_counted_until_they_end(session: bool) -> None:
    accounts, limits = Accounts(), Limits(requests_in_flight=1, sessions=1)
    account = accounts.of("a", limits)
    with account.serving(session=session):
        assert refusal(accounts, limits, session=session) is not None
        assert refusal(accounts, limits, session=not session) is None
        with pytest.raises(ServiceError), account.serving(session=session):
            pass
    assert (account.in_flight, account.sessions) == (0, 0)


@given(st.integers(2, 64), st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=200))
def test_no_token_takes_what_is_left_for_the_next(
    permits: int, steps: list[tuple[int, bool]]
) -> None:
    model = Permits("m", requests=permits, request_bytes=permits)
    held: dict[str, list[contextlib.ExitStack]] = {}
    caller = ""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(request, "account_name", lambda: caller)
        for number, takes in steps:
            caller = f"token-{number}"
            mine = held.setdefault(caller, [])
            free = permits - model.in_flight
            assert free >= 0
            if not takes:
                if mine:
                    mine.pop().close()
                continue
            stack = contextlib.ExitStack()
            try:
                stack.enter_context(model.taken(1))
                stack.enter_context(model.holding(b"x"))
            except ServiceError:
                assert len(mine) >= free
                assert mine or not free
            else:
                mine.append(stack)
                assert len(mine) <= free
    assert model.in_flight == sum(map(len, held.values()))


@pytest.mark.parametrize("greedy", [1, 2, 5])
def test_greedy_tokens_that_take_turns_leave_an_equal_part_free(
    greedy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Permits("m", requests=120, request_bytes=120)
    caller = ""
    monkeypatch.setattr(request, "account_name", lambda: caller)
    with contextlib.ExitStack() as stack:
        for turn in range(120 * greedy):
            caller = f"token-{turn % greedy}"
            with contextlib.suppress(ServiceError):
                stack.enter_context(model.taken())
        share = 120 / (greedy + 1)
        assert abs(120 - model.in_flight - share) <= 1
        caller = "new"
        stack.enter_context(model.taken())
    assert model.in_flight == 0


def test_without_tokens_all_permits_can_be_taken() -> None:
    model = Permits("m", requests=3, request_bytes=3)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(model.taken(1))
            stack.enter_context(model.holding(b"x"))
        with pytest.raises(ServiceError), model.taken():
            pass

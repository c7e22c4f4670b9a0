"""An interrupt that somebody swallows is not lost."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from diptych.cli._interrupts import Interrupts


@pytest.fixture(autouse=True)
def _heard() -> Iterator[None]:
    """A test run in the background ignores interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def test_a_swallowed_interrupt_is_raised_later() -> None:
    with Interrupts() as interrupts:
        interrupts.check()
        with suppress(KeyboardInterrupt):
            interrupt()
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_one_that_is_not_swallowed_is_raised_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), Interrupts():
        interrupt()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_somebody_else_does_with_interrupts_stays() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Interrupts() as interrupts:
        interrupt()
        interrupts.check()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN

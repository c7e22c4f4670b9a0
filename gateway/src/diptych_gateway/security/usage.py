"""What each token uses, and the refusal of what is over its limits, for all transports."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from diptych_runtime.engine import Reason, ServiceError

from .limits import Limits

Clock = Callable[[], float]
_RETRY_S = 1.0


class _Spent:
    """Something spent over time, which is forgotten at a rate (a token bucket, upside down).

    The rate is given anew each time, so that limits may change without a word to those who used.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._amount = 0.0
        self._at_s = clock()

    def left_of(self, most: float, per_second: float) -> float:
        """Say how much of ``most`` may be spent now."""
        now_s = self._clock()
        self._amount = max(0.0, self._amount - (now_s - self._at_s) * per_second)
        self._at_s = now_s
        return most - self._amount

    def add(self, amount: float) -> None:
        """Spend; may go beyond what is left, which is then paid off first."""
        self._amount += amount


class Account:
    """What the calls of one token use; it outlives changes of the tokens file."""

    def __init__(self, name: str, limits: Limits, clock: Clock = time.monotonic) -> None:
        self.name = name
        self.limits = limits
        self.in_flight = 0
        self.sessions = 0
        self.device_s = 0.0
        self._requests = _Spent(clock)
        self._device = _Spent(clock)

    def admit(self, *, session: bool) -> None:
        """Count one more request towards its rate.

        Raises:
            ServiceError: RATE_LIMIT; then it does not count.
        """
        self._check_room(session=session)
        limits = self.limits
        if (per_minute := limits.device_seconds_per_minute) is not None:
            left = self._device.left_of(per_minute, per_minute / 60)
            if left <= 0:
                name = "device_seconds_per_minute"
                raise self._over(name, per_minute, (-left + 0.01) * 60 / per_minute)
        if (per_second := limits.requests_per_second) is not None:
            left = self._requests.left_of(limits.most_at_once, per_second)
            # Rounding must not refuse who waited for as long as it was told.
            if left < 1 - 1e-6:
                raise self._over("requests_per_second", per_second, (1 - left) / per_second)
            self._requests.add(1)

    @contextmanager
    def serving(self, *, session: bool) -> Iterator[None]:
        """Count a call, or a session, while it is served.

        Raises:
            ServiceError: RATE_LIMIT: it has as many as it may at once.
        """
        self._check_room(session=session)
        self._count(1, session=session)
        try:
            yield
        finally:
            self._count(-1, session=session)

    def charge(self, device_s: float) -> None:
        """Add the time that a model worked, after its answer."""
        self.device_s += device_s
        if (per_minute := self.limits.device_seconds_per_minute) is not None:
            self._device.left_of(per_minute, per_minute / 60)
            self._device.add(device_s)

    def _count(self, more: int, *, session: bool) -> None:
        if session:
            self.sessions += more
        else:
            self.in_flight += more

    def _check_room(self, *, session: bool) -> None:
        name = "sessions" if session else "requests_in_flight"
        most = self.limits.sessions if session else self.limits.requests_in_flight
        if most is not None and (self.sessions if session else self.in_flight) >= most:
            raise self._over(name, most, _RETRY_S)

    def _over(self, limit: str, most: float, retry_after_s: float) -> ServiceError:
        return ServiceError(
            Reason.RATE_LIMIT,
            f"token {self.name!r} has used up its {limit} of {most:g}",
            metadata={"token": self.name, "limit": limit},
            retry_after_s=retry_after_s,
        )


@dataclass(frozen=True)
class Visit:
    """One call that was let in, on the account of its token."""

    account: Account
    session: bool
    is_full: bool
    """Whether its token is for everything."""

    @property
    def name(self) -> str:
        """The token's name."""
        return self.account.name

    def serving(self) -> AbstractContextManager[None]:
        """As ``Account.serving``."""
        return self.account.serving(session=self.session)

    def charge(self, device_s: float) -> None:
        """As ``Account.charge``."""
        self.account.charge(device_s)


class Accounts(Collector):
    """The accounts of all tokens that were used, by name; also their figures for Prometheus."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._accounts: dict[str, Account] = {}

    def of(self, name: str, limits: Limits) -> Account:
        """Find the account of a token, whose limits are these from now on."""
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = Account(name, limits, self._clock)
        account.limits = limits
        return account

    def collect(self) -> Iterator[Metric]:
        """Give the figures; names come from the tokens file, so there are few."""
        prefix = "diptych_gateway_token"
        device = CounterMetricFamily(
            f"{prefix}_device_seconds", "Time that models worked for a token.", labels=["token"]
        )
        requests = GaugeMetricFamily(
            f"{prefix}_in_flight", "Requests of a token at this moment.", labels=["token"]
        )
        sessions = GaugeMetricFamily(
            f"{prefix}_sessions", "Video sessions of a token at this moment.", labels=["token"]
        )
        for name, account in self._accounts.items():
            device.add_metric([name], account.device_s)
            requests.add_metric([name], account.in_flight)
            sessions.add_metric([name], account.sessions)
        yield from (device, requests, sessions)

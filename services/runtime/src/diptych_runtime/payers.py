"""Has somebody pay for the request being served: by how many there are, and by time of a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .calls import Account, current_call


@contextmanager
def paid_by(account: Account | None) -> Iterator[None]:
    """Have somebody pay for the request being served, which counts while the context is held.

    Raises:
        ServiceError: RATE_LIMIT: it has too many already.
    """
    current = current_call()
    if current is None or account is None:
        yield
        return
    current.account = account
    with account.serving():
        yield


def charge(device_s: float) -> None:
    """Charge who pays for the request being served, and log it."""
    current = current_call()
    if current and current.account:
        current.account.charge(device_s)
        before = current.fields.get("device_seconds")
        total = device_s + (before if isinstance(before, float) else 0.0)
        current.fields["device_seconds"] = round(total, 6)

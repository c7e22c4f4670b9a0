"""Dates of certificates."""

from __future__ import annotations

import ssl
import time
from datetime import datetime, timezone

_DAY_S = 86_400
SOON_DAYS = 14
"""Who has no more days left is warned."""


def days_left(date: str) -> int | None:
    """Whole days until a date as certificates have it; negative once it has passed."""
    return int((ssl.cert_time_to_seconds(date) - time.time()) // _DAY_S) if date else None


def shown_date(date: str) -> str:
    """The date as the house writes it."""
    moment = datetime.fromtimestamp(ssl.cert_time_to_seconds(date), timezone.utc)
    return f"{moment:%Y-%m-%d %H:%M} UTC"

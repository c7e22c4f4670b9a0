"""What a server says about itself."""

from __future__ import annotations

from .prompts import Word


class ServingStatus(Word):
    """The answer of a standard health check."""

    UNKNOWN = "unknown"
    SERVING = "serving"
    NOT_SERVING = "not-serving"
    SERVICE_UNKNOWN = "service-unknown"

"""What the gateway asks of anything that answers under a model's id: a service, or a cascade."""

from __future__ import annotations

from typing import Protocol


class Model(Protocol):
    """Answers serialised requests with serialised replies."""

    @property
    def model_id(self) -> str:
        """The id in the settings."""

    @property
    def in_flight(self) -> int:
        """Calls that it has at this moment."""

    async def call(self, method: str, request: bytes, *, timeout_s: float) -> bytes:
        """Answer ``Segment``, ``GetModelCard`` or ``GetModelStats`` within ``timeout_s``.

        Raises:
            BackendError: a service's own status.
            ServiceError: it cannot be reached, is late, or has too many requests waiting.
        """

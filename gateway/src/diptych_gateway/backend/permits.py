"""Places for calls to one model: what more asks is refused, not kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from diptych_runtime.engine import Reason, ServiceError


class Places:
    """Counts the calls that a model has and the bytes of their requests."""

    def __init__(self, model_id: str, *, requests: int, request_bytes: int) -> None:
        self._model_id = model_id
        self._max_requests = requests
        self._max_bytes = request_bytes
        self._bytes = 0
        self.in_flight = 0

    @contextmanager
    def taken(self, request_bytes: int = 0) -> Iterator[None]:
        """Counts as one call while it is held.

        Raises:
            ServiceError: the model has too many already, or too many bytes with these.
        """
        if self.in_flight >= self._max_requests or self._bytes + request_bytes > self._max_bytes:
            raise ServiceError(
                Reason.QUEUE_FULL,
                f"model {self._model_id!r} has {self.in_flight} requests waiting already",
                metadata={"modelId": self._model_id},
                retry_after_s=1.0,
            )
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    @contextmanager
    def holding(self, message: bytes) -> Iterator[None]:
        """Counts the bytes of a message while it is sent or kept."""
        self._bytes += len(message)
        try:
            yield
        finally:
            self._bytes -= len(message)

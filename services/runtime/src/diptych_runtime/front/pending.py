"""What the front remembers of a request that an engine process has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from ..engine.errors import Reason, ServiceError


@dataclass(frozen=True)
class EngineReply:
    """A serialised answer and what it took (seconds)."""

    body: bytes
    stages: dict[str, float]
    model_s: float
    encoder_ran: bool
    cache_hit: bool
    together: int
    """With how many requests it was answered, itself among them."""


@dataclass(frozen=True)
class Inside:
    """A request that the engine process has."""

    answer: asyncio.Future[EngineReply]
    left: Callable[[], None]
    """Called when the process does not have it any more, whether anybody still waits or not."""

    def fail_late(self) -> None:
        """The deadline is there: a step may take longer."""
        text = "the deadline passed while the model was working"
        self.fail(ServiceError(Reason.DEADLINE, text))

    def fail(self, error: ServiceError) -> None:
        """Who waits, if anybody still does, gets an error."""
        if not self.answer.done():
            self.answer.set_exception(error)

    def succeed(self, reply: EngineReply) -> None:
        """Who waits, if anybody still does, gets the reply."""
        if not self.answer.done():
            self.answer.set_result(reply)


def engine_lost() -> ServiceError:
    """The error of requests that were in an engine process when it ended."""
    return ServiceError(
        Reason.ENGINE_LOST, "the engine was lost while it worked; try again", retry_after_s=2.0
    )

"""Images that are not tried again for a while, because an engine process ended over them."""

from __future__ import annotations

import time
from collections import OrderedDict

from .engine.errors import Reason, ServiceError

ENDED_ENGINE = "endedEngine"
"""Key in the metadata of errors of requests that are in quarantine, or have just come there."""
_CAPACITY = 1024


class Quarantine:
    """Digests of images, each held for ``seconds``; bounded, the oldest out first.

    Empty but for the worst days. Who has no digest at hand looks at ``digests`` before making one.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._suspected: OrderedDict[str, float] = OrderedDict()
        self.digests: OrderedDict[str, float] = OrderedDict()
        """When each is let go, as a reading of the monotonic clock."""

    def add(self, digest: str) -> None:
        """Hold an image that has ended an engine."""
        _note(self.digests, digest, self._seconds)

    def suspect(self, digest: str) -> bool:
        """Note an image that may have ended an engine; returns whether it is held now, as it is
        the second time."""
        if _holds(self._suspected, digest):
            self.add(digest)
            return True
        _note(self._suspected, digest, self._seconds)
        return False

    def check(self, digest: str) -> None:
        """Let an image pass.

        Raises:
            ServiceError: it is held.
        """
        if _holds(self.digests, digest):
            raise ended_engine()


def ended_engine() -> ServiceError:
    """Make the error of a request that an engine ended over. Nothing tries such again."""
    return ServiceError(
        Reason.MODEL_FAILED,
        "an engine ended while it worked on this image, which is not tried again for a while",
        metadata={ENDED_ENGINE: "true"},
    )


def _note(held: OrderedDict[str, float], digest: str, seconds: float) -> None:
    held.pop(digest, None)
    held[digest] = time.monotonic() + seconds
    while len(held) > _CAPACITY:
        held.popitem(last=False)


def _holds(held: OrderedDict[str, float], digest: str) -> bool:
    now = time.monotonic()
    while held and next(iter(held.values())) <= now:
        held.popitem(last=False)
    return digest in held

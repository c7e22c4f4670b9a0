"""What a process that is ready keeps out of the collector's way."""

from __future__ import annotations

import gc
import weakref

from diptych_runtime.allocator import keep_what_is_there


class Ring:
    """Refers to itself: only the collector frees it."""

    def __init__(self) -> None:
        self.own = self


def test_what_is_there_is_kept_and_what_comes_later_is_freed() -> None:
    try:
        keep_what_is_there()
        assert gc.get_freeze_count() > 1000
        later = weakref.ref(Ring())
        gc.collect()
        assert later() is None
    finally:
        gc.unfreeze()

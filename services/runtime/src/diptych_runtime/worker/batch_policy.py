"""How many requests the model is given at once: as many as make it quicker on this device.

What is known of a kind of requests is the time that one takes in batches of 1, of 2 to 3, of 4 to 7
and so on: the median of the newest few of each such level. The size grows by doubling as long as
that pays, so a kind that gains nothing is soon served one by one. Now and then the levels beside
the best one are tried again, because traffic, images and neighbours on a machine change.

Nothing here waits: a size is chosen from what is there.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from statistics import median

_NEWEST = 5
_ENOUGH = 3  # measurements before a level is judged
_MIN_GAIN = 0.02  # of the time of one request; less is noise, and larger batches answer later
_TRY_AGAIN_EVERY = 100  # choices
_MAX_KINDS = 64
_TICK_S = 1e-9


class BatchPolicy:
    """Chooses sizes up to ``max_batch`` and learns from what they took."""

    def __init__(self, max_batch: int) -> None:
        self._max = max_batch
        self._kinds: OrderedDict[Hashable, _Kind] = OrderedDict()

    def size(self, kind: Hashable, waiting: int, *, limit_s: float) -> int:
        """Choose how many of ``waiting`` requests to take, at least 1; as far as is known they take
        no longer than ``limit_s`` seconds together."""
        if waiting == 1:
            return 1
        return self._kind(kind).size(min(waiting, self._max), limit_s)

    def learn(self, kind: Hashable, size: int, seconds: float) -> None:
        """Take in how long the model worked on ``size`` requests of a kind."""
        # Never 0, which a clock may say: times are divided by.
        self._kind(kind).levels[_level(size)].append(max(seconds, _TICK_S) / size)

    def too_large(self, kind: Hashable, size: int) -> None:
        """Note that so many did not fit into the device's memory."""
        found = self._kind(kind)
        found.ceiling = min(found.ceiling, max(size // 2, 1))

    def _kind(self, kind: Hashable) -> _Kind:
        found = self._kinds.pop(kind, None) or _Kind(self._max)
        self._kinds[kind] = found
        if len(self._kinds) > _MAX_KINDS:
            self._kinds.popitem(last=False)
        return found


class _Kind:
    """What is known of requests of one kind."""

    def __init__(self, max_batch: int) -> None:
        self.levels = [deque[float](maxlen=_NEWEST) for _ in range(_level(max_batch) + 1)]
        """Seconds of one request, the newest last."""
        self.ceiling = max_batch
        self._max = max_batch
        self._choices = 0

    def size(self, waiting: int, limit_s: float) -> int:
        waiting = min(waiting, self.ceiling)
        best = self._best(_level(waiting))
        wanted = self._to_try(best, _level(waiting))
        size = 1 << wanted
        if wanted == best == _level(waiting) and self._may_gain(best):
            size = waiting
        if known := self.levels[best]:
            size = min(size, int(limit_s / median(known)))
        return max(size, 1)

    def _best(self, top: int) -> int:
        """Find the level up to ``top`` with the quickest requests; the lower one of two that are
        alike."""
        best = 0
        for level in range(1, top + 1):
            if self._is_judged(level) and self._gains(level, best):
                best = level
        return best

    def _to_try(self, best: int, top: int) -> int:
        """Choose ``best``, or a level beside it about which too little is known."""
        if not self._is_judged(best):
            return best
        for beside in (best + 1, best - 1):
            if 0 <= beside <= top and not self._is_judged(beside):
                return beside
        self._choices += 1
        tries, left = divmod(self._choices, _TRY_AGAIN_EVERY)
        if not left:
            self._forget(best + 1 if tries % 2 else best - 1)
        return best

    def _forget(self, level: int) -> None:
        """Have a level tried again."""
        self.ceiling = min(2 * self.ceiling, self._max)
        if 0 <= level < len(self.levels):
            self.levels[level].clear()

    def _may_gain(self, level: int) -> bool:
        """Whether more requests than the fewest of a level may be quicker still."""
        above = level + 1
        slower = self._is_judged(above) and not self._gains(above, level)
        return self._is_judged(level) and not slower

    def _is_judged(self, level: int) -> bool:
        return level < len(self.levels) and len(self.levels[level]) >= _ENOUGH

    def _gains(self, level: int, over: int) -> bool:
        if not self.levels[over]:
            return True
        return median(self.levels[level]) < (1 - _MIN_GAIN) * median(self.levels[over])


def _level(size: int) -> int:
    return size.bit_length() - 1

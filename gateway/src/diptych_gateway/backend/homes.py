"""Where images are at home: which replicas hold them, or are to.

An image has two homes: the first two replicas in an order that is mixed from its digest and their
addresses (rendezvous hashing, Thaler and Ravishankar, IEEE/ACM Transactions on Networking 6, 1998).
So gateways that share nothing find it where another has sent it.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol, TypeVar

_SPILL_CALLS = 3
"""A home is left for the other one if that has more than so many fewer calls."""
_CROWDED = 1.5
"""Both are left if they have more than so many times the calls of the mean replica, and 3."""
_RECENT = 256
_HOMES_PER_SHARE = 2.0
"""An image with a share of the recent calls gets twice that share of the replicas as homes, so that
none of them gets much more than others do."""
_MOST_KNOWN = 32 * 1024
_MOST_HOLDERS = 64
_MASK = (1 << 64) - 1


class Candidate(Protocol):
    """What choosing looks at of a replica."""

    @property
    def address(self) -> str:
        """Its address, the same for every gateway."""

    @property
    def calls(self) -> int:
        """Calls in flight that this gateway has sent it, or is about to."""

    promised: int
    """Those that it is about to send."""

    @property
    def is_up(self) -> bool:
        """Whether it answers."""

    def was_up(self, within_s: float) -> bool:
        """Return whether it answers, or did so many seconds ago."""

    @property
    def is_full(self) -> bool:
        """Whether it has refused for lack of room a moment ago."""

    @property
    def is_failing(self) -> bool:
        """Whether it is to get no second tries."""


R = TypeVar("R", bound=Candidate)


def ranked(digest: bytes, replicas: Sequence[R]) -> Sequence[R]:
    """Order replicas as every gateway does for this digest: its homes come first."""
    if len(replicas) == 1:
        return replicas
    key = int.from_bytes(digest[:8], "big")
    return sorted(replicas, key=lambda each: _mixed(key ^ _seed(each.address)), reverse=True)


@lru_cache(maxsize=4096)
def _seed(address: str) -> int:
    return int.from_bytes(hashlib.sha256(address.encode()).digest()[:8], "big")


def _mixed(number: int) -> int:
    """Mix 64 bits, as SplitMix64 does (Steele, Lea and Flood, OOPSLA 2014)."""
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    number = (number ^ number >> 27) * 0x94D049BB133111EB & _MASK
    return number ^ number >> 31


class Homes:
    """What one gateway knows of images: who has answered about them, and how often they are asked
    about. Bounded, the least recently used out first."""

    def __init__(self) -> None:
        self._holders: OrderedDict[bytes, tuple[str, ...]] = OrderedDict()
        self._recent: deque[bytes] = deque()
        self._counts: Counter[bytes] = Counter()
        self._contended: set[bytes] = set()

    def holders(self, digest: bytes) -> tuple[str, ...]:
        """List the addresses of those that hold an image, as far as is known."""
        return self._holders.get(digest, ())

    def remember(self, digest: bytes, address: str) -> None:
        """Note that a replica has answered about an image, and so holds it."""
        others = [each for each in self._holders.pop(digest, ()) if each != address]
        self._holders[digest] = (address, *others[: _MOST_HOLDERS - 1])
        if len(self._holders) > _MOST_KNOWN:
            self._holders.popitem(last=False)
        self._recent.append(digest)
        self._counts[digest] += 1
        if len(self._recent) > _RECENT:
            gone = self._recent.popleft()
            self._counts[gone] -= 1
            if not self._counts[gone]:
                del self._counts[gone]
                self._contended.discard(gone)

    def forget(self, digest: bytes, address: str) -> None:
        """Note that a replica does not hold an image any more."""
        left = tuple(each for each in self._holders.pop(digest, ()) if each != address)
        if left:
            self._holders[digest] = left

    def wide(self, digest: bytes, replicas: int, *, contended: bool) -> int:
        """Say how many homes an image has: more than two if much is asked about it, from when a
        call found its replica ``contended``."""
        wanted = int(_HOMES_PER_SHARE * self._counts[digest] / _RECENT * replicas)
        if wanted > 2 and contended:
            self._contended.add(digest)
        return wanted if wanted > 2 and digest in self._contended else 2


def least_busy(usable: Sequence[R], holders: Sequence[R], digest: bytes, homes: Homes) -> R:
    """Choose among usable ones, best first, of which some hold the image."""
    home = min(usable[:2], key=calls)
    best = min(holders, key=calls_or_chance) if holders else home
    if home.calls + _SPILL_CALLS < best.calls:
        return home
    wide = homes.wide(digest, len(usable), contended=best.calls > 0)
    if wide > 2:
        return min(usable[:wide], key=calls_or_chance)
    if best.calls > _SPILL_CALLS:
        mean = sum(map(calls, usable)) / len(usable)
        if best.calls > _CROWDED * mean + _SPILL_CALLS:
            best = next(each for each in usable if each.calls <= mean)
    return best


def calls(replica: Candidate) -> int:
    """Order replicas by their calls."""
    return replica.calls


def calls_or_chance(replica: Candidate) -> tuple[int, float]:
    """Order replicas by their calls, equal ones anew each time."""
    return replica.calls, random.random()  # no secret depends on it

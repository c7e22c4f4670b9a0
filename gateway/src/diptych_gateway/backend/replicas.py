"""A model's replicas: which of them is asked, and which after it.

An image has two homes: the first two replicas in an order that is mixed from its digest and their
addresses (rendezvous hashing, Thaler and Ravishankar, IEEE/ACM Transactions on Networking 6, 1998).
So gateways that share nothing find it where another has sent it. What is refused for lack of room,
or fails because a replica goes, is tried elsewhere. Nothing below this module tries again.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Generic, Protocol, TypeVar

import grpc
from google.rpc import status_pb2

from diptych.segment import v1 as pb
from diptych.wire.serialized import with_image
from diptych_runtime.engine import Reason, ServiceError
from diptych_runtime.quarantine import Quarantine

from ..request import Deadline
from ..statuses import BackendError, no_replica, too_late
from .follower import Follower
from .images import SentImage
from .replica import Replica
from .totals import Totals, without_gone
from .video_relay import VideoRelay

_SPILL_CALLS = 3
"""A home is left for the other one if that has more than so many fewer calls."""
_CROWDED = 1.5
"""Both are left if they have more than so many times the calls of the mean replica, and 3."""
_MOST_KNOWN = 32 * 1024
_MOST_HOLDERS = 16
_MOST_FAILURES = 3
_MOST_REFUSALS = 8
_PAUSES_S = (0.02, 0.06)
_MASK = (1 << 64) - 1
_NO_NAMES: Mapping[str, str] = MappingProxyType({})


class Candidate(Protocol):
    """What choosing looks at of a replica."""

    @property
    def address(self) -> str:
        """Its address, the same for every gateway."""

    @property
    def calls(self) -> int:
        """Calls in flight that this gateway has sent it."""

    @property
    def is_up(self) -> bool:
        """Whether it answers."""

    @property
    def is_full(self) -> bool:
        """Whether it has refused for lack of room a moment ago."""

    @property
    def is_failing(self) -> bool:
        """Whether it is to get no second tries."""


R = TypeVar("R", bound=Candidate)


class Homes:
    """Which replicas have answered about an image; bounded, the least recently used out first."""

    def __init__(self) -> None:
        self._holders: OrderedDict[bytes, tuple[str, ...]] = OrderedDict()

    def holders(self, digest: bytes) -> tuple[str, ...]:
        """List the addresses of those that hold an image, as far as is known."""
        return self._holders.get(digest, ())

    def remember(self, digest: bytes, address: str) -> None:
        """Note that a replica holds an image now."""
        others = [each for each in self._holders.pop(digest, ()) if each != address]
        self._holders[digest] = (address, *others[: _MOST_HOLDERS - 1])
        if len(self._holders) > _MOST_KNOWN:
            self._holders.popitem(last=False)

    def forget(self, digest: bytes, address: str) -> None:
        """Note that a replica does not hold an image any more."""
        left = tuple(each for each in self._holders.pop(digest, ()) if each != address)
        if left:
            self._holders[digest] = left


class Route(Generic[R]):
    """The way of one request over the replicas: ``choose`` one, then say what came of it.

    ``is_named`` says that the request has the digest instead of the file, ``is_at_hand`` that the
    file can probably be had.
    """

    def __init__(
        self, homes: Homes, digest: bytes, *, is_named: bool = False, is_at_hand: bool = False
    ) -> None:
        self.is_named = is_named
        self.wants_file = False
        """Whether the one that was chosen has to be sent the file."""
        self._homes = homes
        self._digest = digest
        self._is_at_hand = is_at_hand
        self._left: set[str] = set()
        self._lacking: set[str] = set()
        self._failures = 0

    def choose(self, replicas: Sequence[R]) -> R:
        """Choose among one or more."""
        usable = self._usable(ranked(self._digest, replicas))
        holders = [each for each in usable if each.address in self._homes.holders(self._digest)]
        first = _least_busy(usable, holders)
        likely = [e for e in holders or usable[:2] if e.address not in self._lacking]
        self.wants_file = False
        if self.is_named and first not in likely:
            if likely and (first.address in self._lacking or not self._is_at_hand):
                first = min(likely, key=lambda each: each.calls)
            else:
                self.wants_file = True
        return first

    def _usable(self, replicas: Sequence[R]) -> Sequence[R]:
        left = [e for e in replicas if e.address not in self._left] or replicas
        up = [e for e in left if e.is_up] or left
        return [e for e in up if not e.is_full] or up

    def lacks(self, replica: R) -> None:
        """Note that it does not hold the image: the other home is asked, then the file sent."""
        self._homes.forget(self._digest, replica.address)
        self._lacking.add(replica.address)

    def refused(self, replica: R, replicas: Sequence[R]) -> bool:
        """Note that it has no room; returns whether another may have."""
        self._left.add(replica.address)
        return len(self._left) < _MOST_REFUSALS and self._has_others(replicas)

    def failed(self, replica: R, replicas: Sequence[R]) -> float | None:
        """Note that it failed; returns the seconds until the next try, ``None`` for no more."""
        self._failures += 1
        self._left.add(replica.address)
        if self._failures == _MOST_FAILURES:
            return None
        if self._has_others(replicas):
            return 0.0
        if replica.is_failing:
            return None
        return _PAUSES_S[self._failures - 1] * random.uniform(0.8, 1.2)  # no secret depends on it

    def _has_others(self, replicas: Sequence[R]) -> bool:
        return any(
            e.is_up and not e.is_full and not e.is_failing
            for e in replicas
            if e.address not in self._left
        )

    def answered(self, replica: R) -> None:
        """Note that it holds the image now."""
        if self._digest:
            self._homes.remember(self._digest, replica.address)


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


def _least_busy(usable: Sequence[R], holders: Sequence[R]) -> R:
    """Choose among usable ones, best first, of which some hold the image."""
    home = min(usable[:2], key=lambda each: each.calls)
    best = min(holders, key=lambda each: each.calls) if holders else home
    if home.calls + _SPILL_CALLS < best.calls:
        best = home
    mean = sum(each.calls for each in usable) / len(usable)
    if best.calls > _CROWDED * mean + _SPILL_CALLS:
        best = next(each for each in usable if each.calls <= mean)
    return best


class Replicas:
    """A ``Model`` that is any number of services. Make it inside the event loop that uses it.

    Each has places of its own, ``in_flight_requests`` and ``in_flight_bytes``. Without credentials
    the connections are not encrypted; ``proxy`` has them made by the one of the environment.
    """

    def __init__(
        self,
        model_id: str,
        addresses: Sequence[str] = (),
        *,
        credentials: grpc.ChannelCredentials | None = None,
        in_flight_requests: int = 128,
        in_flight_bytes: int = 512 * 1024 * 1024,
        proxy: bool = False,
        quarantine_s: float = 600.0,
    ) -> None:
        self.model_id = model_id
        self.replicas: tuple[Replica, ...] = ()
        """Those that are asked, by address."""
        self.calls: Counter[tuple[str, str]] = Counter()
        """Unary calls that have ended, by a replica's address and the name of their code."""
        self.totals = Totals()
        self._leaving: list[Replica] = []
        self._last_card: pb.ModelCard | None = None
        self._credentials = credentials
        self._in_flight_requests = in_flight_requests
        self._in_flight_bytes = in_flight_bytes
        self._proxy = proxy
        self._quarantine = Quarantine(quarantine_s)
        self._homes = Homes()
        self._refresh_s: float | None = None
        self._followers: dict[Replica, asyncio.Task[None]] = {}
        self.set_addresses(addresses)

    def set_addresses(self, addresses: Sequence[str], names: Mapping[str, str] = _NO_NAMES) -> None:
        """Have just these asked, as ``host:port``; their order and repetitions do not matter.

        ``names`` has the name of an address that its certificate is made out to, where that is not
        the address itself. One that is not listed any more gets no new calls; what it has goes on
        until it ends.
        """
        wanted = {address: names.get(address, address) for address in addresses}
        stay = [r for r in self.replicas if wanted.get(r.address) == r.authority]
        come = sorted(wanted.keys() - {replica.address for replica in stay})
        for replica in set(self.replicas) - set(stay):
            self._retire(replica)
        new = [self._replica(address, wanted[address]) for address in come]
        self.replicas = tuple(sorted((*stay, *new), key=lambda replica: replica.address))
        self.calls = without_gone(self.calls, wanted)
        for replica in new:
            self._follow(replica)

    def _replica(self, address: str, authority: str) -> Replica:
        return Replica(
            self.model_id,
            address,
            authority=authority,
            credentials=self._credentials,
            in_flight_requests=self._in_flight_requests,
            in_flight_bytes=self._in_flight_bytes,
            proxy=self._proxy,
        )

    def _retire(self, replica: Replica) -> None:
        if follower := self._followers.pop(replica, None):
            follower.cancel()
        replica.retire()
        self._leaving = [*(each for each in self._leaving if each.in_flight), replica]

    def start(self, refresh_s: float) -> None:
        """Begin to follow what becomes of them; a card is read again when it is so old."""
        self._refresh_s = refresh_s
        for replica in self.replicas:
            self._follow(replica)

    def _follow(self, replica: Replica) -> None:
        if self._refresh_s is not None:
            self._followers[replica] = asyncio.create_task(
                Follower(replica, self._refresh_s).run(), name=f"status of {replica.address}"
            )

    def renew(self, credentials: grpc.ChannelCredentials) -> None:
        """Go over to connections with other credentials; no call notices."""
        self._credentials = credentials
        for replica in self.replicas:
            replica.renew(credentials)

    async def close(self) -> None:
        """End the calls that run, stop following and close every connection."""
        self._refresh_s = None
        for follower in self._followers.values():
            follower.cancel()
        await asyncio.gather(*self._followers.values(), return_exceptions=True)
        await asyncio.gather(*(each.close() for each in (*self.replicas, *self._leaving)))

    @property
    def in_flight(self) -> int:
        """Requests for work and sessions that all of them have at this moment."""
        return sum(replica.in_flight for replica in (*self.replicas, *self._leaving))

    @property
    def card(self) -> pb.ModelCard | None:
        """The card of the first that is up, else the last one seen."""
        up = (replica.card for replica in self.replicas if replica.status.code == 0)
        self._last_card = next(up, None) or self._last_card
        return self._last_card

    @property
    def status(self) -> status_pb2.Status:
        """OK if one of them is up, else why the first is not."""
        if not self.replicas:
            return no_replica(self.model_id).to_status()
        statuses = [replica.status for replica in self.replicas]
        return next((status for status in statuses if status.code == 0), statuses[0])

    async def call(self, method: str, request: bytes, *, timeout_s: float) -> bytes:
        """Ask one of them, or all for their counters. As ``Model.call``."""
        if method == "GetModelStats":
            if not self.replicas:
                raise no_replica(self.model_id)
            return await self.totals.ask(self.replicas, request, timeout_s)
        deadline = Deadline(time.monotonic() + timeout_s, 0.0)
        return await self._ask(method, request, None, deadline, Route(self._homes, b""))

    async def segment(self, request: bytes, image: SentImage, deadline: Deadline) -> bytes:
        """Ask one that holds the image, or will. As ``Model.segment``.

        A replica that does not hold the digest is sent the file, if it can be had.
        """
        if self._quarantine.digests:
            self._quarantine.check((await image.digest()).hex())
        digest = await image.digest() if len(self.replicas) > 1 else b""
        named, at_hand = image.is_named, image.is_at_hand
        route = Route[Replica](self._homes, digest, is_named=named, is_at_hand=at_hand)
        try:
            return await self._ask("Segment", request, image, deadline, route)
        except BackendError as error:
            if error.has_ended_engine:
                self._quarantine.add((await image.digest()).hex())
            raise

    async def _ask(
        self,
        method: str,
        request: bytes,
        image: SentImage | None,
        deadline: Deadline,
        route: Route[Replica],
    ) -> bytes:
        failure: BackendError | ServiceError = no_replica(self.model_id)
        while self.replicas:
            replica = route.choose(self.replicas)
            if route.wants_file and image:
                file = await image.file()
                if file is not None:
                    request, route.is_named = with_image(request, file), False
                elif failure.reason == Reason.IMAGE_NOT_HELD:
                    break
            try:
                reply = await replica.call(method, request, timeout_s=deadline.for_backend_s())
            except (BackendError, ServiceError) as error:
                failure = error
                self.calls[replica.address, error.code.name] += 1
                if not await self._goes_on(route, replica, error):
                    break
            else:
                self.calls[replica.address, "OK"] += 1
                route.answered(replica)
                return reply
        raise failure

    async def _goes_on(
        self, route: Route[Replica], replica: Replica, error: BackendError | ServiceError
    ) -> bool:
        """Take in why a replica has not answered; returns whether another may, after a pause."""
        if error.reason == Reason.IMAGE_NOT_HELD and route.is_named:
            route.lacks(replica)
            return True
        if error.reason == Reason.QUEUE_FULL:
            if isinstance(error, BackendError):  # not our own bound on its places
                replica.note_full()
            return route.refused(replica, self.replicas)
        if error.code is not grpc.StatusCode.UNAVAILABLE:
            return False
        replica.note_failed()
        pause_s = route.failed(replica, self.replicas)
        if pause_s:
            await asyncio.sleep(pause_s)
        return pause_s is not None

    def video(
        self, start: bytes, requests: AsyncIterator[bytes], deadline: Deadline | None
    ) -> VideoRelay:
        """Prepare a session, which takes its place when it begins. As ``Model.video``."""
        timeout_s = deadline.for_backend_s() if deadline else None
        if timeout_s is not None and timeout_s <= 0:
            raise too_late(self.model_id)
        return VideoRelay(
            self.model_id,
            self._for_session,
            start=start,
            requests=requests,
            timeout_s=timeout_s,
        )

    def _for_session(self, tried: Collection[Replica]) -> Replica | None:
        """Choose for one more session; ``None`` if none is left that may have room."""
        left = [each for each in self.replicas if each not in tried]
        usable = [each for each in left if each.is_up and not each.is_full]
        # No secret depends on it: gateways should not all begin with the same.
        random.shuffle(usable)
        among = usable if tried or usable else left
        return min(among, key=lambda each: (each.sessions, each.calls), default=None)

"""A model's replicas: which of them is asked, and which after it.

An image goes where it is at home. What is refused for lack of room, or fails because a replica
goes, is tried elsewhere. Nothing below this module tries again.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any, Generic

import grpc

from diptych.segment import v1 as pb
from diptych.wire.serialized import with_digest, with_image
from diptych_runtime.calls import account_name
from diptych_runtime.engine import Reason, ServiceError
from diptych_runtime.quarantine import Quarantine

from ..request import Deadline, charge_reply, parse_segment_request
from ..statuses import BackendError, too_late
from .homes import Homes, R, calls, calls_or_chance, least_busy, ranked
from .images import SentImage
from .replica import Replica
from .replica_set import ReplicaSet
from .video_relay import VideoRelay

_MOST_FAILURES = 3
_MOST_REFUSALS = 8
_PAUSES_S = (0.02, 0.06)
# While replicas restart one after the other, a busy gateway may know none that is up for a moment.
_GAP_S = 1.0
_GAP_POLL_S = 0.05
_LATELY_S = 5.0


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
        self._has_waited = False
        self._chosen = ""
        self._promised_to: R | None = None

    def choose(self, replicas: Sequence[R]) -> R:
        """Choose among one or more: one that is up and not full, if there is one."""
        order = ranked(self._digest, replicas)
        left = [each for each in order if each.address not in self._left] or list(order)
        full: R | None = None
        while left:
            best = self._best(left)
            if best.is_up and not best.is_full and not (self._left and best.is_failing):
                return best
            if best.is_up:
                full = full or best
            left.remove(best)
        return self._best([full] if full else order)

    def look_first(self, replicas: Sequence[R]) -> None:
        """Have the other home asked by digest before the one chosen now is sent the file.

        That one counts it as a call meanwhile: else a crowd of new images would all choose it,
        because the others are busy with such questions.
        """
        chosen = self.choose(replicas)
        chosen.promised += 1
        self._promised_to, self._chosen = chosen, chosen.address
        self._lacking.add(self._chosen)
        self.is_named = True

    def settle(self) -> None:
        """End what ``look_first`` has promised: the file is sent now, or never."""
        if self._promised_to is not None:
            self._promised_to.promised -= 1
            self._promised_to = None

    def _best(self, replicas: Sequence[R]) -> R:
        known = self._homes.holders(self._digest)
        holders = [each for each in replicas if each.address in known] if known else []
        chosen = (each for each in replicas if each.address == self._chosen)
        best = next(chosen, None) or least_busy(replicas, holders, self._digest, self._homes)
        likely = [e for e in holders or replicas[:2] if e.address not in self._lacking]
        self.wants_file = self.is_named and best not in likely
        if self.wants_file and likely and (best.address in self._lacking or not self._is_at_hand):
            self.wants_file = False
            best = min(likely, key=calls_or_chance if holders else calls)
        return best

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

    def may_wait(self, replicas: Sequence[R]) -> bool:
        """Note, once, that the next of several replicas is waited for; returns whether to.

        It is where one is up, or was a moment ago: else nothing says that any will come.
        """
        waits = not self._has_waited and len(replicas) > 1
        self._has_waited = True
        return waits and any(each.was_up(_LATELY_S) for each in replicas)

    def begins_again(self, replicas: Sequence[R]) -> bool:
        """Return whether one is up that gets second tries; if so, all count as not yet tried."""
        if not any(each.is_up and not each.is_failing for each in replicas):
            return False
        self._left.clear()
        self._failures = 0
        return True

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


class Replicas(ReplicaSet):
    """A ``Model`` that is any number of services."""

    def __init__(
        self,
        model_id: str,
        addresses: Sequence[str] = (),
        *,
        quarantine_s: float = 600.0,
        **settings: Any,
    ) -> None:
        super().__init__(model_id, addresses, **settings)
        self._quarantine = Quarantine(quarantine_s)
        self._homes = Homes()

    @property
    def fit(self) -> Sequence[Replica]:
        """Those that are services of this model, as far as is known."""
        return [replica for replica in self.replicas if replica.is_fit]

    async def call(self, method: str, request: bytes, *, timeout_s: float) -> bytes:
        """Ask one of them, or all for their counters. As ``Model.call``."""
        if method == "GetModelStats":
            if not self.fit:
                raise self.no_replica()
            return await self.totals.ask(
                self.fit,
                lambda each, within_s: _send(each, method, request, within_s),
                timeout_s,
            )
        deadline = Deadline(time.monotonic() + timeout_s, 0.0)
        route = Route[Replica](self._homes, b"")
        return await self._ask(method, request, None, deadline, route)

    async def segment(self, request: bytes, image: SentImage, deadline: Deadline) -> bytes:
        """Ask one that holds the image, or will. As ``Model.segment``.

        A replica that does not hold the digest is sent the file, if it can be had.
        """
        if self._quarantine.digests:
            self._quarantine.check((await image.digest()).hex())
        digest = await image.digest() if len(self.fit) > 1 else b""
        named, at_hand = image.is_named, image.is_at_hand
        route = Route[Replica](self._homes, digest, is_named=named, is_at_hand=at_hand)
        if digest and not named and not self._homes.holders(digest):
            # Another gateway may have sent it to the home that is not chosen here: that is asked by
            # digest, which costs a hundredth of an encoder's run.
            image.request = request
            message, _ = await parse_segment_request(request)
            request = with_digest(message, digest)
            route.look_first(self.fit)
        try:
            return await self._ask("Segment", request, image, deadline, route)
        except BackendError as error:
            if error.has_ended_engine:
                self._quarantine.add((await image.digest()).hex())
            raise
        finally:
            route.settle()

    async def _ask(
        self,
        method: str,
        request: bytes,
        image: SentImage | None,
        deadline: Deadline,
        route: Route[Replica],
    ) -> bytes:
        failure: BackendError | ServiceError | None = None
        while fit := self.fit:
            replica = route.choose(fit) if len(fit) > 1 or failure else fit[0]
            if route.wants_file and image:
                file = await image.file()
                if file is not None:
                    request = image.request or with_image(request, file)
                    route.is_named = False
                elif failure and failure.reason == Reason.IMAGE_NOT_HELD:
                    break
            if not route.is_named:
                route.settle()
            try:
                reply = await _send(replica, method, request, deadline.for_backend_s())
            except (BackendError, ServiceError) as error:
                failure = error
                self.calls[replica.name, error.code.name] += 1
                if not await self._goes_on(route, replica, error, deadline):
                    break
            else:
                self.calls[replica.name, "OK"] += 1
                route.answered(replica)
                return reply
        raise failure or self.no_replica()

    async def _goes_on(
        self,
        route: Route[Replica],
        replica: Replica,
        error: BackendError | ServiceError,
        deadline: Deadline,
    ) -> bool:
        """Take in why a replica has not answered; returns whether another may, after a pause."""
        if error.reason == Reason.IMAGE_NOT_HELD and route.is_named:
            route.lacks(replica)
            return True
        if error.reason == Reason.QUEUE_FULL:
            if isinstance(error, BackendError):  # not our own bound on its places
                replica.note_full()
            return route.refused(replica, self.fit)
        if error.code is not grpc.StatusCode.UNAVAILABLE:
            return False
        replica.note_failed()
        pause_s = route.failed(replica, self.fit)
        if pause_s:
            await asyncio.sleep(pause_s)
        return pause_s is not None or await self._another_comes(route, deadline)

    async def _another_comes(self, route: Route[Replica], deadline: Deadline) -> bool:
        """Wait for the next replica of a rolling restart, if it may come in time."""
        if not route.may_wait(self.fit):
            return False
        until_s = time.monotonic() + min(_GAP_S, deadline.for_backend_s() / 2)
        while time.monotonic() < until_s:
            await asyncio.sleep(_GAP_POLL_S)
            if route.begins_again(self.fit):
                return True
        return False

    def video(
        self, start: bytes, requests: AsyncIterator[bytes], deadline: Deadline | None
    ) -> VideoRelay:
        """Prepare a session, which takes its place when it begins. As ``Model.video``."""
        timeout_s = deadline.for_backend_s() if deadline else None
        if timeout_s is not None and timeout_s <= 0:
            raise too_late(self.model_id)
        if not self.fit:
            raise self.no_replica()
        return VideoRelay(
            self.model_id,
            self._for_session,
            start=start,
            requests=requests,
            timeout_s=timeout_s,
        )

    def _for_session(self, tried: Collection[Replica]) -> Replica | None:
        """Choose for one more session; ``None`` if none is left that may have room."""
        left = [each for each in self.fit if each not in tried]
        usable = [each for each in left if each.is_up and not each.is_full]
        # No secret depends on it: gateways should not all begin with the same.
        random.shuffle(usable)
        among = usable if tried or usable else left
        return min(among, key=lambda each: (each.sessions, each.calls), default=None)


async def _send(replica: Replica, method: str, request: bytes, timeout_s: float) -> bytes:
    """Send a caller's request; work takes a place and is paid for."""
    if method != "Segment":
        with replica.control_places.taken(len(request)), replica.control_places.holding(request):
            return await replica.send(replica.control, method, request, timeout_s)
    with replica.places.taken(len(request)), replica.places.holding(request):
        reply = await replica.send(replica.work, method, request, timeout_s)
    if account_name():
        await charge_reply(pb.SegmentResponse, reply)
    return reply

"""The replicas of a model as they come and go: their connections and what is known of each."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count
from types import MappingProxyType

import grpc
from google.rpc import status_pb2

from diptych.segment import v1 as pb
from diptych_runtime.engine import ServiceError

from ..statuses import BackendError, no_replica
from .follower import Follower
from .replica import Replica
from .totals import Totals
from .variants import shown_card

_NO_NAMES: Mapping[str, str] = MappingProxyType({})


class ReplicaSet:
    """Any number of services of one model. Make it inside the event loop that uses it.

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
    ) -> None:
        self.model_id = model_id
        self.replicas: tuple[Replica, ...] = ()
        """Those that are asked, by address."""
        self.calls: Counter[tuple[str, str]] = Counter()
        """Unary calls that have ended, by a replica's name and that of their code; who is given
        the name of another that has gone goes on with its calls, so they are few and never fall."""
        self.totals = Totals()
        """What all that there have been have counted."""
        self.leaving: list[Replica] = []
        """Those that are listed no more and only end the calls that they have."""
        self._card: pb.ModelCard | None = None
        self._cards: list[pb.ModelCard] = []
        self._credentials = credentials
        self._in_flight_requests = in_flight_requests
        self._in_flight_bytes = in_flight_bytes
        self._proxy = proxy
        self._refresh_s: float | None = None
        self._followers: dict[Replica, asyncio.Task[None]] = {}
        self.set_addresses(addresses)

    def set_addresses(self, addresses: Sequence[str], names: Mapping[str, str] = _NO_NAMES) -> None:
        """Have just these asked, as ``host:port``; their order and repetitions do not matter.

        ``names`` has the name of an address that its certificate is made out to, where that is not
        the address itself. One that is not listed any more gets no new calls; what it has goes on
        until it ends.
        """
        self._choose_card()  # which stays when those that have it go
        wanted = {address: names.get(address, address) for address in addresses}
        stay = [r for r in self.replicas if wanted.get(r.address) == r.authority]
        come = sorted(wanted.keys() - {replica.address for replica in stay})
        for replica in set(self.replicas) - set(stay):
            self._retire(replica)
        taken = {replica.name for replica in (*stay, *self.leaving)}
        free = (name for number in count(1) if (name := str(number)) not in taken)
        new = [self._replica(next(free), address, wanted[address]) for address in come]
        self.replicas = tuple(sorted((*stay, *new), key=lambda replica: replica.address))
        for replica in new:
            self._follow(replica)

    def _replica(self, name: str, address: str, authority: str) -> Replica:
        return Replica(
            self.model_id,
            address,
            name=name,
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
        self.leaving = [*(each for each in self.leaving if each.in_flight), replica]

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
        closing, self.replicas = (*self.replicas, *self.leaving), ()
        for follower in self._followers.values():
            follower.cancel()
        await asyncio.gather(*self._followers.values(), return_exceptions=True)
        await asyncio.gather(*(replica.close() for replica in closing))

    @property
    def in_flight(self) -> int:
        """Requests for work and sessions that all of them have at this moment."""
        return sum(replica.in_flight for replica in (*self.replicas, *self.leaving))

    @property
    def card(self) -> pb.ModelCard | None:
        """The card that most of those have that are up, else the last one; see ``shown_card``."""
        return self._choose_card()

    def _choose_card(self) -> pb.ModelCard | None:
        up = [each.card for each in self.replicas if each.card and not each.status.code]
        if [*map(id, up)] != [*map(id, self._cards)]:
            self._card, self._cards = shown_card(up, self._card), up
        return self._card or next((each.card for each in self.replicas if each.card), None)

    @property
    def status(self) -> status_pb2.Status:
        """OK if one of them is up, else why the first is not."""
        if not self.replicas:
            return no_replica(self.model_id).to_status()
        fit = [replica for replica in self.replicas if replica.is_fit]
        statuses = [replica.status for replica in fit or self.replicas]
        return next((status for status in statuses if status.code == 0), statuses[0])

    def no_replica(self) -> BackendError | ServiceError:
        """The error of a model without one that is fit."""
        return BackendError(self.status) if self.replicas else no_replica(self.model_id)

"""The models that the gateway knows, with their cards and how they stand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import grpc

from diptych.segment import v1 as pb
from diptych.wire.cards import known_model_message, replica_message
from diptych_runtime.engine import Reason, ServiceError, invalid

from ..security.gate import may_know_addresses
from .discovery import Discovery
from .model import Model
from .replicas import Replicas
from .variants import difference
from .video_relay import OpenSessions

_MAX_NAMED = 20
_NO_DISCOVERIES: Mapping[str, Discovery] = MappingProxyType({})


class Registry:
    """Models by id: the services in the order of the settings, then the cascades of two of them.

    Cards are read in the background, when a service becomes reachable and when its card is
    ``refresh_s`` old; never on behalf of a request. Nor is it then that services are asked whether
    they answer: see ``Follower``. ``discoveries`` say where replicas are, by the id of the model.
    """

    def __init__(
        self,
        services: Sequence[Replicas],
        cascades: Sequence[Model] = (),
        *,
        refresh_s: float = 60.0,
        discoveries: Mapping[str, Discovery] = _NO_DISCOVERIES,
    ) -> None:
        self.services = tuple(services)
        """The models that are services, each with its replicas."""
        self._models: dict[str, Model] = {m.model_id: m for m in (*services, *cascades)}
        self._refresh_s = refresh_s
        self.discoveries = discoveries
        """Where replicas are looked up, by the id of the model."""
        self._looking: list[asyncio.Task[None]] = []
        self.sessions = OpenSessions()
        """Video sessions with any of them."""

    def start(self) -> None:
        """Begin to follow every service; returns at once, whether any is there or not."""
        for service in self.services:
            service.start(self._refresh_s)
            if discovery := self.discoveries.get(service.model_id):
                looking = discovery.run(service.set_addresses)
                name = f"replicas of {service.model_id}"
                self._looking.append(asyncio.create_task(looking, name=name))

    def renew(self, credentials: grpc.ChannelCredentials) -> None:
        """Go over to connections with other credentials."""
        for service in self.services:
            service.renew(credentials)

    async def close(self) -> None:
        """Stop following and close every connection."""
        for looking in self._looking:
            looking.cancel()
        await asyncio.gather(*self._looking, return_exceptions=True)
        for service in self.services:
            await service.close()

    def model(self, model_id: str) -> Model:
        """Find a model by its id.

        Raises:
            ServiceError: ``model_id`` is empty or unknown.
        """
        if not model_id:
            raise invalid(
                Reason.OPTION_INVALID, "model_id", f"expected one of {self._names()}, got nothing"
            )
        found = self._models.get(model_id)
        if found is None:
            raise ServiceError(
                Reason.MODEL_UNKNOWN,
                f"no model {model_id[:100]!r} here; known: {self._names()}",
                metadata={"modelId": model_id[:100], "known": self._names()},
            )
        return found

    def models(self) -> list[Model]:
        """List everything that answers, in the order of the settings."""
        return list(self._models.values())

    def lists_task(self, model_id: str, task: pb.Task.ValueType) -> bool | None:
        """Look a task up in a known model's card; ``None`` if its card was never seen."""
        card = self._models[model_id].card
        return None if card is None else task in card.tasks

    def for_task(self, task: pb.Task.ValueType) -> tuple[str, ...]:
        """List the models whose card has a task, and those whose card was never seen."""
        return tuple(m for m in self._models if self.lists_task(m, task) is not False)

    def known_models(self) -> list[pb.KnownModel]:
        """List every model with its last card, its status, and its replicas: where they are only
        for who may know it."""
        services = {service.model_id: service for service in self.services}
        return [
            known_model_message(
                model_id,
                model.card,
                model.status,
                list(_listed(services[model_id])) if model_id in services else (),
                list(self._warnings(services[model_id])) if model_id in services else (),
            )
            for model_id, model in self._models.items()
        ]

    def _warnings(self, service: Replicas) -> Iterator[str]:
        """Say what whoever runs a model should look at, whether it answers or not."""
        discovery = self.discoveries.get(service.model_id)
        if discovery and discovery.problem:
            since = f"{discovery.since:%Y-%m-%d %H:%M:%S} UTC"
            yield (
                f"its replicas are not looked up as they should be since {since}: "
                f"{discovery.problem}; those found before stay in use"
            )
        up = [replica for replica in service.replicas if not replica.status.code]
        other = [each.name for each in up if difference(each.card, service.card)]
        if other:
            yield (
                f"replicas differ: {', '.join(other[:_MAX_NAMED])} of {len(up)} that answer "
                "have another card than the one that is shown"
            )

    def _names(self) -> str:
        names = list(self._models)
        more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
        return ", ".join(names[:_MAX_NAMED]) + more


def _listed(service: Replicas) -> Iterator[pb.Replica]:
    """List the replicas of a model by their names."""
    shown, told = service.card, may_know_addresses()
    replicas = [*service.replicas, *(each for each in service.leaving if each.in_flight)]
    for replica in sorted(replicas, key=lambda each: int(each.name)):
        yield replica_message(
            replica.name,
            replica.address if told else "",
            replica.status,
            replica.since,
            in_flight=replica.in_flight,
            sessions=replica.sessions,
            card=replica.card,
            difference=difference(replica.card, shown),
            leaving=replica in service.leaving,
        )

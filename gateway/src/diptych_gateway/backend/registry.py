"""The models that the gateway knows, with their cards and how they stand."""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from diptych.segment import v1 as pb
from diptych.wire.cards import known_model_message
from diptych_runtime.engine import Reason, ServiceError, invalid

from .model import Model
from .replicas import Replicas
from .video_relay import OpenSessions

_MAX_NAMED = 20


class Registry:
    """Models by id: the services in the order of the settings, then the cascades of two of them.

    Cards are read in the background, when a service becomes reachable and when its card is
    ``refresh_s`` old; never on behalf of a request. Nor is it then that services are asked whether
    they answer: see ``Follower``.
    """

    def __init__(
        self,
        services: Sequence[Replicas],
        cascades: Sequence[Model] = (),
        *,
        refresh_s: float = 60.0,
    ) -> None:
        self.services = tuple(services)
        """The models that are services, each with its replicas."""
        self._models: dict[str, Model] = {m.model_id: m for m in (*services, *cascades)}
        self._refresh_s = refresh_s
        self.sessions = OpenSessions()
        """Video sessions with any of them."""

    def start(self) -> None:
        """Begin to follow every service; returns at once, whether any is there or not."""
        for service in self.services:
            service.start(self._refresh_s)

    def renew(self, credentials: grpc.ChannelCredentials) -> None:
        """Go over to connections with other credentials."""
        for service in self.services:
            service.renew(credentials)

    async def close(self) -> None:
        """Stop following and close every connection."""
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
        """List every model with its last card and its status."""
        return [
            known_model_message(model_id, model.card, model.status)
            for model_id, model in self._models.items()
        ]

    def _names(self) -> str:
        names = list(self._models)
        more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
        return ", ".join(names[:_MAX_NAMED]) + more

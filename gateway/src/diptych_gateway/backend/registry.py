"""The models that the gateway knows, and the cards of their services, kept fresh."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence

import grpc
import structlog
from google.protobuf.message import DecodeError

from diptych.segment import v1 as pb
from diptych.wire.cards import card_request, known_model_message
from diptych.wire.statuses import ok_status
from diptych_runtime.engine import Reason, ServiceError, invalid

from ..statuses import BackendError, failed, to_status, unreachable
from .endpoint import ModelEndpoint
from .model import Model
from .video_relay import OpenSessions

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

_CARD_TIMEOUT_S = 5.0
_RETRY_S = 2.0
# Services end connections that are a minute old; the next one stands within milliseconds.
_RECONNECT_S = 1.0
_CHANGING = (grpc.ChannelConnectivity.IDLE, grpc.ChannelConnectivity.CONNECTING)
_MAX_NAMED = 20


class Registry:
    """Models by id: the services in the order of the settings, then the cascades of two of them.

    Cards are read in the background, when a service becomes reachable and when its card is
    ``refresh_s`` old; never on behalf of a request.
    """

    def __init__(
        self,
        endpoints: Sequence[ModelEndpoint],
        cascades: Sequence[Model] = (),
        *,
        refresh_s: float = 60.0,
    ) -> None:
        self._endpoints = tuple(endpoints)
        self._models: dict[str, Model] = {m.model_id: m for m in (*endpoints, *cascades)}
        self._refresh_s = refresh_s
        self._followers: list[asyncio.Task[None]] = []
        self.sessions = OpenSessions()
        """Video sessions with any of them."""

    def start(self) -> None:
        """Begin to follow every service; returns at once, whether any is there or not."""
        self._followers = [
            asyncio.create_task(self._follow(endpoint), name=f"card of {endpoint.model_id}")
            for endpoint in self._endpoints
        ]

    def renew(self, credentials: grpc.ChannelCredentials) -> None:
        """Go over to connections with other credentials."""
        for endpoint in self._endpoints:
            endpoint.renew(credentials)

    async def close(self) -> None:
        """Stop following and close every connection."""
        for follower in self._followers:
            follower.cancel()
        await asyncio.gather(*self._followers, return_exceptions=True)
        for endpoint in self._endpoints:
            await endpoint.close()

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

    async def _follow(self, endpoint: ModelEndpoint) -> None:
        """Keep the card and the status of a service as they are, until cancelled."""
        change: asyncio.Task[None] | None = None
        lost_at_s: float | None = None
        try:
            while True:
                state = endpoint.state()
                if change is None or change.done():
                    # One watch at a time: grpcio keeps an abandoned one until the state changes.
                    change = asyncio.create_task(endpoint.state_other_than(state))
                if state is grpc.ChannelConnectivity.READY:
                    lost_at_s = None
                    wait_s = self._refresh_s if await _read_card(endpoint) else _RETRY_S
                else:
                    now_s = time.monotonic()
                    lost_at_s = now_s if lost_at_s is None else lost_at_s
                    reconnects = state in _CHANGING and now_s < lost_at_s + _RECONNECT_S
                    wait_s = _RECONNECT_S if reconnects else self._refresh_s
                    if not reconnects and endpoint.status.code == grpc.StatusCode.OK.value[0]:
                        endpoint.status = unreachable(endpoint.model_id).to_status()
                        _log.warning("model lost", model=endpoint.model_id)
                await asyncio.wait({change}, timeout=wait_s * random.uniform(0.8, 1.2))
        finally:
            if change:
                change.cancel()


async def _read_card(endpoint: ModelEndpoint) -> bool:
    """Read the card of a service that is reachable; returns whether that worked."""
    model_id = endpoint.model_id
    request = card_request(model_id).SerializeToString()
    try:
        raw = await endpoint.call("GetModelCard", request, timeout_s=_CARD_TIMEOUT_S)
        card = pb.GetModelCardResponse.FromString(raw).model_card
    except (BackendError, ServiceError) as error:
        endpoint.status = to_status(error, "")
        _log.warning("card not read", model=model_id, cause=str(error))
        return False
    except DecodeError:
        endpoint.status = failed(model_id).to_status()
        _log.error("card is no card", model=model_id)
        return False
    if endpoint.status.code != grpc.StatusCode.OK.value[0]:
        _log.info("model found", model=model_id)
    if card.id != model_id and (endpoint.card is None or endpoint.card.id != card.id):
        _log.warning("card has another id", model=model_id, card_id=card.id)
    endpoint.card = card
    endpoint.status = ok_status()
    return True

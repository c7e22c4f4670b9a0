"""The models that the gateway knows: their connections, last cards and how they stand."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence

import grpc
from google.protobuf.message import DecodeError
from google.rpc import status_pb2

from diptych.segment import v1 as pb
from diptych_runtime.engine import Reason, ServiceError, invalid
from diptych_runtime.logs import logger

from ..cascade.cascade import Cascade
from ..statuses import BackendError, failed, task_unsupported, to_status, unreachable
from .backends import Backend
from .endpoint import Known
from .model import Model

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
        services: Sequence[Known],
        cascades: Sequence[Cascade] = (),
        *,
        refresh_s: float = 60.0,
    ) -> None:
        self._services = tuple(services)
        self._models: dict[str, Known | Cascade] = {}
        self._models |= {known.model_id: known for known in services}
        self._models |= {cascade.model_id: cascade for cascade in cascades}
        self._refresh_s = refresh_s
        self._followers: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to follow every service; returns at once, whether any is there or not."""
        self._followers = [
            asyncio.create_task(self._follow(known), name=f"card of {known.model_id}")
            for known in self._services
        ]

    def renew(self, credentials: grpc.ChannelCredentials) -> None:
        """Go over to connections with other credentials."""
        for known in self._services:
            known.backend.renew(credentials)

    async def close(self) -> None:
        """Stop following and close every connection."""
        for follower in self._followers:
            follower.cancel()
        await asyncio.gather(*self._followers, return_exceptions=True)
        for known in self._services:
            await known.backend.close()

    def model(self, model_id: str) -> Model:
        """What answers for a model.

        Raises:
            ServiceError: ``model_id`` is empty or unknown.
        """
        return _answering(self._find(model_id))

    def video_backend(self, model_id: str) -> Backend:
        """The connection of a model, for a session.

        Raises:
            ServiceError: ``model_id`` is empty, unknown, or that of a cascade.
        """
        found = self._find(model_id)
        if isinstance(found, Cascade):
            raise task_unsupported(model_id, pb.Task.TASK_VIDEO_SEGMENTATION)
        return found.backend

    def models(self) -> list[Model]:
        """Everything that answers, in the order of the settings."""
        return [_answering(found) for found in self._models.values()]

    def lists_task(self, model_id: str, task: pb.Task.ValueType) -> bool | None:
        """Whether a known model's card lists a task; ``None`` if its card was never seen."""
        card = self._models[model_id].card
        return None if card is None else task in card.tasks

    def for_task(self, task: pb.Task.ValueType) -> tuple[str, ...]:
        """Models whose card lists a task, and those whose card was never seen."""
        return tuple(m for m in self._models if self.lists_task(m, task) is not False)

    def known_models(self) -> list[pb.KnownModel]:
        """Every model with its last card and how it stands."""
        return [
            pb.KnownModel(model_id=model_id, model_card=known.card, status=known.status)
            for model_id, known in self._models.items()
        ]

    def _find(self, model_id: str) -> Known | Cascade:
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

    def _names(self) -> str:
        names = list(self._models)
        more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
        return ", ".join(names[:_MAX_NAMED]) + more

    async def _follow(self, known: Known) -> None:
        backend = known.backend
        change: asyncio.Task[None] | None = None
        left_s: float | None = None
        try:
            while True:
                state = backend.state()
                if change is None or change.done():
                    # One watch at a time: grpcio keeps an abandoned one until the state changes.
                    change = asyncio.create_task(backend.state_other_than(state))
                if state is grpc.ChannelConnectivity.READY:
                    left_s = None
                    wait_s = self._refresh_s if await self._read_card(known) else _RETRY_S
                else:
                    now_s = time.monotonic()
                    left_s = now_s if left_s is None else left_s
                    reconnects = state in _CHANGING and now_s < left_s + _RECONNECT_S
                    wait_s = _RECONNECT_S if reconnects else self._refresh_s
                    if not reconnects and known.status.code == grpc.StatusCode.OK.value[0]:
                        known.status = unreachable(backend.model_id).to_status()
                        logger().warning("model lost", model=backend.model_id)
                await asyncio.wait({change}, timeout=wait_s * random.uniform(0.8, 1.2))
        finally:
            if change:
                change.cancel()

    async def _read_card(self, known: Known) -> bool:
        """Read the card of a model that is reachable; whether that worked."""
        backend = known.backend
        request = pb.GetModelCardRequest(model_id=backend.model_id).SerializeToString()
        try:
            raw = await backend.call("GetModelCard", request, timeout_s=_CARD_TIMEOUT_S)
            card = pb.GetModelCardResponse.FromString(raw).model_card
        except (BackendError, ServiceError) as error:
            known.status = to_status(error, "")
            logger().warning("card not read", model=backend.model_id, cause=str(error))
            return False
        except DecodeError:
            known.status = failed(backend.model_id).to_status()
            logger().error("card is no card", model=backend.model_id)
            return False
        if known.status.code != grpc.StatusCode.OK.value[0]:
            logger().info("model found", model=backend.model_id)
        if card.id != backend.model_id and (known.card is None or known.card.id != card.id):
            logger().warning("card has another id", model=backend.model_id, card_id=card.id)
        known.card = card
        known.status = status_pb2.Status()
        return True


def _answering(found: Known | Cascade) -> Model:
    return found if isinstance(found, Cascade) else found.backend

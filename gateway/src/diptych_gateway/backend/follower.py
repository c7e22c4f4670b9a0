"""Keeps the card and the status of one replica as they are.

``/readyz``, ``diptych_model_up`` and the statuses of cards all say what stands here. A service is
up while its connections stand, its health says SERVING, and it answers when it is asked, every
second.
"""

from __future__ import annotations

import asyncio
import random
import time

import grpc
import structlog
from google.protobuf.message import DecodeError
from google.rpc import status_pb2
from grpc_health.v1 import health_pb2

from diptych.segment import v1 as pb
from diptych.wire.cards import card_request
from diptych.wire.statuses import code_of, ok_status
from diptych_runtime.engine import Reason, ServiceError

from ..contract import SEGMENT
from ..statuses import (
    BackendError,
    cause_of,
    failed,
    is_unhealthy,
    no_replica_of,
    to_status,
    unreachable,
)
from .replica import Replica
from .variants import unfit

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

_PULSE_S = 1.0
_ANSWER_S = 2.5
_ASK_AGAIN_S = 0.5
_LOOK_AGAIN_S = 0.05  # at connections, which asks nobody: they stand within milliseconds
_RETRY_S = 2.0
_SILENT_LOOKS = 2
"""So many unanswered questions in a row make a replica down: one may be lost with a connection."""
# Services end connections that are minutes old; the next one stands within milliseconds, or under
# load within seconds: its first word of health comes from the service's event loop.
_RECONNECT_S = 2.5
_CHANGING = (grpc.ChannelConnectivity.IDLE, grpc.ChannelConnectivity.CONNECTING)
_SILENCE = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)


class Follower:
    """Looks at one replica until cancelled; its card is read again when it is ``refresh_s`` old."""

    def __init__(self, replica: Replica, refresh_s: float) -> None:
        self._replica = replica
        self._named = {
            "model": replica.model_id,
            "replica": replica.name,
            "address": replica.address,
        }
        self._refresh_s = refresh_s
        self._card_due_s = 0.0
        self._lost_at_s: float | None = None
        self._silent = 0

    async def run(self) -> None:
        """Look again and again, and at once when the connection changes."""
        change: asyncio.Task[None] | None = None
        try:
            while True:
                if change is None or change.done():
                    # Whoever answers on a new connection may have another card.
                    self._card_due_s = 0.0
                    # One watch at a time: grpcio keeps an abandoned one until the state changes.
                    change = asyncio.create_task(self._replica.control_changed())
                pause_s = await self._look()
                await asyncio.wait({change}, timeout=pause_s * _about_one())
        finally:
            if change:
                change.cancel()

    @property
    def _up(self) -> bool:
        return code_of(self._replica.status) is grpc.StatusCode.OK

    async def _look(self) -> float:
        """Look once; returns the seconds until it is worth to look again."""
        state = self._replica.state()
        now_s = time.monotonic()
        if state is not grpc.ChannelConnectivity.READY:
            self._lost_at_s = now_s if self._lost_at_s is None else self._lost_at_s
            reconnects = state in _CHANGING and now_s < self._lost_at_s + _RECONNECT_S
            if not reconnects:
                await self._explain(state)
            return _LOOK_AGAIN_S if reconnects else _PULSE_S
        self._lost_at_s = None
        wants_card = not self._up or now_s >= self._card_due_s
        status = await (self._read_card() if wants_card else self._pulse())
        if status is None:
            self._silent = 0
            return min(_PULSE_S, self._refresh_s)
        self._silent += 1
        if self._up and code_of(status) in _SILENCE and self._silent < _SILENT_LOOKS:
            return _ASK_AGAIN_S
        self._set_down(status)
        return _RETRY_S

    async def _explain(self, state: grpc.ChannelConnectivity) -> None:
        """Set it down, with what gRPC says of a connection that has failed."""
        why = ""
        if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            try:
                await self._replica.ask("Check", b"", timeout_s=_ANSWER_S)
            except (BackendError, ServiceError) as error:
                own = await self._own_words() if is_unhealthy(error) else ""
                self._replica.own_words = own
                why = cause_of(error) or own
        if why or self._up or not self._replica.is_fit:
            self._set_down(unreachable(self._replica.model_id, why).to_status())

    async def _own_words(self) -> str:
        """Return what a service that does not serve says is wrong; empty if it is on its way."""
        replica = self._replica
        request = card_request(replica.model_id).SerializeToString()
        try:
            await replica.ask_anyway("GetModelCard", request, timeout_s=_ANSWER_S)
        except BackendError as error:
            lost = error.reason == Reason.ENGINE_LOST
            return error.status.message if lost else ""
        except ServiceError:
            return ""
        return ""

    def _set_down(self, status: status_pb2.Status) -> None:
        before = self._replica.status
        if not before.code:
            _log.warning("model lost", **self._named, cause=status.message)
        elif status.message != before.message:
            _log.warning("model is not there", **self._named, cause=status.message)
        self._replica.status = status

    async def _pulse(self) -> status_pb2.Status | None:
        """Ask whether it serves; returns ``None`` if it does, else its status."""
        try:
            raw = await self._replica.ask("Check", b"", timeout_s=_ANSWER_S)
            health = health_pb2.HealthCheckResponse.FromString(raw)
        except (BackendError, ServiceError) as error:
            status = to_status(error, "")
            # As gRPC's own health check has it, which the connection makes too.
            return None if code_of(status) is grpc.StatusCode.UNIMPLEMENTED else status
        except DecodeError:
            return failed(self._replica.model_id).to_status()
        if health.status == health_pb2.HealthCheckResponse.SERVING:
            return None
        return unreachable(self._replica.model_id).to_status()

    async def _read_card(self) -> status_pb2.Status | None:
        """Read its card; returns ``None`` if that worked, else its status."""
        replica, model_id = self._replica, self._replica.model_id
        request = card_request(model_id).SerializeToString()
        try:
            raw = await replica.ask("GetModelCard", request, timeout_s=_ANSWER_S)
            card = pb.GetModelCardResponse.FromString(raw).model_card
        except (BackendError, ServiceError) as error:
            if status := self._no_replica(error):
                return status
            _log.warning("card not read", **self._named, cause=str(error))
            return to_status(error, "")
        except DecodeError:
            _log.error("card is no card", **self._named)
            return failed(model_id).to_status()
        if why := unfit(card, model_id):
            return no_replica_of(model_id, why)
        if not self._up:
            _log.info("model found", **self._named)
        replica.card = card
        replica.status = ok_status()
        self._card_due_s = time.monotonic() + self._refresh_s * _about_one()
        return None

    def _no_replica(self, error: BackendError | ServiceError) -> status_pb2.Status | None:
        """Say that what answers is no service of the model, if that is what its error means."""
        why = ""
        if error.code is grpc.StatusCode.UNIMPLEMENTED:
            why = cause_of(error) or f"does not offer {SEGMENT.full_name}"
        elif error.reason == Reason.MODEL_UNKNOWN:
            why = f"does not know it: {error}"
        return no_replica_of(self._replica.model_id, why) if why else None


def _about_one() -> float:
    """Spread the gateways' questions over time."""
    return random.uniform(0.8, 1.2)  # no secret depends on it

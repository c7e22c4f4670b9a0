"""The token check in front of every gRPC method; what is not listed here needs a full token."""

from __future__ import annotations

from collections.abc import Mapping

import grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection

from diptych_runtime.errors import Reason, ServiceError
from diptych_runtime.watched import WatchedFiles

from .connection import SEGMENT_SERVICE
from .handlers import GATEWAY_SERVICE
from .tokens import Scope, Tokens

_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]
WITHOUT_TOKEN = frozenset(f"/{_HEALTH.full_name}/{method.name}" for method in _HEALTH.methods)
"""Health says nothing of pictures, and those who ask, such as load balancers, have no token."""

SCOPES: Mapping[str, Scope] = {
    f"/{SEGMENT_SERVICE}/Segment": Scope.SEGMENT,
    f"/{SEGMENT_SERVICE}/SegmentVideo": Scope.VIDEO,
    f"/{SEGMENT_SERVICE}/GetModelCard": Scope.READ,
    f"/{SEGMENT_SERVICE}/GetModelStats": Scope.READ,
    f"/{GATEWAY_SERVICE}/Compare": Scope.SEGMENT,
    f"/{GATEWAY_SERVICE}/StreamCompare": Scope.SEGMENT,
    f"/{GATEWAY_SERVICE}/ListModelCards": Scope.READ,
    f"/{reflection.SERVICE_NAME}/ServerReflectionInfo": Scope.READ,
}


class TokenGate:
    """Lets a call in if the token of its ``authorization`` metadata may make it.

    A stream is checked when it begins: a token that expires meanwhile does not end it.
    """

    def __init__(self, tokens: WatchedFiles[Tokens]) -> None:
        self._tokens = tokens

    def __call__(self, call: grpc.HandlerCallDetails, log: dict[str, object]) -> None:
        """As a ``Gate`` of the runtime; the log gets the token's name.

        Raises:
            ServiceError: TOKEN_MISSING, TOKEN_INVALID or TOKEN_SCOPE.
        """
        if call.method in WITHOUT_TOKEN:
            return
        token = self._tokens.value.identify(_authorization(call))
        log["token"] = token.name
        token.check_scope(SCOPES.get(call.method))


def _authorization(call: grpc.HandlerCallDetails) -> str | None:
    values = [value for key, value in call.invocation_metadata if key == "authorization"]
    if len(values) > 1:
        raise ServiceError(Reason.TOKEN_INVALID, f"authorization: expected one, got {len(values)}")
    return str(values[0]) if values else None

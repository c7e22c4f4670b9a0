"""The token check in front of every call; a gRPC method not listed here needs a full token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection

from diptych_runtime.engine import Reason, ServiceError
from diptych_runtime.watched import WatchedFiles

from ..backend.connection import SEGMENT_SERVICE
from ..handlers import GATEWAY_SERVICE
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
        if call.method not in WITHOUT_TOKEN:
            given = [str(v) for key, v in call.invocation_metadata if key == "authorization"]
            self.check(given, SCOPES.get(call.method), log)

    def check(
        self, authorization: Sequence[str], scope: Scope | None, log: dict[str, object]
    ) -> None:
        """Pass if the headers hold one token, and it may do this; as ``Token.check_scope``.

        Raises:
            ServiceError: TOKEN_MISSING, TOKEN_INVALID or TOKEN_SCOPE.
        """
        if len(authorization) > 1:
            text = f"authorization: expected one, got {len(authorization)}"
            raise ServiceError(Reason.TOKEN_INVALID, text)
        token = self._tokens.value.identify(authorization[0] if authorization else None)
        log["token"] = token.name
        token.check_scope(scope)

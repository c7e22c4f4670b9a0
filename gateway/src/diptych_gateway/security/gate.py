"""The token check in front of every call; a gRPC method without a scope needs a full token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection

from diptych_runtime.calls import current_call
from diptych_runtime.engine import Reason, ServiceError
from diptych_runtime.watched import WatchedFiles

from ..contract import METHODS, path
from .tokens import ALL_SCOPES, Scope, Tokens
from .usage import Accounts, Visit

_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]
WITHOUT_TOKEN = frozenset(path(method) for method in _HEALTH.methods)
"""Health says nothing of images, and those who ask, such as load balancers, have no token."""

_SCOPES = {
    "Segment": Scope.SEGMENT,
    "SegmentVideo": Scope.VIDEO,
    "GetModelCard": Scope.READ,
    "GetModelStats": Scope.READ,
    "Compare": Scope.SEGMENT,
    "StreamCompare": Scope.SEGMENT,
    "ListModelCards": Scope.READ,
}
SCOPES: Mapping[str, Scope] = {
    name: _SCOPES[method.name] for name, method in METHODS.items() if method.name in _SCOPES
} | {f"/{reflection.SERVICE_NAME}/ServerReflectionInfo": Scope.READ}
"""What a token has to be for, by the path of a method."""


class TokenGate:
    """Lets a call in if the token of its ``authorization`` metadata may make it.

    A stream is checked when it begins: a token that expires meanwhile does not end it.
    """

    def __init__(self, tokens: WatchedFiles[Tokens]) -> None:
        self._tokens = tokens
        self.accounts = Accounts()

    def __call__(self, call: grpc.HandlerCallDetails, log: dict[str, object]) -> Visit | None:
        """Check a call, as a ``Gate`` of the runtime; the log gets the token's name.

        Raises:
            ServiceError: TOKEN_MISSING, TOKEN_INVALID, TOKEN_SCOPE or RATE_LIMIT.
        """
        if call.method in WITHOUT_TOKEN:
            return None
        given = [str(v) for key, v in call.invocation_metadata if key == "authorization"]
        return self.check(given, SCOPES.get(call.method), log)

    def check(
        self, authorization: Sequence[str], scope: Scope | None, log: dict[str, object]
    ) -> Visit:
        """Pass if the headers hold one token, it may do this and has not used up its limits.

        ``scope`` is as for ``Token.check_scope``. Returns who pays for the call.

        Raises:
            ServiceError: TOKEN_MISSING, TOKEN_INVALID, TOKEN_SCOPE or RATE_LIMIT.
        """
        if len(authorization) > 1:
            text = f"authorization: expected one, got {len(authorization)}"
            raise ServiceError(Reason.TOKEN_INVALID, text)
        token = self._tokens.value.identify(authorization[0] if authorization else None)
        log["token"] = token.name
        token.check_scope(scope)
        payer = self.accounts.of(token.name, token.limits)
        visit = Visit(payer, scope is Scope.VIDEO, is_full=token.scopes == ALL_SCOPES)
        payer.admit(session=visit.session)
        return visit


def may_know_addresses() -> bool:
    """Whether the caller being served may know where replicas are: whose token is for everything,
    and everyone where no tokens are asked for, as with all that has no scope."""
    call = current_call()
    caller = call.account if call else None
    return caller is None or (isinstance(caller, Visit) and caller.is_full)

"""Failed calls as exceptions: what the server says of itself, and what gRPC says without one.

The texts of gRPC are its core's, of 1.71 to 1.85; one that is not known is passed on.
"""

from __future__ import annotations

import re
from typing import cast

import grpc

from .._types.errors import (
    AuthenticationError,
    DeadlineExceededError,
    DiptychError,
    MessageTooLargeError,
    OverloadedError,
    ServerError,
    UnavailableError,
)
from ..proxies import proxy_for
from ..wire.statuses import RpcFailure, error_class, error_from_status, status_of_call
from .channel import DEFAULT_ADDRESS, host_of
from .token import is_local

_HTTP_STATUS = re.compile(r"Received http2 header with status: (\d{3})")
_HTTP_1 = re.compile(r"http1\.x server(?: \(HTTP status (\d{3})\))?")
_BY_PROXY: dict[int, tuple[type[DiptychError], str]] = {
    401: (AuthenticationError, "it wants other credentials than the gateway"),
    403: (AuthenticationError, "it does not let this caller through"),
    408: (DeadlineExceededError, "the request came too slowly for it"),
    413: (
        MessageTooLargeError,
        "the request, or all of a stream, is larger than it lets through "
        "(nginx: client_max_body_size)",
    ),
    429: (OverloadedError, "there were too many requests for it"),
    431: (MessageTooLargeError, "the metadata is larger than it lets through"),
    500: (ServerError, "it failed"),
    502: (UnavailableError, "the gateway behind it does not answer, or not as it expects"),
    503: (UnavailableError, "it has no gateway to ask at the moment"),
    504: (
        DeadlineExceededError,
        "the gateway did not answer in the time that it gives "
        "(nginx: grpc_read_timeout, HAProxy: timeout server)",
    ),
}
_NO_GRPC = (UnavailableError, "it leads gRPC to no gateway; is this the port of HTTP?")


def error_from_rpc(
    failure: grpc.RpcError, *, address: str, timeout: float | None, server_name: str | None = None
) -> DiptychError:
    """The exception for a failed call to ``address`` that was given ``timeout`` seconds.

    ``server_name`` is what the server's certificate has to be for, if not the address.
    """
    status = status_of_call(failure)
    if status is not None:
        return error_from_status(status)
    call = cast(RpcFailure, failure)
    code, details = call.code(), call.details() or ""
    if answered := _HTTP_STATUS.search(details):
        number = int(answered[1])
        kind, why = _BY_PROXY.get(number, _NO_GRPC)
        text = f"{address}: a proxy or web server answered {number} in the gateway's place: {why}"
        return kind(text, code=code)
    if "RST_STREAM" in details:
        # No server of ours does that to a call that it does not refuse with a status.
        text = "the call was broken off on the way; did a proxy reach a limit of time or size?"
        return UnavailableError(f"{address}: {text} ({details})", code=code)
    if "Hostname Verification" in details:
        name = server_name or host_of(address)
        text = f"{address}: TLS failed: the server's certificate is for another name than {name}"
        return UnavailableError(text, code=code)
    kind = error_class(code, "")
    return kind(_plain_message(code, details, address, timeout), code=code)


def _plain_message(code: grpc.StatusCode, details: str, address: str, timeout: float | None) -> str:
    if code is grpc.StatusCode.UNAVAILABLE:
        return f"{address}: {_why_unavailable(details)}{_by_proxy(address)}"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        within = "in time" if timeout is None else f"within {timeout:g} s"
        return f"{address}: no answer {within}{_by_proxy(address)}"
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return (
            f"{address}: the server does not offer this call ({details}); "
            "comparisons and lists of cards are the gateway's"
        )
    return f"{address}: {details or code.name}"


def _by_proxy(address: str) -> str:
    host = host_of(address)
    found = None if is_local(address) else proxy_for(host)
    if found is None:
        return ""
    return (
        f"; it was asked by the proxy {found.url} of {found.variable}, no_proxy={host} goes without"
    )


def _why_unavailable(details: str) -> str:
    # gRPC lists what it tried; the cause comes last: "...: connect: Connection refused (111)".
    cause = details.removesuffix(": OK").rpartition(": ")[2].rpartition(":")[2].strip("] ")
    if http := _HTTP_1.search(details):
        tls = ", or one that wants TLS" if http[1] == "400" else ""
        port = DEFAULT_ADDRESS.rpartition(":")[2]
        return (
            "what answers there is a server of HTTP/1, not of gRPC: is it the gateway's port of "
            f"HTTP{tls}? gRPC has a port of its own, {port} unless told otherwise"
        )
    if "HTTP proxy returned" in details:
        return f"the proxy does not connect to it ({cause})"
    if "WRONG_VERSION_NUMBER" in details:
        return "TLS failed: what listens there does not speak it"
    if "handshake failed" in details:
        return f"TLS failed: the server's certificate is not trusted ({cause})"
    if "failed to connect" in details and cause == "Socket closed":
        return "the server hung up at once; does it want TLS, or a certificate of the client?"
    if "SETTINGS frame" in details:
        return "what listens there says nothing; is it a server of gRPC?"
    if "errors resolving" in details:
        return f"the name cannot be resolved ({cause.lower()})"
    return f"no server answers there ({cause.lower() or 'unavailable'}); is it running?"

"""Why a service cannot be reached, in words for an operator, without where it is."""

from __future__ import annotations

import grpc

_CAUSES = (
    ("http1.x server", "HTTP/1 is spoken there, not gRPC; it may be the port of a page"),
    ("SETTINGS frame as the first", "something else than gRPC is spoken there"),
    ("WRONG_VERSION_NUMBER", "no TLS is spoken there, and DIPTYCH_SERVICES_CA asks for it"),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is not by the authority in DIPTYCH_SERVICES_CA"),
    ("Hostname Verification", "its certificate has another name"),
    ("Connection refused", "nothing listens there"),
    ("Socket closed", "it ends each connection, as with TLS on one side only"),
    ("Handshake read failed", "it ends each connection, as with TLS on one side only"),
    ("before receiving SETTINGS", "what listens there says nothing"),
    ("errors resolving", "its name is not known"),
    ("http2 header with status", "an HTTP server answers there, and no model service"),
)
"""Parts of what gRPC says (1.85.1), and what they mean."""


def cause_of(error: Exception) -> str:
    """Say why a call to a service failed, by the error of gRPC that it was made of; empty if that
    says nothing that is known."""
    origin = error.__cause__
    said = (origin.details() or "") if isinstance(origin, grpc.aio.AioRpcError) else ""
    return next((cause for part, cause in _CAUSES if part in said), "")

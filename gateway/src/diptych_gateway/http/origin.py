"""Which web pages may make the gateway work: its own, and those that the settings name.

Without tokens, whoever reaches the port may use it. A page from elsewhere reaches it, too, through
the browser of somebody who may: with a form that is sent here, with a WebSocket, or under a name of
its own that it lets point to this machine.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from .problems import RefusedError

REASON = "ORIGIN_FOREIGN"
_ELSEWHERE = ("cross-site", "same-site")
# Nobody can let these point to another's machine: they are in no public directory of names.
_PRIVATE = (".localhost", ".local", ".internal")


def check_origin(scope: Scope, allowed: Collection[str] = ()) -> None:
    """Pass if no page from elsewhere is behind a request or the opening of a WebSocket.

    Raises:
        RefusedError: 403, with the reason ``ORIGIN_FOREIGN``.
    """
    if foreign(scope, allowed):
        got = Headers(scope=scope).get("origin", "none from a page elsewhere")
        text = (
            f"expected an Origin that is the gateway's own address, got {got[:200]}; "
            "DIPTYCH_HTTP_ORIGINS names others"
        )
        raise RefusedError(403, text, reason=REASON)


def foreign(scope: Scope, allowed: Collection[str] = ()) -> bool:
    """Say whether a page from elsewhere is behind it; only browsers send an origin.

    ``allowed`` are further origins such as ``https://diptych.example``: those of proxies.
    """
    headers = Headers(scope=scope)
    origins = headers.getlist("origin")
    if not origins:
        return headers.get("sec-fetch-site") in _ELSEWHERE
    if len(origins) > 1:
        return True
    origin = origins[0].lower()
    return origin not in allowed and not _is_own(origin, headers.get("host", "").lower())


def _is_own(origin: str, host: str) -> bool:
    """Say whether it is the address that was asked for, and that name can only be ours."""
    try:
        parts = urlsplit(origin)
        return parts.netloc == host and _is_private(parts.hostname or "")
    except ValueError:
        return False


def _is_private(name: str) -> bool:
    """Say whether no foreign page can have this name, as it can any in the public DNS."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return bool(name) and ("." not in name or name.endswith(_PRIVATE))
    return True

"""The proxy of the environment by which gRPC reaches what is elsewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

# In the order in which gRPC looks for one; it does not know all_proxy and capital letters.
VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
EXEMPTIONS = ("no_grpc_proxy", "no_proxy")


@dataclass(frozen=True)
class Proxy:
    """A proxy, and the variable that names it."""

    variable: str
    url: str
    """Without user and password."""


def proxy_for(host: str) -> Proxy | None:
    """The proxy by which gRPC would dial a host; ``None`` if it goes there itself."""
    variable = next((name for name in VARIABLES if os.environ.get(name)), "")
    without = next((os.environ[name] for name in EXEMPTIONS if os.environ.get(name)), "")
    if not variable or any(host.endswith(end.strip()) for end in without.split(",") if end.strip()):
        return None
    parts = urlsplit(os.environ[variable])
    return Proxy(variable, f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")

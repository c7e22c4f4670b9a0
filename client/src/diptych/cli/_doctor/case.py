"""What the report is about: the address, how to reach it, and as whom."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ... import Client
from ..._transport.channel import endpoints_of, host_of
from ..._transport.tls import TlsOptions
from ..._transport.token import TokenFile, is_local
from ...proxies import Proxy, proxy_for


@dataclass(frozen=True)
class Case:
    """As the options and the environment say; nothing was read or asked yet."""

    target: str
    """What gRPC dials; empty if the address cannot be used."""
    problem: str
    """Why it cannot be."""
    given: str
    """The address as it was said."""
    origin: str
    """Who said it."""
    tls: TlsOptions | None
    """``None`` for plain text."""
    tls_problem: str
    """Why the settings of TLS cannot be used."""
    token_file: Path | None
    timeout: float

    @property
    def endpoints(self) -> tuple[tuple[str, int], ...]:
        """Hosts and ports; none for a socket of this machine."""
        return endpoints_of(self.target) if self.target else ()

    @property
    def proxy(self) -> Proxy | None:
        """The proxy by which gRPC goes there."""
        if not self.target or is_local(self.target):
            return None
        return proxy_for(host_of(self.target))

    @property
    def server_name(self) -> str:
        """The name that the server's certificate has to be for."""
        named = self.tls.server_name if self.tls else None
        return named or host_of(self.target).strip("[]")

    def token(self) -> str:
        """What the token's file holds, for the report to leave out."""
        try:
            return TokenFile(self.token_file)() if self.token_file else ""
        except (OSError, ValueError):
            return ""

    def client(self, *, token: str | None = None) -> Client:
        """A client for all of this; ``token`` instead of the file's.

        Raises:
            OSError, ValueError: it cannot be made of these settings.
        """
        source = token or (TokenFile(self.token_file) if self.token_file else None)
        # False, or the environment would decide once more.
        tls = False if self.tls is None else self.tls
        return Client(self.target, timeout=self.timeout, tls=tls, token=source)

"""Encrypted connections: which files they use, and where a client learns of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TLS_VARIABLE = "DIPTYCH_TLS"
CA_VARIABLE = "DIPTYCH_CA_FILE"
CERT_VARIABLE = "DIPTYCH_CERT_FILE"
KEY_VARIABLE = "DIPTYCH_KEY_FILE"
_SWITCH = {"true": True, "1": True, "yes": True, "on": True}
_SWITCH |= {"false": False, "0": False, "no": False, "off": False}


@dataclass(frozen=True)
class TlsOptions:
    """An encrypted connection; its PEM files are read once, when the client is made."""

    ca: str | os.PathLike[str] | None = None
    """Authorities whose certificates are trusted; the public ones that gRPC brings if not given."""
    cert: str | os.PathLike[str] | None = None
    """Certificate to show to a server that asks for one, as model services do."""
    key: str | os.PathLike[str] | None = None
    """Its key, without a passphrase."""
    server_name: str | None = None
    """Name that the server's certificate is for, if the address has another."""

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            only = "key" if self.cert is None else "cert"
            raise ValueError(f"tls: expected cert and key together, got only {only}")

    def read(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """What ``ca``, ``cert`` and ``key`` hold.

        Raises:
            OSError: a file cannot be read.
            ValueError: a file holds something else; the message names it.
        """
        from ..pem import check_certificates, check_pair  # loads OpenSSL

        ca, cert, key = (
            None if path is None else Path(path).read_bytes()
            for path in (self.ca, self.cert, self.key)
        )
        for path, pem in ((self.ca, ca), (self.cert, cert)):
            if path is not None and pem is not None:
                try:
                    check_certificates(pem)
                except ValueError as error:
                    raise ValueError(f"{os.fspath(path)}: {error}") from error
        if self.cert is not None and self.key is not None:
            try:
                check_pair(self.cert, self.key)
            except ValueError as error:
                raise ValueError(f"{os.fspath(self.key)}: {error}") from error
        return ca, cert, key

    def to_grpc(self) -> tuple[tuple[str, str], ...]:
        """As channel arguments of gRPC."""
        if self.server_name is None:
            return ()
        return (("grpc.ssl_target_name_override", self.server_name),)


def resolve_tls(tls: bool | TlsOptions | None) -> TlsOptions | None:
    """The options that were given, else those of the environment; ``None`` for plain text.

    ``True`` takes the files from the environment. ``None`` also asks it whether to encrypt:
    ``DIPTYCH_TLS``, and if that is not set, whether any file is.

    Raises:
        ValueError: a variable cannot be used.
    """
    if isinstance(tls, TlsOptions):
        return tls
    ca, cert, key = (os.environ.get(n) or None for n in (CA_VARIABLE, CERT_VARIABLE, KEY_VARIABLE))
    if tls is None:
        tls = _switch(any((ca, cert, key)))
    return TlsOptions(ca=ca, cert=cert, key=key) if tls else None


def _switch(otherwise: bool) -> bool:
    text = os.environ.get(TLS_VARIABLE) or ""
    if text.lower() not in {"", *_SWITCH}:
        raise ValueError(f"{TLS_VARIABLE}: expected true or false, got {text!r}")
    return _SWITCH.get(text.lower(), otherwise)

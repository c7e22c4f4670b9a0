"""Certificates from files that settings name: what a server shows, and what a client shows to one.

New handshakes use what the files hold now; connections that stand are left alone.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import grpc

from diptych.pem import check_certificates, check_pair

from ..settings import SettingsError
from ..watched import Contents, WatchedFiles

T = TypeVar("T")
Named = tuple[str, Path | None]
"""A setting's name and the file that it names, if it is set."""
Make = Callable[[bytes | None, bytes | None, bytes | None], T]
"""Makes something of an authority's certificates, a certificate and its key."""


def watch_pem(ca: Named, certificate: Named, key: Named, make: Make[T]) -> WatchedFiles[T]:
    """Watch an authority's certificates, a certificate and its key, checked at each reading.

    Raises:
        SettingsError: a file cannot be used, or a certificate and its key are not both set.
    """
    paths = {name: path for name, path in (ca, certificate, key) if path is not None}
    if (certificate[1] is None) != (key[1] is None):
        there, missing = (key, certificate) if certificate[1] is None else (certificate, key)
        raise SettingsError(f"{there[0]} is set and {missing[0]} is not: set both")

    def parse(contents: Contents) -> T:
        for name in (ca[0], certificate[0]):
            if name in contents:
                _checked(f"{name}={paths[name]}", check_certificates, contents[name])
        if key[0] in paths:
            of = f"{key[0]}={paths[key[0]]}"
            _checked(of, check_pair, paths[certificate[0]], paths[key[0]])
        return make(*(contents.get(name) for name, _ in (ca, certificate, key)))

    return WatchedFiles(paths, parse)


def _checked(what: str, check: Callable[..., None], *arguments: object) -> None:
    try:
        check(*arguments)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{what}: {error}") from error


class ServerTls:
    """What a server shows to its clients and, with ``client_ca``, asks them to show.

    Raises:
        SettingsError: a file cannot be used, or the settings do not belong together.
    """

    def __init__(
        self, certificate: Path | None, key: Path | None, client_ca: Path | None = None
    ) -> None:
        self._asks_clients = client_ca is not None
        self._certificate, self._key = certificate, key
        self._contexts: list[ssl.SSLContext] = []
        if self._asks_clients and certificate is None and key is None:
            raise SettingsError("DIPTYCH_TLS_CLIENT_CA is set and DIPTYCH_TLS_CERT is not")
        self._files = watch_pem(
            ("DIPTYCH_TLS_CLIENT_CA", client_ca),
            ("DIPTYCH_TLS_CERT", certificate),
            ("DIPTYCH_TLS_KEY", key),
            _server_configuration,
        )

    @classmethod
    def if_set(
        cls, certificate: Path | None, key: Path | None, client_ca: Path | None = None
    ) -> ServerTls | None:
        """Make one; ``None`` if no file is set at all, which means a server without TLS."""
        return cls(certificate, key, client_ca) if certificate or key or client_ca else None

    @property
    def usable(self) -> bool:
        """Whether the files can be used as they are now; if not, what was read before stays."""
        return self._files.usable

    def credentials(self) -> grpc.ServerCredentials:
        """Make credentials for one port. gRPC asks for what is in force at each handshake."""
        given = self._files.value

        def changed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal given
            latest = self._files.value
            if latest is given:
                return None
            given = latest
            return latest

        return grpc.dynamic_ssl_server_credentials(
            given,
            changed,  # type: ignore[arg-type]  # None stands for no change
            require_client_authentication=self._asks_clients,
        )

    def ssl_context(self) -> ssl.SSLContext:
        """Make a context for one port of a server that is not gRPC's; it changes with the files."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._load(context)
        self._contexts.append(context)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        assert self._certificate is not None
        context.load_cert_chain(self._certificate, self._key)

    async def follow(self) -> None:
        """Follow changes of the files until cancelled."""
        await self._files.follow(self._renew)

    def _renew(self, _: object) -> None:
        for context in self._contexts:
            self._load(context)


def _server_configuration(
    ca: bytes | None, certificate: bytes | None, key: bytes | None
) -> grpc.ServerCertificateConfiguration:
    assert certificate is not None
    assert key is not None
    return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=ca)

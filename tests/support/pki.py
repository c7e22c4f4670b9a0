"""An authority of a test's own, what it signed as files, and those as settings."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import ssl
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc

from diptych import TlsOptions


def _script() -> ModuleType:
    path = Path(__file__).parents[2] / "certificates.py"
    spec = importlib.util.spec_from_file_location("certificates", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


certificates: Any = _script()


class Pki:
    """``ca``, ``server`` and ``client`` in a folder, as pairs of ``.crt`` and ``.key``."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.authority = certificates.Authority.create()
        self.authority.pair.save(folder, "ca")
        self.renew()

    def renew(self, **server: Any) -> None:
        """New certificates for server and client, of the same authority."""
        self.authority.for_server(**server).save(self.folder, "server")
        self.authority.for_client("tester").save(self.folder, "client")

    def path(self, name: str) -> Path:
        return self.folder / name

    def pem(self, name: str) -> bytes:
        return self.path(name).read_bytes()

    @property
    def serving(self) -> dict[str, Path]:
        """Settings of a server with TLS."""
        return {"tls_cert": self.path("server.crt"), "tls_key": self.path("server.key")}

    @property
    def serving_known_clients(self) -> dict[str, Path]:
        """Settings of a server that asks for certificates of this authority."""
        return {**self.serving, "tls_client_ca": self.path("ca.crt")}

    @property
    def calling_services(self) -> dict[str, Path]:
        """Settings of a gateway whose services ask for certificates of this authority."""
        return {
            "services_ca": self.path("ca.crt"),
            "services_cert": self.path("client.crt"),
            "services_key": self.path("client.key"),
        }

    @property
    def options(self) -> TlsOptions:
        """Of a client that trusts this authority."""
        return TlsOptions(ca=self.path("ca.crt"))

    @property
    def options_with_certificate(self) -> TlsOptions:
        """Of a client that trusts this authority and shows a certificate of it."""
        return TlsOptions(
            ca=self.path("ca.crt"), cert=self.path("client.crt"), key=self.path("client.key")
        )

    def credentials(self, *, with_certificate: bool = False) -> grpc.ChannelCredentials:
        """The same for a channel of gRPC's own."""
        if with_certificate:
            return grpc.ssl_channel_credentials(
                self.pem("ca.crt"), self.pem("client.key"), self.pem("client.crt")
            )
        return grpc.ssl_channel_credentials(self.pem("ca.crt"))

    def server_credentials(self) -> grpc.ServerCredentials:
        """Of a server that asks for certificates of this authority."""
        pair = (self.pem("server.key"), self.pem("server.crt"))
        return grpc.ssl_server_credentials([pair], self.pem("ca.crt"), require_client_auth=True)

    async def shown_at(self, port: int) -> bytes:
        """The certificate that a server on this machine shows now, as PEM."""
        return await asyncio.to_thread(self._shown_at, port)

    def _shown_at(self, port: int) -> bytes:
        context = ssl.create_default_context(cafile=str(self.path("ca.crt")))
        context.load_cert_chain(self.path("client.crt"), self.path("client.key"))
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            der = secure.getpeercert(binary_form=True)
        assert der
        return ssl.DER_cert_to_PEM_cert(der).encode()

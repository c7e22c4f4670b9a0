"""Throw-away certificates, so that TLS can be tried on one machine.

python certificates.py

Makes a certificate authority, a certificate for the servers and one that the gateway shows to the
model services, all in ``certs/``, and prints the settings that use them. A second run keeps the
authority and renews the rest; processes that run take the new ones over. Whoever can read
``certs/`` can pass for any of them: real deployments have certificates from elsewhere.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import tomllib
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

FOLDER = "certs"
SERVICES = Path(__file__).resolve().parent / "services" / "services.toml"
_AUTHORITY_NAME = "Diptych throw-away CA"
_AUTHORITY_DAYS = 3650
_DAYS = 365
_KINDS = ("crt", "key")
_REFUSED = "nothing is overwritten; move it away, or work in another folder"
_SETTINGS = """\
{folder}/ is ready. In .env, for `make up`:

DIPTYCH_TLS_CERT={folder}/server.crt
DIPTYCH_TLS_KEY={folder}/server.key
DIPTYCH_TLS_CLIENT_CA={folder}/ca.crt
DIPTYCH_SERVICES_CA={folder}/ca.crt
DIPTYCH_SERVICES_CERT={folder}/gateway-client.crt
DIPTYCH_SERVICES_KEY={folder}/gateway-client.key

For `diptych` and the Python client:

export DIPTYCH_CA_FILE={absolute}/ca.crt
"""


class ForeignFilesError(Exception):
    """The folder holds what was not made here; the message says what to do."""


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, both PEM."""

    certificate: bytes
    key: bytes

    def save(self, folder: Path, name: str) -> None:
        """Write ``name.crt`` and ``name.key``, each in one step; the key for its owner alone."""
        _replace(folder / f"{name}.crt", self.certificate, 0o644)
        _replace(folder / f"{name}.key", self.key, 0o600)


def server_names() -> tuple[str, ...]:
    """Names by which servers are dialled on one machine, and between containers."""
    models = tomllib.loads(SERVICES.read_text())["models"]
    return ("localhost", "127.0.0.1", "::1", "gateway", *models)


class Authority:
    """Signs certificates."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key

    @classmethod
    def create(cls) -> Authority:
        """A new one, which trusts itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        # A name of its own: two authorities of one name make errors that explain nothing.
        subject = _common_name(f"{_AUTHORITY_NAME} {secrets.token_hex(4)}")
        builder = _builder(subject, subject, key.public_key(), _AUTHORITY_DAYS)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        usage = _key_usage(signs_certificates=True)
        return cls(builder.add_extension(usage, True).sign(key, hashes.SHA256()), key)

    @classmethod
    def load(cls, folder: Path) -> Authority:
        """The one in ``ca.crt`` and ``ca.key``."""
        certificate = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
        if not certificate.subject.rfc4514_string().startswith(f"CN={_AUTHORITY_NAME} "):
            raise ForeignFilesError(f"{folder}/ca.crt is of another authority: {_REFUSED}")
        key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return cls(certificate, key)

    @property
    def pair(self) -> Pair:
        """Its own certificate and key."""
        return _pair(self._certificate, self._key)

    def for_server(
        self, names: Sequence[str] | None = None, *, days: int = _DAYS, also_client: bool = False
    ) -> Pair:
        """A certificate for servers under these names and addresses; ``server_names()`` if none.

        With ``also_client`` a server may show it where it calls others.
        """
        names = names or server_names()
        also = [ExtendedKeyUsageOID.CLIENT_AUTH] if also_client else []
        return self._sign(names[0], [ExtendedKeyUsageOID.SERVER_AUTH, *also], names, days)

    def for_client(self, name: str, *, days: int = _DAYS) -> Pair:
        """A certificate that clients show."""
        return self._sign(name, [ExtendedKeyUsageOID.CLIENT_AUTH], (), days)

    def _sign(
        self, name: str, usages: list[x509.ObjectIdentifier], names: Sequence[str], days: int
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = self._certificate.subject
        builder = _builder(_common_name(name), issuer, key.public_key(), days)
        builder = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
            .add_extension(_key_usage(signs_certificates=False), True)
            .add_extension(x509.ExtendedKeyUsage(usages), False)
        )
        if names:
            alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
            builder = builder.add_extension(alternatives, False)
        return _pair(builder.sign(self._key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    end = now + timedelta(days=days)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, end) - timedelta(hours=1))  # clocks differ
        .not_valid_after(end)
    )


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def _replace(path: Path, content: bytes, mode: int) -> None:
    new = path.with_name(f"{path.name}.new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(content)
    new.chmod(mode)
    new.replace(path)


def _check_free(folder: Path) -> None:
    pairs = (f"{name}.{kind}" for name in ("ca", "server", "gateway-client") for kind in _KINDS)
    there = [name for name in pairs if os.path.lexists(folder / name)]
    if there:
        raise ForeignFilesError(f"{folder}/{there[0]} is not of the authority here: {_REFUSED}")


def make(folder: Path) -> None:
    """Fill a folder; an authority that is there already is kept.

    Raises:
        ForeignFilesError: it holds certificates or keys that were not made here.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    if (folder / "ca.key").exists():
        authority = Authority.load(folder)
    else:
        _check_free(folder)
        authority = Authority.create()
        authority.pair.save(folder, "ca")
    authority.for_server().save(folder, "server")
    authority.for_client("gateway").save(folder, "gateway-client")


def main() -> int:
    """Make the certificates and say how to use them; returns the exit status."""
    try:
        make(Path(FOLDER))
    except ForeignFilesError as error:
        sys.stderr.write(f"certificates: {error}\n")
        return 1
    sys.stdout.write(_SETTINGS.format(folder=FOLDER, absolute=Path(FOLDER).resolve()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

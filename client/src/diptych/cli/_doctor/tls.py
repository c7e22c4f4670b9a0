"""The server's certificate: who signed it, for which name, how long, and what is wrong with it."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc

from .case import Case
from .dates import SOON_DAYS, days_left, shown_date
from .dial import dialled, for_grpc, spoken, trusting
from .findings import Finding, failed, ok, skipped, warning

_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME of OpenSSL
_NOT_YET, _EXPIRED, _SELF_SIGNED, _OTHER_NAME, _OTHER_ADDRESS = 9, 10, 18, 62, 64
_ROOTS_VARIABLE = "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"
_NAME = "tls"


def check_tls(case: Case) -> Iterator[Finding]:
    """A handshake with each server, verified as gRPC does it."""
    if not case.endpoints:
        yield skipped(_NAME, "no port to speak at")
        return
    context = _context(case)
    for host, port in case.endpoints:
        there = f"{host} port {port}"
        try:
            with dialled(case, host, port) as plain:
                yield _handshake(case, there, plain, context)
        except ssl.SSLCertVerificationError as error:
            yield _untrusted(case, there, error, _shown(case, host, port))
        except ssl.SSLError as error:
            yield _no_handshake(case, there, error, host, port)
        except ConnectionResetError:
            yield _hung_up(there)
        except OSError:
            yield skipped(_NAME, f"{there} cannot be reached")


def _handshake(case: Case, there: str, plain: socket.socket, context: ssl.SSLContext) -> Finding:
    with context.wrap_socket(plain, server_hostname=case.server_name) as secure:
        certificate = _facts(secure.getpeercert() or {})
        alpn, version = secure.selected_alpn_protocol(), secure.version()
        # A certificate of the client that is missing is told after the handshake (TLS 1.3).
        found = spoken(secure)
    facts = {**certificate, "alpn": alpn, "version": version}
    left = certificate.get("days_left")
    until = f"{certificate.get('not_after', '')} ({left} days)"
    text = f"{there}: {version}, ALPN {alpn}, certificate for {_names(certificate)}"
    text += f" by {certificate.get('issuer') or 'an unnamed authority'}, until {until}"
    if alpn == "h2" and found == "closed":
        return _not_let_in(case, there, facts)
    if alpn != "h2" or found != "http/2":
        text = f"{there} speaks TLS, but not gRPC in it (ALPN {alpn}, {found})"
        return failed(_NAME, text, "check the port; a proxy has to pass HTTP/2 on", **facts)
    if left is not None and left <= SOON_DAYS:
        return warning(_NAME, text, "renew the server's certificate", **facts)
    return ok(_NAME, text, **facts)


def _untrusted(
    case: Case, there: str, error: ssl.SSLCertVerificationError, shown: Mapping[str, Any]
) -> Finding:
    code, names = error.verify_code, _names(shown)
    trusted = os.fspath(case.tls.ca) if case.tls and case.tls.ca else "public authorities"
    ended = shown.get("days_left") is not None and shown["days_left"] < 0
    if code in (_OTHER_NAME, _OTHER_ADDRESS):
        text = f"its certificate is for {names}, not for {case.server_name}"
        fix = "use one of these names in the address, or a certificate with this name"
    elif code == _EXPIRED and ended:
        text = f"its certificate expired at {shown.get('not_after')}"
        fix = "renew it on the server; if today is before that, set this machine's clock"
    elif code == _EXPIRED:
        text, fix = "the certificate of its authority has expired", "renew the authority's"
    elif code == _NOT_YET:
        text = f"its certificate is valid from {shown.get('not_before')} only"
        fix = "set this machine's clock, or the one where it was made"
    elif code == _SELF_SIGNED:
        text = f"its certificate is signed by itself, and {trusted} does not hold it"
        fix = "give that certificate as --ca"
    else:
        by = shown.get("issuer") or "an unnamed authority"
        text = f"its certificate is by {by}, whom {trusted} does not hold"
        fix = "give the authority's certificate as --ca, or DIPTYCH_CA_FILE"
    return failed(_NAME, f"{there}: {text}", fix, **shown, verify_code=code)


def _no_handshake(case: Case, there: str, error: ssl.SSLError, host: str, port: int) -> Finding:
    reason = (error.reason or str(error)).replace(" ", "_").upper()
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason:
        return _not_let_in(case, there, {})
    if "ALERT_UNKNOWN_CA" in reason or "ALERT_BAD_CERTIFICATE" in reason:
        text = "it does not know the authority of the certificate that is shown"
        return failed(_NAME, f"{there}: {text}", "get a certificate by its authority")
    if "ALERT_CERTIFICATE_EXPIRED" in reason:
        return failed(_NAME, f"{there}: the certificate that is shown has expired", "renew it")
    try:
        with dialled(case, host, port) as connection:
            found = spoken(connection)
    except OSError:
        found = "closed"
    if found in ("http/1", "http/2"):
        what = "gRPC" if found == "http/2" else "HTTP/1"
        fix = "use --no-tls" if found == "http/2" else "use the port of gRPC"
        text = f"it speaks {what} in plain text, and TLS is asked for"
        return failed(_NAME, f"{there}: {text}", fix, spoken=found)
    if isinstance(error, ssl.SSLEOFError):
        return _hung_up(there)
    return failed(_NAME, f"{there}: TLS failed: {reason}", "check that TLS is spoken there")


def _not_let_in(case: Case, there: str, facts: Mapping[str, Any]) -> Finding:
    # Servers of gRPC tell no reason: they hang up once they have seen what the client shows.
    text = "it hung up after the handshake: it wants a certificate of the client, as services do"
    if case.tls and case.tls.cert:
        text = "it hung up after the handshake: it does not take the certificate that is shown"
    return failed(_NAME, f"{there}: {text}", "give --cert and --key by its authority", **facts)


def _hung_up(there: str) -> Finding:
    text = f"{there}: it hung up in the middle of the handshake"
    return failed(_NAME, text, "check that TLS is spoken there")


def _context(case: Case) -> ssl.SSLContext:
    """As gRPC verifies: by the files that are given, else by the authorities that it brings."""
    context = for_grpc()
    tls = case.tls
    if tls is not None and tls.ca is not None:
        context.load_verify_locations(os.fspath(tls.ca))
    else:
        context.load_verify_locations(os.environ.get(_ROOTS_VARIABLE) or _public_authorities())
    if tls is not None and tls.cert is not None and tls.key is not None:
        context.load_cert_chain(tls.cert, tls.key, password=lambda: b"")
    return context


def _public_authorities() -> Path:
    return Path(grpc.__file__).parent / "_cython" / "_credentials" / "roots.pem"


def _shown(case: Case, host: str, port: int) -> dict[str, Any]:
    """What a certificate says that is not trusted: the library tells it of trusted ones alone, so
    this one is trusted for as long as it takes to read it."""
    try:
        der = _leaf(case, host, port)
        context = for_grpc()
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags(_NO_CHECK_TIME)
        context.load_verify_locations(cadata=ssl.DER_cert_to_PEM_cert(der))
        with dialled(case, host, port) as plain, context.wrap_socket(plain) as secure:
            return _facts(secure.getpeercert() or {})
    except OSError:
        return {}


def _leaf(case: Case, host: str, port: int) -> bytes:
    with dialled(case, host, port) as plain, trusting().wrap_socket(plain) as secure:
        return secure.getpeercert(binary_form=True) or b""


def _facts(certificate: Mapping[str, Any]) -> dict[str, Any]:
    ends, begins = str(certificate.get("notAfter", "")), str(certificate.get("notBefore", ""))
    issuer = dict(pair for group in certificate.get("issuer", ()) for pair in group)
    return {
        "names": [value for _, value in certificate.get("subjectAltName", ())],
        "issuer": issuer.get("commonName") or issuer.get("organizationName") or "",
        "not_before": shown_date(begins) if begins else "",
        "not_after": shown_date(ends) if ends else "",
        "days_left": days_left(ends),
    }


def _names(certificate: Mapping[str, Any]) -> str:
    return ", ".join(certificate.get("names", ())) or "no name"

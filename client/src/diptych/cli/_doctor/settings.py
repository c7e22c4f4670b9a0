"""Versions, address, proxy and the files of TLS: what can be said without the network."""

from __future__ import annotations

import os
import platform
import ssl
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from ...proxies import EXEMPTIONS, VARIABLES
from .case import Case
from .dates import SOON_DAYS, days_left, shown_date
from .findings import Finding, failed, ok, skipped, warning

_PACKAGES = ("diptych", "grpcio", "protobuf", "numpy", "pillow", "av")


def check_versions() -> Iterator[Finding]:
    """Which software asks."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    found["Python"] = platform.python_version()
    found["OpenSSL"] = ssl.OPENSSL_VERSION.partition(" ")[2].split(" ")[0]
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    text = ", ".join(f"{name} {number}" for name, number in found.items())
    yield ok("versions", f"{text}, {system}", **found, system=system)


def check_address(case: Case) -> Iterator[Finding]:
    """Which address, and who said it."""
    if case.problem:
        yield failed("address", f"{case.problem} ({case.origin})", "say host:port")
    else:
        yield ok("address", f"{case.target}, {case.origin}", origin=case.origin)


def check_proxy(case: Case) -> Iterator[Finding]:
    """Whether gRPC goes by a proxy, and which variables say so."""
    there = [name for name in (*VARIABLES, *EXEMPTIONS) if os.environ.get(name)]
    if case.proxy is not None:
        proxy = case.proxy
        text = f"gRPC goes by {proxy.url}, as {proxy.variable} says"
        text += f"; no_proxy={case.server_name} would go without"
        yield ok("proxy", text, url=proxy.url, variable=proxy.variable)
    elif there:
        yield ok("proxy", f"not used for this address, though {', '.join(there)} are set")
    else:
        yield ok("proxy", "none is set")


def check_files(case: Case) -> Iterator[Finding]:
    """Whether the files of TLS can be read and go together."""
    name = "encryption"
    if case.tls_problem:
        fix = "name PEM files that can be read and go together, or leave them out"
        yield failed(name, case.tls_problem, fix)
        return
    if case.tls is None:
        yield ok(name, "none is asked for: plain text", tls=False)
        return
    ca, cert, _ = case.tls.read()
    trusted = os.fspath(case.tls.ca) if case.tls.ca else "the public authorities of gRPC"
    shown = ", and a certificate of its own is shown" if cert else ""
    facts = {"tls": True, "ca": trusted, "client_certificate": bool(cert)}
    left = None if ca is None else days_left(_ends(ca))
    if left is not None and left <= SOON_DAYS:
        state = "has expired" if left < 0 else f"expires in {left} days"
        text = f"TLS; the authority in {trusted} {state}"
        yield (failed if left < 0 else warning)(name, text, "get its new certificate", **facts)
    else:
        yield ok(name, f"TLS; trusted is {trusted}{shown}", **facts)


def _ends(pem: bytes) -> str:
    """When the first of the authorities of a file is no more; empty if none says so."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=pem.decode("ascii"))
    ends = [str(each["notAfter"]) for each in context.get_ca_certs() if "notAfter" in each]
    return min(ends, key=shown_date, default="")


def check_unreachable(name: str, case: Case) -> Iterator[Finding]:
    """For what needs an address where there is none."""
    yield skipped(name, "see address" if case.problem else "see encryption")

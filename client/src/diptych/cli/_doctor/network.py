"""Name, port and what is spoken there, without TLS."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from .case import Case
from .dial import ProxyRefusedError, dialled, spoken, trusting
from .findings import Finding, failed, ok, skipped, warning

_UNIX = ("unix:", "unix-abstract:")


def check_name(case: Case) -> Iterator[Finding]:
    """Whether the name is known here."""
    name = "name"
    if not case.endpoints:
        yield skipped(name, f"{case.target.partition(':')[0]}: has none to look up")
    elif case.proxy is not None:
        yield skipped(name, "the proxy looks it up")
    for host, port in case.endpoints if case.proxy is None else ():
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            why = (getattr(error, "strerror", None) or str(error)).lower()
            fix = "check how it is spelled, and the resolver (VPN, /etc/hosts, DNS)"
            yield failed(name, f"{host} cannot be resolved: {why}", fix)
            continue
        addresses = [*dict.fromkeys(str(each[4][0]) for each in found)]
        said = "an address already" if addresses == [host] else f"is {', '.join(addresses)}"
        yield ok(name, f"{host}: {said}", host=host, addresses=addresses)


def check_port(case: Case) -> Iterator[Finding]:
    """Whether anything listens."""
    name = "connection"
    if case.target.startswith(_UNIX):
        yield _unix(name, case)
    elif not case.endpoints:
        yield skipped(name, "gRPC alone knows where this leads")
    down = 0
    for host, port in case.endpoints:
        there = f"{host} port {port}"
        try:
            dialled(case, host, port).close()
        except ProxyRefusedError as error:
            down += 1
            fix = f"mend the proxy or its variable, or go without: no_proxy={host}"
            yield failed(name, f"{there}: {error}", fix)
        except OSError as error:
            down += 1
            last = down == len(case.endpoints)
            yield _not_there(name, there, error, case.timeout, last=last)
        else:
            by = f" by {case.proxy.url}" if case.proxy else ""
            yield ok(name, f"{there} answers{by}", host=host, port=port)


def _not_there(name: str, there: str, error: OSError, timeout: float, *, last: bool) -> Finding:
    if isinstance(error, ConnectionRefusedError):
        text, fix = "nobody listens", "start the server, or say the address where it is"
    elif isinstance(error, TimeoutError):
        text = f"no answer within {timeout:g} s"
        fix = "look for a firewall on the way, and whether the machine is up"
    elif isinstance(error, socket.gaierror):
        text, fix = "its name is not known", "see name"
    else:
        text, fix = str(error.strerror or error).lower(), "check the network between"
    return (failed if last else warning)(name, f"{there}: {text}", fix)


def _unix(name: str, case: Case) -> Finding:
    path = case.target.partition(":")[2].removeprefix("//")
    place = f"\0{path}" if case.target.startswith("unix-abstract:") else path
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(case.timeout)
            connection.connect(place)
    except OSError as error:
        fix = "start the server, or name the socket that it listens on"
        return failed(name, f"{path}: {str(error.strerror or error).lower()}", fix)
    return ok(name, f"the socket {path} answers")


def check_plain(case: Case) -> Iterator[Finding]:
    """Whether gRPC is spoken where plain text is expected."""
    name = "protocol"
    if not case.endpoints:
        yield skipped(name, "no port to speak at")
    for host, port in case.endpoints:
        try:
            with dialled(case, host, port) as connection:
                found = spoken(connection)
        except OSError:
            yield skipped(name, f"{host} port {port} cannot be reached")
            continue
        if found not in ("http/1", "http/2") and _speaks_tls(case, host, port):
            found = "tls"
        yield _plain_finding(name, f"{host} port {port}", found)


def _plain_finding(name: str, there: str, found: str) -> Finding:
    if found == "http/2":
        return ok(name, f"{there} speaks HTTP/2 in plain text, as gRPC does", spoken=found)
    text, fix = {
        "http/1": (
            "speaks HTTP/1: that is a port for browsers, or another server",
            "use the port of gRPC, 50051 unless told otherwise",
        ),
        "tls": ("wants TLS, and plain text is asked for", "use --tls, with --ca for an own one"),
        "closed": (
            "hangs up at once, as servers do that speak something else",
            "check the port",
        ),
        "silent": ("says nothing to a client of gRPC", "check the port, and a proxy before it"),
    }.get(found, ("speaks something else than gRPC", "check the port"))
    return failed(name, f"{there} {text}", fix, spoken=found)


def _speaks_tls(case: Case, host: str, port: int) -> bool:
    try:
        with dialled(case, host, port) as plain, trusting().wrap_socket(plain):
            return True
    except OSError:
        return False

"""What the server says of itself and of its callers: health, token and clock."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone

import grpc

from ... import (
    DEFAULT,
    AuthenticationError,
    Client,
    DeadlineExceededError,
    DiptychError,
    KnownModel,
    ModelStats,
    OverloadedError,
    ServingStatus,
    UnavailableError,
)
from ...wire.health import health_request, release_of
from .._cards import known_models
from .._exits import describe
from .case import Case
from .findings import Finding, failed, ok, said, skipped, warning

_CLOCK_TOLERANCE = timedelta(seconds=5)
_UNKNOWN_TOKEN = "diptych-doctor-asks-whether-tokens-are-checked"


def advice(error: Exception) -> str:
    """What to do about an error of a call."""
    if isinstance(error, AuthenticationError):
        return "see token"
    if isinstance(error, DeadlineExceededError):
        return "allow more with --timeout, or look at what keeps the server busy"
    if isinstance(error, OverloadedError):
        return "try again later, or run more replicas"
    if isinstance(error, UnavailableError):
        return "look at the log of that service, and whether it runs"
    return "look for the request in the server's log"


def check_health(case: Case) -> Iterator[Finding]:
    """Whether the server says that it serves."""
    begun = time.monotonic()
    try:
        with case.client() as client:
            status = client.health()
            took_ms = round((time.monotonic() - begun) * 1000)
            release = _release(client)
    except (DiptychError, OSError, ValueError) as error:
        # Without a reason it was gRPC that spoke, and the checks before this one say why.
        ours = isinstance(error, DiptychError) and error.reason
        text = describe(error) if isinstance(error, DiptychError) else said(error)
        yield failed("health", text, advice(error) if ours else "see what failed above")
        return
    software = f"diptych {release}" if release else "a server that does not tell its release"
    text = f"{software}: {status.value}, after {took_ms} ms"
    facts = {"status": status.value, "ms": took_ms, "release": release}
    if status is ServingStatus.SERVING:
        yield ok("health", text, **facts)
    else:
        fix = "wait until its models are loaded, or look at its log"
        yield failed("health", text, fix, **facts)


def _release(client: Client) -> str:
    wire = client._wire
    request, metadata = health_request(""), wire.metadata()
    try:
        _, call = wire.health.with_call(
            request, timeout=wire.deadline(DEFAULT).left(), metadata=metadata
        )
    except grpc.RpcError:
        return ""
    return release_of(call.trailing_metadata())


def check_token(case: Case) -> Iterator[Finding]:
    """Whether a token is sent, and whether the server takes it."""
    name, sent = "token", case.token_file is not None
    try:
        with case.client() as client:
            known_models(client)
    except AuthenticationError as error:
        yield _refused(name, error, case)
        return
    except DiptychError:
        why = "the server did not come to look at it"
        yield skipped(name, f"{_source(case)}; {why}" if sent else f"none is sent; {why}")
        return
    except (OSError, ValueError) as error:
        text = said(error).removeprefix("token: ")
        yield failed(name, text, "name a file that holds the token alone, and use TLS")
        return
    if not sent:
        yield ok(name, "none is sent, and none is asked for", sent=False, checked=False)
        return
    checked = _checks_tokens(case)
    how = "taken" if checked else "but the server asks for none, so it was not checked"
    yield ok(name, f"{_source(case)}; {how}", sent=True, checked=checked)


def _refused(name: str, error: AuthenticationError, case: Case) -> Finding:
    if error.reason == "TOKEN_SCOPE":
        fix = "ask for a token with the right 'read' for cards and health"
        return warning(name, f"{_source(case)}; taken, but {describe(error)}", fix, sent=True)
    if case.token_file is None:
        fix = "give --token-file, or DIPTYCH_TOKEN_FILE"
        return failed(name, "none is sent, and the server asks for one", fix, sent=False)
    fix = "get a valid one from whoever runs the server; it expires by the server's clock"
    return failed(name, f"{_source(case)}; refused: {describe(error)}", fix, sent=True)


def _source(case: Case) -> str:
    return f"sent from {case.token_file}"


def _checks_tokens(case: Case) -> bool:
    """Whether the server refuses a token that nobody has."""
    try:
        with case.client(token=_UNKNOWN_TOKEN) as client:
            known_models(client)
    except AuthenticationError:
        return True
    except DiptychError:
        return False
    return False


def check_clock(models: Sequence[KnownModel], stats: Mapping[str, ModelStats]) -> Iterator[Finding]:
    """Whether this clock is behind the server's, by the newest time that it tells.

    How far it is ahead cannot be seen: the server does not tell the time.
    """
    told = [since for each in stats.values() if (since := each.counting_since)]
    told += [replica.since for each in models for replica in each.replicas if replica.since]
    if not told:
        yield skipped("clock", "the server tells no time to compare with")
        return
    ahead = max(told) - datetime.now(timezone.utc)
    if ahead > _CLOCK_TOLERANCE:
        seconds = round(ahead.total_seconds())
        text = f"this machine's clock is {seconds} s or more behind the server's"
        fix = "set both by NTP: certificates, and tokens on the server, expire by them"
        yield warning("clock", text, fix, behind_s=seconds)
    else:
        yield ok("clock", "not behind the server's newest time; tokens expire by its own clock")

"""Bearer tokens: who may do what. Knows no transport: each brings its ``Authorization`` header.

The file holds a SHA-256 of each token, never a token::

    [tokens.alice]
    sha256 = "9f86d0..."
    expires = 2027-01-31T00:00:00Z   # left out: never
    scopes = ["read", "segment"]     # left out: all
    requests_per_second = 5          # and other limits; left out: as [limits], or none

    [limits]                         # of tokens that do not say otherwise
    requests_in_flight = 16
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import tomllib

from diptych_runtime.engine import Reason, ServiceError
from diptych_runtime.settings import SettingsError
from diptych_runtime.watched import WatchedFiles

from .limits import NO_LIMITS, Limits, parse_limits

FILE_VARIABLE = "DIPTYCH_TOKENS_FILE"
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FIELDS = ("sha256", "expires", "scopes")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HEADER = "authorization"


class Scope(enum.StrEnum):
    """What a token may be for."""

    READ = "read"
    """Cards, statistics and reflection."""
    SEGMENT = "segment"
    """Images: segmenting and comparing."""
    VIDEO = "video"
    """Video sessions."""


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True)
class Token:
    """One entry of the file."""

    name: str
    sha256: bytes = field(repr=False)
    expires: datetime | None = None
    scopes: frozenset[Scope] = ALL_SCOPES
    limits: Limits = NO_LIMITS

    def check_scope(self, scope: Scope | None) -> None:
        """Pass if it may do this; ``None`` stands for what only a token for everything may do.

        Raises:
            ServiceError: TOKEN_SCOPE.
        """
        if self.scopes == ALL_SCOPES or scope in self.scopes:
            return
        has = ", ".join(sorted(self.scopes))
        needed = scope or ", ".join(sorted(ALL_SCOPES))
        raise ServiceError(
            Reason.TOKEN_SCOPE,
            f"{_HEADER}: this needs a token for {needed}, and {self.name!r} is for {has}",
            metadata={"token": self.name, "needed": needed},
        )


class Tokens:
    """The tokens that are in force."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        self._tokens = tuple(tokens)

    def identify(self, authorization: str | None, *, now: datetime | None = None) -> Token:
        """Find the token in a header ``Bearer TOKEN``, if it is known and has not expired.

        Raises:
            ServiceError: TOKEN_MISSING or TOKEN_INVALID.
        """
        if not authorization:
            raise ServiceError(
                Reason.TOKEN_MISSING, f"{_HEADER}: expected 'Bearer TOKEN', got nothing"
            )
        scheme, _, secret = authorization.strip().partition(" ")
        if scheme.lower() != "bearer" or not secret:
            raise _invalid("expected 'Bearer TOKEN', got something else")
        digest = hashlib.sha256(secret.strip().encode()).digest()
        found: Token | None = None
        for token in self._tokens:  # all of them, so that the time tells nothing
            if hmac.compare_digest(token.sha256, digest):
                found = token
        if found is None:
            raise _invalid("this token is not known here")
        if found.expires is not None and found.expires <= (now or datetime.now(UTC)):
            raise _invalid(f"token {found.name!r} expired at {found.expires:%Y-%m-%dT%H:%M:%SZ}")
        return found


def _invalid(text: str) -> ServiceError:
    return ServiceError(Reason.TOKEN_INVALID, f"{_HEADER}: {text}")


def watch_tokens(path: Path) -> WatchedFiles[Tokens]:
    """Watch the tokens of a file, which may be changed at any time.

    Raises:
        SettingsError: the file cannot be used.
    """

    def parse(contents: Mapping[str, bytes]) -> Tokens:
        try:
            return Tokens(parse_tokens(contents[FILE_VARIABLE].decode()))
        except ValueError as error:
            raise SettingsError(f"{FILE_VARIABLE}={path}: {error}") from error

    return WatchedFiles({FILE_VARIABLE: path}, parse)


def parse_tokens(text: str) -> tuple[Token, ...]:
    """Read the text of a file, which has to have at least one token.

    Raises:
        ValueError: it cannot be used. The message repeats no value: it might be a token.
    """
    document = tomllib.loads(text)
    tables = document.pop("tokens", None)
    common = document.pop("limits", {})
    if document or not isinstance(tables, dict) or not tables or not isinstance(common, dict):
        raise ValueError("expected tables [tokens.NAME] and [limits] and nothing else")
    limits = parse_limits("limits", common)
    tokens = tuple(_parse_token(name, table, limits) for name, table in tables.items())
    owners: dict[bytes, str] = {}
    for token in tokens:
        if token.sha256 in owners:
            raise ValueError(f"{owners[token.sha256]!r} and {token.name!r} are the same token")
        owners[token.sha256] = token.name
    return tokens


def _parse_token(name: str, table: object, default: Limits) -> Token:
    where = f"tokens.{name}"
    if not NAME.fullmatch(name):
        raise ValueError("expected names of letters, digits, - and _, up to 64 of them")
    if not isinstance(table, dict) or "sha256" not in table:
        raise ValueError(f"{where}: expected a table with sha256")
    limits = parse_limits(where, table, default, beside=_FIELDS)
    sha256, expires = table["sha256"], table.get("expires")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise ValueError(f"{where}.sha256: expected 64 lower-case hexadecimal digits")
    if expires is not None and (not isinstance(expires, datetime) or expires.tzinfo is None):
        raise ValueError(f"{where}.expires: expected a time such as 2027-01-31T00:00:00Z")
    utc = expires and expires.astimezone(UTC)
    return Token(
        name,
        bytes.fromhex(sha256),
        utc,
        _parse_scopes(where, table.get("scopes")),
        limits,
    )


def _parse_scopes(where: str, listed: object) -> frozenset[Scope]:
    if listed is None:
        return ALL_SCOPES
    known = tuple(Scope)
    if not isinstance(listed, list) or not listed or any(scope not in known for scope in listed):
        raise ValueError(f"{where}.scopes: expected some of {', '.join(known)}, or no such line")
    return frozenset(Scope(scope) for scope in listed)

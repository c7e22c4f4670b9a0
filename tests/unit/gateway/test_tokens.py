"""Who a token is, what it may do, and which files are taken."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from diptych_gateway.security.tokens import (
    ALL_SCOPES,
    Scope,
    Token,
    Tokens,
    parse_tokens,
    watch_tokens,
)
from diptych_runtime.engine import Reason, ServiceError
from diptych_runtime.settings import SettingsError

SECRET = "diptych_correct-horse"
SHA256 = hashlib.sha256(SECRET.encode()).hexdigest()
NOW = datetime(2027, 1, 1, tzinfo=UTC)


def tokens(rest: str = "") -> Tokens:
    return Tokens(parse_tokens(f'[tokens.alice]\nsha256 = "{SHA256}"\n{rest}'))


@pytest.mark.parametrize(
    "header", [f"Bearer {SECRET}", f"bearer {SECRET}", f" BEARER   {SECRET}  "]
)
def test_a_known_token(header: str) -> None:
    token = tokens().identify(header, now=NOW)
    assert (token.name, token.expires, token.scopes) == ("alice", None, ALL_SCOPES)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, Reason.TOKEN_MISSING),
        ("", Reason.TOKEN_MISSING),
        ("Bearer", Reason.TOKEN_INVALID),
        ("Bearer ", Reason.TOKEN_INVALID),
        (SECRET, Reason.TOKEN_INVALID),
        (f"Basic {SECRET}", Reason.TOKEN_INVALID),
        (f"Bearer {SECRET}x", Reason.TOKEN_INVALID),
        (f"Bearer {SECRET[:-1]}", Reason.TOKEN_INVALID),
        (f"Bearer {SECRET} {SECRET}", Reason.TOKEN_INVALID),
        (f"Bearer {SHA256}", Reason.TOKEN_INVALID),
        ("Bearer \N{SNOWMAN}", Reason.TOKEN_INVALID),
    ],
)
def test_others_are_refused_without_being_repeated(header: str | None, reason: Reason) -> None:
    with pytest.raises(ServiceError) as caught:
        tokens().identify(header, now=NOW)
    assert caught.value.reason is reason
    told = caught.value.message + str(caught.value.metadata)
    assert SECRET[:-1] not in told
    assert SHA256 not in told


def test_expiry_is_exclusive_and_knows_time_zones() -> None:
    held = tokens("expires = 2027-01-01T02:00:00+02:00")
    assert held.identify(f"Bearer {SECRET}", now=NOW - timedelta(seconds=1)).name == "alice"
    with pytest.raises(ServiceError, match="'alice' expired at 2027-01-01T00:00:00Z") as caught:
        held.identify(f"Bearer {SECRET}", now=NOW)
    assert caught.value.reason is Reason.TOKEN_INVALID


def test_expiry_is_looked_at_by_default() -> None:
    with pytest.raises(ServiceError, match="expired"):
        tokens("expires = 2001-01-01T00:00:00Z").identify(f"Bearer {SECRET}")


def test_scopes() -> None:
    token = tokens('scopes = ["read", "video"]').identify(f"Bearer {SECRET}")
    token.check_scope(Scope.READ)
    token.check_scope(Scope.VIDEO)
    with pytest.raises(
        ServiceError, match=r"for segment, and 'alice' is for read, video"
    ) as caught:
        token.check_scope(Scope.SEGMENT)
    assert caught.value.reason is Reason.TOKEN_SCOPE
    assert caught.value.metadata == {"token": "alice", "needed": "segment"}


def test_what_no_scope_stands_for_needs_them_all() -> None:
    Token("all", b"").check_scope(None)
    for scope in Scope:
        with pytest.raises(ServiceError, match="for read, segment, video"):
            Token("some", b"", scopes=frozenset({scope})).check_scope(None)


def test_a_token_does_not_show_its_hash() -> None:
    assert repr(b"12") not in repr(Token("alice", b"12"))


GOOD = f'sha256 = "{SHA256}"'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected tables"),
        ("# nobody", "expected tables"),
        ("[tokens]", "expected tables"),
        ("tokens = 3", "expected tables"),
        (f"[tokens.a]\n{GOOD}\n[other]", "expected tables"),
        ("tokens.a = 3", "tokens.a: expected a table"),
        ("[tokens.a]", "tokens.a: expected a table with sha256"),
        (f"[tokens.'a b']\n{GOOD}", "expected names"),
        (f"[tokens.{'a' * 65}]\n{GOOD}", "expected names"),
        (
            f"[tokens.a]\n{GOOD}\nscope = ['read']",
            "device_seconds_per_minute, sessions, got 1 more",
        ),
        (f"[tokens.a]\nsha256 = '{SECRET}'", "64 lower-case hex"),
        (f"[tokens.a]\nsha256 = '{SHA256.upper()}'", "64 lower-case hex"),
        ("[tokens.a]\nsha256 = 64", "64 lower-case hex"),
        (f"[tokens.a]\n{GOOD}\nexpires = 2027-01-01T00:00:00", "such as 2027-01-31T00:00:00Z"),
        (f"[tokens.a]\n{GOOD}\nexpires = 2027-01-01", "such as 2027-01-31T00:00:00Z"),
        (f"[tokens.a]\n{GOOD}\nexpires = 'never'", "such as 2027-01-31T00:00:00Z"),
        (f"[tokens.a]\n{GOOD}\nscopes = []", "some of read, segment, video"),
        (f"[tokens.a]\n{GOOD}\nscopes = ['write']", "some of read, segment, video"),
        (f"[tokens.a]\n{GOOD}\nscopes = 'read'", "some of read, segment, video"),
        (f"[tokens.a]\n{GOOD}\nscopes = [['read']]", "some of read, segment, video"),
        (f"[tokens.a]\n{GOOD}\n[tokens.b]\n{GOOD}", "'a' and 'b' are the same"),
        (f"[tokens.a]\n{GOOD}\n[tokens.a]\n{GOOD}", ""),
        (SECRET, ""),
    ],
)
def test_files_that_cannot_be_used(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        watch_tokens(path)
    message = str(caught.value)
    assert message.startswith(f"DIPTYCH_TOKENS_FILE={path}: ")
    assert said in message
    assert SECRET not in message


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="DIPTYCH_TOKENS_FILE"):
        watch_tokens(path)

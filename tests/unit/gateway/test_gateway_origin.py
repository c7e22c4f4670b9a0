"""Which origins are the gateway's own."""

from __future__ import annotations

import pytest

from diptych_gateway.http.origin import check_origin, foreign
from diptych_gateway.http.problems import RefusedError

ALLOWED = ("https://diptych.example",)
OWN = [
    ("localhost:8080", "http://localhost:8080"),
    ("127.0.0.1:8080", "http://127.0.0.1:8080"),
    ("[::1]:8080", "http://[::1]:8080"),
    ("192.168.1.7", "http://192.168.1.7"),
    ("LocalHost:8080", "http://localhost:8080"),
    ("gateway:8080", "http://gateway:8080"),
    ("a.localhost:8080", "http://a.localhost:8080"),
    ("studio.local:8080", "https://studio.local:8080"),
    ("diptych.example", "https://diptych.example"),
    ("gateway:8080", "https://diptych.example"),
]
FOREIGN = [
    ("localhost:8080", "https://evil.example"),
    ("localhost:8080", "http://localhost:3000"),
    ("localhost:8080", "http://127.0.0.1:8080"),
    ("localhost:8080", "null"),
    ("localhost:8080", ""),
    ("localhost:8080", "http://localhost:8080.evil.example"),
    ("localhost:8080", "http://localhost:8080@evil.example"),
    ("localhost:8080", "http://[localhost:8080"),
    ("", "null"),
    ("", ""),
    (":8080", "http://:8080"),
    # The page has a name of its own, which has come to point to this machine.
    ("evil.example:8080", "http://evil.example:8080"),
    ("127.0.0.1.evil.example", "http://127.0.0.1.evil.example"),
    ("localhost.evil.example", "http://localhost.evil.example"),
    ("evillocal.example", "http://evillocal.example"),
    ("diptych.example", "http://diptych.example"),
]


def scope(*headers: tuple[str, str]) -> dict[str, object]:
    return {"type": "http", "headers": [(k.encode(), v.encode()) for k, v in headers]}


@pytest.mark.parametrize(("host", "origin"), OWN)
def test_pages_of_its_own_and_of_its_proxies_may_ask(host: str, origin: str) -> None:
    for kind in ("http", "websocket"):
        asked = {**scope(("host", host), ("origin", origin)), "type": kind}
        assert not foreign(asked, ALLOWED)


@pytest.mark.parametrize(("host", "origin"), FOREIGN)
def test_other_pages_may_not(host: str, origin: str) -> None:
    assert foreign(scope(("host", host), ("origin", origin)), ALLOWED)


@pytest.mark.parametrize("host", ["localhost:8080", "diptych.example", "gateway.svc.cluster:1"])
def test_programs_that_are_no_browsers_may_ask_under_any_name(host: str) -> None:
    assert not foreign(scope(("host", host)))


@pytest.mark.parametrize(
    ("site", "is_foreign"),
    [("cross-site", True), ("same-site", True), ("same-origin", False), ("none", False)],
)
def test_a_browser_says_where_a_request_is_from(site: str, is_foreign: bool) -> None:
    assert foreign(scope(("host", "localhost"), ("sec-fetch-site", site))) is is_foreign


def test_two_origins_are_none_of_ours() -> None:
    own = ("origin", "http://localhost")
    assert foreign(scope(("host", "localhost"), own, own))


def test_a_refusal_says_what_came_and_what_would_help() -> None:
    asked = scope(("host", "localhost"), ("origin", "https://evil.example"))
    with pytest.raises(RefusedError, match=r"got https://evil\.example; DIPTYCH_HTTP_ORIG") as said:
        check_origin(asked)
    assert (said.value.status, said.value.reason) == (403, "ORIGIN_FOREIGN")

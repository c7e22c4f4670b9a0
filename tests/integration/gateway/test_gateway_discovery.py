"""Where replicas are found, and what stays when they are not."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Sequence

import pytest
from directories import DirectoryServer, answer, listing, running_directory
from structlog.testing import capture_logs

from diptych_gateway.backend import discovery as module
from diptych_gateway.backend.addresses import Directory, Name, parse_source
from diptych_gateway.backend.discovery import Discovery

TWO = ("10.0.0.7:50061", "[::1]:50061")


class Resolver:
    """Gives what a test wants of a name server, or raises it."""

    def __init__(self, found: Sequence[str] | Exception) -> None:
        self.found = found
        self.asked = 0
        self.goes_on = threading.Event()
        self.goes_on.set()

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        self.goes_on.wait(30)
        if isinstance(self.found, Exception):
            raise self.found
        return [f"{address}:{port}" for address in self.found]


async def test_what_needs_no_looking_is_there_at_once() -> None:
    found = Discovery("sam-2", parse_source("a:1|[::1]:2"))
    assert found.addresses == ("a:1", "[::1]:2")
    assert not await found.look()
    await found.run(lambda *_: pytest.fail("nothing changes"))
    assert (found.problem, found.names) == ("", {})


async def test_localhost_is_one_place() -> None:
    """Most systems have ``::1`` for it too, which would be the same service a second time."""
    found = Discovery("sam-2", Name("localhost", 50061))
    assert await found.look()
    assert found.addresses == ("127.0.0.1:50061",)
    assert found.names == {"127.0.0.1:50061": "localhost:50061"}


def test_without_ipv4_it_is_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = (socket.SOCK_STREAM, 6, "")
    six = [(socket.AF_INET6, *stream, (host, 7, 0, 0)) for host in ("fd00::2", "fd00::1")]
    four = [(socket.AF_INET, *stream, ("10.0.0.7", 7))]
    answers = {"six": six, "both": [*six, *four]}
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, **_: answers[host])
    assert module.resolve("six", 7) == ["[fd00::2]:7", "[fd00::1]:7"]
    assert module.resolve("both", 7) == ["10.0.0.7:7"]


async def test_a_name_is_asked_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    resolver = Resolver(["10.0.0.8", "10.0.0.7", "10.0.0.8"])
    found = Discovery("sam-2", Name("sam-2", 1), resolver=resolver)
    seen: list[Sequence[str]] = []
    following = asyncio.create_task(found.run(lambda addresses, _: seen.append(addresses)))
    while resolver.asked < 3:
        await asyncio.sleep(0.005)
    assert seen == [("10.0.0.7:1", "10.0.0.8:1")]  # in no order of a name server's own
    resolver.found = OSError("Name or service not known")
    while not found.problem:
        await asyncio.sleep(0.005)
    resolver.found = ["10.0.0.9"]
    while len(seen) < 2:
        await asyncio.sleep(0.005)
    following.cancel()
    assert seen[1:] == [("10.0.0.9:1",)]


@pytest.mark.parametrize("failure", [OSError("Name or service not known"), UnicodeError("long")])
async def test_a_name_that_is_not_known(failure: Exception) -> None:
    resolver = Resolver(["10.0.0.7"])
    found = Discovery("sam-2", Name("sam-2", 1), resolver=resolver)
    await found.look()
    resolver.found = failure
    with capture_logs() as logs:
        for _ in range(3):
            assert not await found.look()
        assert found.problem == "the name of its services is not known"
        assert found.addresses == ("10.0.0.7:1",)
        resolver.found = ["10.0.0.8"]
        assert await found.look()
    assert (found.problem, found.addresses) == ("", ("10.0.0.8:1",))
    lost, again = logs
    assert (lost["log_level"], lost["detail"]) == ("warning", str(failure))
    assert (lost["model"], lost["source"], lost["stay"]) == ("sam-2", "sam-2:1", ["10.0.0.7:1"])
    assert again["event"] == "looking for replicas works again"


async def test_a_name_server_that_hangs_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ANSWER_S", 0.02)
    resolver = Resolver(["10.0.0.7"])
    resolver.goes_on.clear()
    found = Discovery("sam-2", Name("sam-2", 1), resolver=resolver)
    for _ in range(3):
        assert not await found.look()
    assert (resolver.asked, found.problem) == (1, "the name server did not answer within 0.02 s")
    monkeypatch.setattr(module, "_ANSWER_S", 4.0)
    resolver.goes_on.set()
    assert await found.look()
    assert (found.problem, found.addresses) == ("", ("10.0.0.7:1",))


async def test_a_directory_is_asked() -> None:
    async with running_directory() as server:
        server.answer = listing(sam_2=["10.0.0.7:50061", "[0::1]:50061"], other=["a:1"])
        found = Discovery("sam-2", Directory(server.url + "?model=sam-2"))
        assert await found.look()
        assert (found.addresses, found.problem) == (TWO, "")
        assert not await found.look()
        chunks = (b'{"replicas": ', b'{"sam-2": ["b:2"]}}', b"")
        server.answer = (
            b"HTTP/1.1 200 OK\r\nContent-Type: Application/JSON; charset=utf-8\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        ) + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
        assert await found.look()
    assert found.addresses == ("b:2",)
    line, *rest = server.requests[0].split("\r\n")
    assert line == "GET /replicas?model=sam-2 HTTP/1.1"
    assert {f"Host: 127.0.0.1:{server.port}", "Accept: application/json"} <= set(rest)


def _lists(what: object) -> bytes:
    return answer(json.dumps(what).encode())


_MANY = [f"10.0.0.7:{port}" for port in range(1, 1002)]
RUBBISH = {
    "an error": (answer(b"no", "500 Internal Server Error"), "answered 500 instead of 200"),
    "a redirect": (
        answer(b"", "302 Found", more="Location: http://10.0.0.9/\r\n"),
        "answered 302, elsewhere, which is not followed",
    ),
    "a page": (answer(b"<html>", content_type="text/html"), "answered 'text/html' instead of"),
    "no type": (answer(b"{}", content_type=""), "answered 'no content type' instead of"),
    "no JSON": (answer(b"{"), "answered no JSON"),
    "deep JSON": (answer(b"[" * 100_000), "answered no JSON"),
    "a long number": (answer(b"1" * 10_000), "answered no JSON"),
    "no text": (answer(b"\xff\xfe\xfd"), "answered no JSON"),
    "nothing": (answer(b""), "answered no JSON"),
    "a list": (_lists([]), 'answered no object with "replicas"'),
    "another object": (_lists({"sam-2": ["a:1"]}), 'answered no object with "replicas"'),
    "a list of lists": (_lists({"replicas": [["a:1"]]}), 'answered no object with "replicas"'),
    "other models": (_lists({"replicas": {"x": ["a:1"]}}), "has no list for 'sam-2'"),
    "one address": (_lists({"replicas": {"sam-2": "a:1"}}), "has no list for 'sam-2', but"),
    "none": (_lists({"replicas": {"sam-2": []}}), "lists no replicas"),
    "a number": (_lists({"replicas": {"sam-2": ["a:1", 7]}}), "lists what is no host:port"),
    "no port": (_lists({"replicas": {"sam-2": ["10.0.0.9"]}}), "lists what is no host:port"),
    "a URL": (_lists({"replicas": {"sam-2": ["http://a:1"]}}), "lists what is no host:port"),
    "too many": (_lists({"replicas": {"sam-2": _MANY}}), "lists more than 1000 replicas"),
    "too much": (answer(b" " * 2_000_000), "answered more than 1048576 bytes"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP"),
    "half of it": (answer(b"{}")[:-1], "does not speak HTTP"),
    "no head": (b"", "does not speak HTTP"),
    "a head without end": (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000, "does not speak HTTP"),
}


@pytest.fixture
async def known() -> AsyncIterator[tuple[DirectoryServer, Discovery]]:
    """A directory and who has asked it once."""
    async with running_directory() as server:
        server.answer = listing(sam_2=list(TWO))
        found = Discovery("sam-2", Directory(server.url))
        await found.look()
        yield server, found


@pytest.mark.parametrize("what", RUBBISH)
async def test_a_directory_that_answers_rubbish(
    known: tuple[DirectoryServer, Discovery], what: str
) -> None:
    server, found = known
    server.answer, said = RUBBISH[what]
    with capture_logs() as logs:
        for _ in range(2):
            assert not await found.look()
        assert said in found.problem
        assert found.addresses == TWO
        assert "10.0.0.9" not in found.problem  # shown to callers
        server.answer = listing(sam_2=["b:2"])
        assert await found.look()
    assert (found.problem, found.addresses) == ("", ("b:2",))
    assert [line["log_level"] for line in logs] == ["warning", "info"]
    assert said in logs[0]["cause"]


async def test_a_directory_that_hangs(
    known: tuple[DirectoryServer, Discovery], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, found = known
    monkeypatch.setattr(module, "_ANSWER_S", 0.05)
    for hanging in (None, listing(sam_2=["b:2"])[:40]):
        server.answer = hanging
        assert not await found.look()
        problem = "the directory did not answer within 0.05 s"
        assert found.problem in (problem, "the directory does not speak HTTP")
        assert found.addresses == TWO


async def test_a_directory_that_is_not_there(known: tuple[DirectoryServer, Discovery]) -> None:
    port = known[0].port
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = taken.getsockname()[1]
    for url in (f"http://127.0.0.1:{closed}/r", "http://no-such-host.invalid/r"):
        away = Discovery("sam-2", Directory(url))
        assert not await away.look()
        assert (away.problem, away.addresses) == ("the directory cannot be reached", ())
    encrypted = Discovery("sam-2", Directory(f"https://127.0.0.1:{port}/r"))
    assert not await encrypted.look()
    assert encrypted.problem == "the directory does not speak TLS"


async def test_an_address_that_is_listed_twice_counts_once(
    known: tuple[DirectoryServer, Discovery],
) -> None:
    server, found = known
    server.answer = listing(sam_2=["[::1]:50061", "10.0.0.7:50061", "[0:0::1]:50061"])
    with capture_logs() as logs:
        for _ in range(2):
            await found.look()
    assert found.addresses == TWO[::-1]
    assert found.problem == "the directory names an address twice"
    assert [line["detail"] for line in logs] == ["[::1]:50061"]


async def test_problems_that_take_turns_are_logged_once_each(
    known: tuple[DirectoryServer, Discovery],
) -> None:
    server, found = known
    with capture_logs() as logs:
        for _ in range(4):
            for what in ("none", "an error"):
                server.answer = RUBBISH[what][0]
                await found.look()
    assert len(logs) == 2

"""Where replicas are, as operators write it."""

from __future__ import annotations

import pytest

from diptych_gateway.backend.addresses import (
    Directory,
    Fixed,
    Name,
    parse_address,
    parse_source,
)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("sam-2:50062", Name("sam-2", 50062)),
        ("SAM-2.svc.cluster.local:01", Name("sam-2.svc.cluster.local", 1)),
        ("10.0.0.7:50061", Fixed(("10.0.0.7:50061",))),
        ("[::1]:50061", Fixed(("[::1]:50061",))),
        ("[0:0:0:0:0:0:0:1]:50061", Fixed(("[::1]:50061",))),
        ("a:1|b:2", Fixed(("a:1", "b:2"))),
        (" a:1 | [fe80::7]:2 | 10.0.0.7:3 ", Fixed(("a:1", "[fe80::7]:2", "10.0.0.7:3"))),
        ("http://head:8000/replicas", Directory("http://head:8000/replicas")),
        ("https://[::1]/r?model=sam-2", Directory("https://[::1]/r?model=sam-2")),
    ],
)
def test_what_may_be_written(text: str, source: object) -> None:
    assert parse_source(text) == source


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "as host:port"),
        ("localhost", "as host:port"),
        ("localhost:0", "as host:port"),
        ("localhost:65536", "as host:port"),
        ("::1:50061", "as host:port"),
        ("[::1]", "as host:port"),
        ("[1.2.3]:50061", "as host:port"),
        ("unix:/run/sam-2", "as host:port"),
        ("a:1|", "as host:port, such as localhost:50061 between each two |, not ''"),
        ("a:1|b", "not 'b'"),
        ("a:1|http:/b/c", "not 'http:/b/c'"),
        ("a:1|A:01", "with 'a:1' only once"),
        ("[::1]:5|[0::1]:5", r"with '[::1]:5' only once"),
        ("|".join(f"a:{port}" for port in range(1, 1002)), "with at most 1000 addresses, not 1001"),
        ("http://head:8000", "which has a path"),
        ("http://head:8000/", "which has a path"),
        ("http:///replicas", "as host:port"),
        ("http://head:0/replicas", "as host:port"),
        ("http://head:port/replicas", "as host:port"),
        ("http://head:8000/replicas#1", "as host:port"),
        ("http://[::1/replicas", "as host:port"),
        ("ftp://head/replicas", "as the URL of a directory"),
        ("http://me:secret@head/replicas", "without a user and a password"),
        ("http://head/rep licas", "printable ASCII"),
        ("http://head/répliques", "printable ASCII"),
    ],
)
def test_what_may_not(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"^(as|with) ") as caught:
        parse_source(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "text", ["10.0.0.7", "a:b:1", "dns:///a:1", "a:1 ", "a:\uff11", "[g::]:1", "é:1"]
)
def test_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_address(text)

"""Messages over the socket between the two processes."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diptych_runtime.ipc.pipe import EnginePipe, FrontPipe, PipeClosedError

headers = st.dictionaries(
    st.text(max_size=20),
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=50),
    max_size=6,
)
messages = st.lists(st.tuples(headers, st.binary(max_size=5000)), max_size=8)


async def echo(sent: list[tuple[Any, bytes]]) -> list[tuple[Any, bytes]]:
    """Send messages to an engine's end that gives each one back."""
    ours, theirs = socket.socketpair()
    engine = EnginePipe(theirs)

    def give_back() -> None:
        for _ in sent:
            engine.send(*engine.receive())

    thread = threading.Thread(target=give_back)
    thread.start()
    front = FrontPipe(ours)
    for header, body in sent:
        front.send(header, body)
    came = [await front.receive() for _ in sent]
    await asyncio.to_thread(thread.join)
    front.close()
    theirs.close()
    return came


@settings(max_examples=50, deadline=None)
@given(messages)
def test_messages_arrive_as_they_were_sent(sent: list[tuple[Any, bytes]]) -> None:
    assert asyncio.run(echo(sent)) == sent


async def test_a_message_of_the_largest_size() -> None:
    body = bytes(range(256)) * (32 * 4096)
    assert await echo([({"op": "work"}, body)]) == [({"op": "work"}, body)]


async def test_messages_of_several_threads_do_not_mix() -> None:
    ours, theirs = socket.socketpair()
    engine, front = EnginePipe(theirs), FrontPipe(ours)

    def send(letter: bytes) -> None:
        for _ in range(30):
            engine.send({"letter": letter.decode()}, letter * 40_000)

    threads = [threading.Thread(target=send, args=(x,)) for x in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    for _ in range(90):
        header, body = await front.receive()
        assert body == header["letter"].encode() * 40_000
    for thread in threads:
        await asyncio.to_thread(thread.join)
    front.close()
    theirs.close()


@pytest.mark.parametrize("sent", [b"", b"\0\0", b"\0\0\0\2\0\0\0\5{}ab"])
async def test_an_end_in_the_middle_is_an_end(sent: bytes) -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(sent)
    theirs.close()
    front = FrontPipe(ours)
    with pytest.raises(PipeClosedError):
        await front.receive()
    front.close()

    left, right = socket.socketpair()
    left.sendall(sent)
    left.close()
    with pytest.raises(PipeClosedError):
        EnginePipe(right).receive()
    right.close()


async def test_sending_to_nobody() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    with pytest.raises(PipeClosedError):
        EnginePipe(theirs).send({}, bytes(100_000))
    theirs.close()


async def test_large_and_small_messages_keep_their_order() -> None:
    sent: list[tuple[Any, bytes]] = [
        ({"number": number, "text": "x" * header}, bytes([number]) * body)
        for number, (header, body) in enumerate(
            [(1, 10), (1, 3_000_000), (1, 10), (400_000, 5), (1, 0), (300_000, 300_000), (1, 10)]
        )
    ]
    assert await echo(sent * 3) == sent * 3


async def test_a_header_that_is_none_ends_it() -> None:
    ours, theirs = socket.socketpair()
    front = FrontPipe(ours)
    theirs.sendall(b"\0\0\0\2\0\0\0\1]]a")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"JSON|Expecting"):
            await front.receive()
    theirs.close()


async def test_closing_in_the_middle_of_a_large_message_leaves_nothing_open() -> None:
    ours, theirs = socket.socketpair()
    front = FrontPipe(ours)
    theirs.sendall(b"\0\0\0\2\1\0\0\0{}" + bytes(100_000))
    front.send({"op": "large"}, bytes(8_000_000))  # nobody reads it
    await asyncio.sleep(0)
    front.close()
    with pytest.raises(PipeClosedError):
        await front.receive()
    while ours.fileno() >= 0:
        await asyncio.sleep(0.01)
    front.send({"op": "late"})
    theirs.close()

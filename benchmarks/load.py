"""Closed-loop clients: each sends its next request when it has the answer to the one before."""

from __future__ import annotations

import contextlib
import http.client
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import grpc
import payload

Call = Callable[[bytes], bytes]
Open = Callable[[], AbstractContextManager[Call]]
"""Connects one client."""

_CALL_S = 30.0
_CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", 64 * 1024 * 1024),
    ("grpc.use_local_subchannel_pool", 1),  # a connection for each client
]


@contextlib.contextmanager
def grpc_client(address: str, method: str) -> Iterator[Call]:
    """Serialised messages over gRPC."""
    with grpc.insecure_channel(address, options=_CHANNEL_OPTIONS) as channel:
        call = channel.unary_unary(method)
        yield lambda request: call(request, timeout=_CALL_S, wait_for_ready=True)


@contextlib.contextmanager
def http_client(address: str, path: str, content_type: str) -> Iterator[Call]:
    """Bodies over HTTP, one connection kept."""
    connection = http.client.HTTPConnection(address, timeout=_CALL_S)

    def call(body: bytes) -> bytes:
        connection.request("POST", path, body, {"Content-Type": content_type})
        reply = connection.getresponse()
        answer = reply.read()
        if reply.status != 200:
            raise OSError(f"expected status 200, got {reply.status}: {answer[:200]!r}")
        return answer

    try:
        yield call
    finally:
        connection.close()


class Source(Protocol):
    """Where clients get their requests from."""

    def fresh(self) -> bytes:
        """The next one, serialised."""
        ...


@dataclass(frozen=True)
class Request:
    """A request of which every copy that is sent has another picture."""

    message: bytes
    at: int
    """Where the picture has bytes that do not matter."""

    @classmethod
    def of(cls, message: bytes) -> Request:
        """``message`` has a picture of ``payload`` in it."""
        return cls(message, message.index(payload.MARK))

    def fresh(self) -> bytes:
        """With a picture that nobody has seen."""
        end = self.at + len(payload.MARK)
        other = os.urandom(len(payload.MARK) // 2).hex().encode()
        return b"".join((self.message[: self.at], other, self.message[end:]))


@dataclass(frozen=True)
class Taken:
    """What one run came to, in seconds."""

    each: list[float]
    """How long each request took."""
    elapsed: float

    @property
    def per_s(self) -> float:
        """Requests answered per second."""
        return len(self.each) / self.elapsed


def timed(call: Call, request: bytes) -> float:
    """Seconds until the answer is there."""
    started = time.perf_counter()
    call(request)
    return time.perf_counter() - started


def run(opens: Open, request: Source, *, clients: int, seconds: float) -> Taken:
    """So many clients at once for so long; raises the first error of a client."""
    each: list[float] = []
    errors: list[Exception] = []
    begin = threading.Barrier(clients + 1)
    ended = threading.Event()

    def client() -> None:
        try:
            with opens() as call:
                call(request.fresh())  # connected and warm
                begin.wait()
                while not ended.is_set():
                    each.append(timed(call, request.fresh()))
        except threading.BrokenBarrierError:
            pass
        except Exception as error:
            errors.append(error)
            begin.abort()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    with contextlib.suppress(threading.BrokenBarrierError):
        begin.wait()
    started = time.perf_counter()
    ended.wait(0 if errors else seconds)
    ended.set()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return Taken(each, time.perf_counter() - started)

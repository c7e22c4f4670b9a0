"""Accepts connections of HTTP, not more than there is room for, and ends them: those that stand
still at once, those that were answered before their request had come only when it has.

uvicorn has limits for none of it, and asyncio, when a process may open no more files, tries again
a thousand times at once and logs each.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, cast

import h11
import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

HEAD_S = 10.0
"""Time for the head of a request to come."""
WINDOW_S = 20.0
"""Time in which a body that is sent, or an answer that is taken, has to make progress."""
WINDOW_BYTES = 20 * 1024
REST_S = 30.0
"""Time for the rest of a request to come that was answered before, while it is dropped."""
REST_SILENT_S = 5.0
"""Of that, the time in which something has to come; both are nginx's."""
REST_BYTES = 256 * 1024 * 1024
_SOCKET_REST_SILENT_S = 1.0
_PAUSE_S = 0.25
_LOG_S = 10.0
_AT_ONCE = 100  # so many are accepted before others get their turn

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Http(H11Protocol):
    """A connection that says since when it waits, and how much came."""

    received = 0
    made_at = 0.0
    half_closes = True

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.conn = _Answering(h11.SERVER)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Note when it began."""
        self.made_at = self.loop.time()
        super().connection_made(cast(asyncio.Transport, Lingering(transport, self)))

    def data_received(self, data: bytes) -> None:
        """Count what comes."""
        self.received += len(data)
        super().data_received(data)

    @property
    def waits_for_head(self) -> bool:
        """Whether no request is under way: its head has not come."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def waits_for_body(self) -> bool:
        """Whether the peer has to send more of a body."""
        theirs = self.conn.their_state
        return theirs is h11.SEND_BODY and not self.flow.read_paused and not self.waits_for_head

    @property
    def still_sends(self) -> bool:
        """Whether a request has not come to its end, or what comes is none."""
        return self.conn.their_state in (h11.SEND_BODY, h11.ERROR)


class _Answering(h11.Connection):
    """Says that it closes when it answers a request that has not come whole: the rest is dropped,
    but who waits with it needs not send it."""

    def send(self, event: h11.Event) -> bytes | None:  # type: ignore[override]
        if isinstance(event, h11.Response) and self.their_state is h11.SEND_BODY:
            headers = [*event.headers.raw_items(), (b"Connection", b"close")]
            event = h11.Response(
                status_code=event.status_code, headers=headers, reason=event.reason
            )
        return super().send(event)


class Socket(WebSocketsSansIOProtocol):
    """A WebSocket; its peer may send until it has said that it ends."""

    # Python's websockets 17 breaks when an end of the connection comes while it sends.
    half_closes = False

    @property
    def still_sends(self) -> bool:
        """Whether it was opened, and the peer has not closed it."""
        return self.conn.state is not State.CONNECTING and self.conn.close_rcvd is None


class Lingering:
    """A transport that, when it is closed while the peer still sends, drops what comes for a while.

    A connection that is closed with bytes unread is reset, and the peer loses the answer that it
    has not read yet: a proxy makes 502 of it, and a client an error of the network.
    """

    def __init__(self, transport: asyncio.Transport, protocol: Http | Socket) -> None:
        self._real = transport
        self._protocol = protocol
        self.rest: _Rest | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def set_protocol(self, protocol: Http | Socket) -> None:
        """Go over to a WebSocket."""
        self._protocol = protocol
        self._real.set_protocol(protocol)

    def is_closing(self) -> bool:
        """Whether it is closed for those who write."""
        return self.rest is not None or self._real.is_closing()

    def write(self, data: bytes) -> None:
        """Send, until it is closed."""
        if self.rest is None:
            self._real.write(data)

    def pause_reading(self) -> None:
        """Leave what comes to wait, until it is closed."""
        if self.rest is None:
            self._real.pause_reading()

    def close(self) -> None:
        """Send what was written, and close, at once or when the peer has come to its end."""
        if self.is_closing():
            return
        if not self._protocol.still_sends:
            self._real.close()
            return
        self.rest = _Rest(self._real, self._protocol)
        self._real.set_protocol(self.rest)
        self._real.resume_reading()
        if self._protocol.half_closes and self._real.can_write_eof():
            self._real.write_eof()


class _Rest(asyncio.Protocol):
    """What comes after an answer: it is counted."""

    def __init__(self, transport: asyncio.Transport, before: Http | Socket) -> None:
        self.began = before.loop.time()
        self.received = 0
        self._transport = transport
        self.before = before

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        if self.received > REST_BYTES:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.before.connection_lost(exc)

    def resume_writing(self) -> None:
        self.before.resume_writing()


@dataclass
class _Progress:
    """What was seen of a connection since the beginning of a window."""

    since: float
    kind: str = ""
    request: object = None
    received: int = 0
    unsent: int = 0
    taken: int = 0


class Connections:
    """Takes connections from a socket until closed; part of what uvicorn takes for a server.

    At ``most`` the one that has waited longest for the head of a request goes, before a new one
    does.
    """

    def __init__(
        self,
        listening: socket.socket,
        make: Callable[[], asyncio.Protocol],
        open_now: Collection[Any],
        *,
        most: int,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._listening = listening
        self._make = make
        self._open = open_now
        self._most = most
        self._tls = tls
        self._seen: dict[Any, _Progress] = {}
        self._accepting: set[asyncio.Task[None]] = set()
        self._logged = -_LOG_S
        self._unlogged = 0
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        listening.setblocking(False)
        listening.listen(1024)
        self._resume()
        self._sweeping = self._loop.create_task(self._sweep())

    def close(self) -> None:
        """Take no more; those that are open stay."""
        self._loop.remove_reader(self._listening)
        if self._pause:
            self._pause.cancel()
        self._listening.close()

    async def wait_closed(self) -> None:
        """End the watch over those that were open."""
        self._sweeping.cancel()

    def _resume(self) -> None:
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                accepted, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._say("no connection can be accepted", error=str(error))
                self._make_room()
                self._loop.remove_reader(self._listening)
                self._pause = self._loop.call_later(_PAUSE_S, self._resume)
                return
            if len(self._open) + len(self._accepting) >= self._most and not self._make_room():
                self._say("connection refused: there are too many", most=self._most)
                accepted.close()
                continue
            task = self._loop.create_task(self._begin(accepted))
            self._accepting.add(task)
            task.add_done_callback(self._accepting.discard)

    async def _begin(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        limits = {"ssl_handshake_timeout": HEAD_S} if self._tls else {}
        with contextlib.suppress(OSError):
            await self._loop.connect_accepted_socket(self._make, accepted, ssl=self._tls, **limits)

    def _make_room(self) -> bool:
        """End the connection that has waited longest without a request, if there is one."""
        idle = [each for each in self._open if _waits_for_head(each)]
        if not idle:
            return False
        oldest = min(idle, key=self._room_order)
        oldest.transport.abort()
        self._seen.pop(oldest, None)
        # uvicorn forgets it in the next iteration of the loop, before which others may come.
        self._open.discard(oldest)  # type: ignore[attr-defined]
        return True

    def _room_order(self, each: Any) -> tuple[bool, float]:
        since = self._seen[each].since if each in self._seen else each.made_at
        return each.transport.rest is None, since  # those that are answered go first

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(HEAD_S / 10)
            now = self._loop.time()
            for each in list(self._open):
                seen = self._seen.setdefault(each, _Progress(now))
                if each.transport is not None and _stands_still(each, seen, now):
                    self._say("connection ended: the peer stands still", waits_for=seen.kind)
                    each.transport.abort()
            for gone in self._seen.keys() - set(self._open):
                del self._seen[gone]

    def _say(self, event: str, **fields: object) -> None:
        """Write a line, not more than one in ten seconds."""
        now = self._loop.time()
        if now - self._logged < _LOG_S:
            self._unlogged += 1
            return
        _log.warning(event, unlogged=self._unlogged, **fields)
        self._logged, self._unlogged = now, 0


def _waits_for_head(each: Any) -> bool:
    return isinstance(each, Http) and each.waits_for_head


def _stands_still(each: Any, seen: _Progress, now: float) -> bool:
    """Whether a peer has had its time; begins a new window when it does something else."""
    if rest := getattr(each.transport, "rest", None):
        return _rest_is_over(rest, seen, now)
    unsent = each.transport.get_write_buffer_size()
    kind = ""
    if unsent:
        kind = "reading"
    elif _waits_for_head(each):
        kind = "head"
    elif isinstance(each, Http) and each.waits_for_body:
        kind = "body"
    received = getattr(each, "received", 0)
    seen.taken += max(seen.unsent - unsent, 0)
    seen.unsent = unsent
    progress = received - seen.received if kind == "body" else seen.taken
    enough = kind != "head" and progress >= WINDOW_BYTES
    request = getattr(each, "cycle", None)
    if kind != seen.kind or request is not seen.request or enough:
        seen.since, seen.kind, seen.request = now, kind, request
        seen.received, seen.taken = received, 0
        return False
    return bool(kind) and now - seen.since >= (HEAD_S if kind == "head" else WINDOW_S)


def _rest_is_over(rest: _Rest, seen: _Progress, now: float) -> bool:
    if seen.kind != "rest" or rest.received > seen.received:
        seen.since, seen.kind, seen.received = now, "rest", rest.received
    silent_s = REST_SILENT_S if rest.before.half_closes else _SOCKET_REST_SILENT_S
    return now - rest.began >= REST_S or now - seen.since >= silent_s

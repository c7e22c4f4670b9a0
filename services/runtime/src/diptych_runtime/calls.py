"""The calls that a process serves now: ids, log lines, room for requests, a stop that waits.

A request has one id on its whole way. A caller may choose it, in ``x-request-id`` as gRPC metadata
or as an HTTP header; what is not one id of 1 to 128 characters of ``A-Za-z0-9._-`` is replaced by a
new one. It stands in the log of every process, in results, in the details and the trailing metadata
of errors, and in the headers of every answer over HTTP.
``x-diptych-tenant`` says to a model service on whose behalf a gateway calls, in at most 64
characters; none and a longer one mean ``""``. It is believed: only gateways call model services.
``traceparent`` and ``tracestate`` (W3C Trace Context) are passed on as they came.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, TypeAlias, TypeVar

from diptych.limits import MAX_REQUEST_BYTES

from .engine.errors import Reason, ServiceError

REQUEST_ID_KEY = "x-request-id"
TENANT_KEY = "x-diptych-tenant"
_TRACE_KEYS = ("traceparent", "tracestate")
_VALID_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_MAX_TENANT_CHARS = 64
_MAX_TRACE_CHARS = 1024  # metadata of a call may have 8 KiB; W3C asks for 512 of tracestate
_LAST_WORDS_S = 1.0
"""Time to answer a call that was ended."""
READ_S = 25.0
"""Time for a request to come."""
_FAIR_READ_S = 1.0
"""Time for a request to come when others wait for its room."""
_WAIT_S = 2.0
_MUCH_BYTES = 4 * MAX_REQUEST_BYTES
_MOST_WAITING = 256
"""Calls that may wait for room: each has sent some already."""

T = TypeVar("T")

Metadata: TypeAlias = tuple[tuple[str, str], ...]


class Account(Protocol):
    """Whoever pays for a call."""

    @property
    def name(self) -> str:
        """What services and logs call it: 1 to 64 characters of ``A-Za-z0-9_-``."""

    def serving(self) -> AbstractContextManager[None]:
        """Count the call while the context is held; raises a ``ServiceError`` on entering it."""

    def charge(self, device_s: float) -> None:
        """Add the seconds that a model worked for it."""


@dataclass(eq=False)
class Call:
    """One call under way: its id, its trace, its tenant by its own word, what its log line will
    say, its handler's task, and who pays for it if anybody does."""

    request_id: str
    trace: Metadata
    tenant: str
    fields: dict[str, object]
    task: asyncio.Task[object]
    account: Account | None = None

    @property
    def metadata(self) -> Metadata:
        """What goes with calls to other services on behalf of this one."""
        own: Metadata = ((REQUEST_ID_KEY, self.request_id), *self.trace)
        # What a caller says of itself is not passed on: only its token tells who it is.
        return own if self.account is None else (*own, (TENANT_KEY, self.account.name))


_current: contextvars.ContextVar[Call] = contextvars.ContextVar("diptych_call")


def current_call() -> Call | None:
    """Return the call being served; ``None`` outside of one."""
    return _current.get(None)


def new_request_id() -> str:
    """Make the id of a request whose caller has chosen none."""
    return os.urandom(8).hex()


def request_id() -> str:
    """Return the id of the request being served; empty outside of one."""
    return current.request_id if (current := _current.get(None)) else ""


def tenant() -> str:
    """Return the tenant that the request being served is for; empty for none."""
    return current.tenant if (current := _current.get(None)) else ""


def outgoing_metadata() -> Metadata:
    """Return the metadata of a call on behalf of the request being served; none outside of one."""
    return current.metadata if (current := _current.get(None)) else ()


def log_fields(**fields: object) -> None:
    """Add fields to the log line of the request being served."""
    current = _current.get(None)
    if current:
        current.fields.update(fields)


def log_field(name: str) -> object:
    """Read a field of the log line of the request being served; ``None`` if it has none such."""
    return current.fields.get(name) if (current := _current.get(None)) else None


def account() -> Account | None:
    """Return who pays for the request being served; ``None`` for nobody."""
    return current.account if (current := _current.get(None)) else None


def account_name() -> str:
    """Return the name of who pays for the request being served; empty for nobody."""
    payer = account()
    return payer.name if payer else ""


class Calls:
    """Handlers that are running in one server, as tasks.

    ``grpc.aio.Server.stop`` waits for calls, not for their handlers (grpc#37239), waits its whole
    grace for a health ``Watch`` that never ends, and answers those it ends without a reason.
    """

    def __init__(self) -> None:
        self._served: set[asyncio.Task[object]] = set()
        self._probes: set[asyncio.Task[object]] = set()
        self._ended: set[asyncio.Task[object]] = set()

    def enter(
        self,
        headers: Iterable[tuple[str, str | bytes]],
        fields: Mapping[str, object] = MappingProxyType({}),
        *,
        probe: bool,
    ) -> Call:
        """Count the task that runs now as a new call, which it serves from now on.

        Args:
            headers: Metadata or headers of the call, with names in lower case.
            fields: Begin the call's log line.
            probe: Whether nobody waits for it when the server stops.
        """
        task = asyncio.current_task()
        assert task is not None
        (self._probes if probe else self._served).add(task)
        call = Call(*_identity(headers), dict(fields), task)
        _current.set(call)
        return call

    def leave(self, call: Call) -> None:
        """Forget a call whose handler has ended."""
        for tasks in (self._served, self._probes, self._ended):
            tasks.discard(call.task)

    def ended(self, call: Call) -> bool:
        """Whether the handler of a call was ended because the server stops."""
        return call.task in self._ended

    async def settle(self, grace_s: float) -> None:
        """Wait up to ``grace_s`` seconds until nobody but probes is served."""
        if self._served:
            await asyncio.wait(set(self._served), timeout=grace_s)

    async def finish(self, grace_s: float) -> None:
        """End the probes, wait up to ``grace_s`` seconds for the others, then end those too."""
        await self._end(self._probes)
        await self.settle(grace_s)
        await self._end(self._served)

    async def _end(self, tasks: set[asyncio.Task[object]]) -> None:
        ending = set(tasks)
        self._ended |= ending
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending, timeout=_LAST_WORDS_S)


class RequestBytes:
    """Counts the bytes of requests that a process holds, and lets nobody begin one for which there
    is no room: what is refused is not read.

    gRPC does not say how large a message is that comes, so it counts as the largest until it is
    there. Whoever sends slowly may do so until others wait for the room.
    """

    def __init__(
        self, most_bytes: int, on_relief: Callable[[], None] = lambda: None, read_s: float = READ_S
    ) -> None:
        """``on_relief`` is called whenever the last of several large requests is gone."""
        self.used = 0
        self._most_bytes = max(most_bytes, MAX_REQUEST_BYTES)
        self._on_relief = on_relief
        self._read_s = read_s
        self._peak = 0
        self._reading: dict[asyncio.Timeout, float] = {}
        self._evicted: set[asyncio.Timeout] = set()
        self._waiting: list[asyncio.Future[None]] = []

    def hold(self, nbytes: int = 0) -> HeldBytes:
        """Count the bytes of a request until the context ends.

        Raises:
            ServiceError: QUEUE_FULL.
        """
        held = HeldBytes(self)
        held.resize(nbytes)
        return held

    def fits(self, nbytes: int) -> bool:
        """Whether so many bytes more have room."""
        return self.used + nbytes <= self._most_bytes

    def count(self, nbytes: int) -> None:
        """Count so many bytes more, or fewer."""
        self.used += nbytes
        if nbytes > 0:
            self._peak = max(self._peak, self.used)
            return
        if self._waiting:
            self._waiting.pop().set_result(None)
        if self._peak > _MUCH_BYTES and self.used < MAX_REQUEST_BYTES:
            self._peak = 0
            self._on_relief()

    async def read(
        self,
        held: HeldBytes,
        message: Callable[[], Awaitable[T]],
        largest: int = MAX_REQUEST_BYTES,
        within_s: float | None = None,
    ) -> T:
        """Read what counts as ``largest`` bytes while it comes, and as so many after it.

        Raises:
            ServiceError: QUEUE_FULL, or DEADLINE if it does not come.
        """
        within_s = self._read_s if within_s is None else within_s
        if not self.fits(largest):
            await self._wait_for_room(largest)
        held.resize(largest)
        try:
            async with asyncio.timeout(within_s) as limit:
                self._reading[limit] = asyncio.get_running_loop().time()
                return await message()
        except TimeoutError as error:
            if limit in self._evicted:
                raise _no_room() from error
            text = f"expected the request within {within_s:g} s, got less"
            raise ServiceError(Reason.DEADLINE, text) from error
        finally:
            self._reading.pop(limit, None)
            self._evicted.discard(limit)

    async def _wait_for_room(self, nbytes: int) -> None:
        """Wait a little for those who are reading; the last to come is the first to go on."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _WAIT_S
        while not self.fits(nbytes):
            crowded = len(self._waiting) >= _MOST_WAITING
            if crowded or not self._reading or loop.time() >= until:
                raise _no_room()
            oldest, since = next(iter(self._reading.items()))
            fair = since + _FAIR_READ_S - loop.time()
            if fair <= 0:
                self._reading.pop(oldest)
                self._evicted.add(oldest)
                oldest.reschedule(loop.time())
                fair = _FAIR_READ_S
            room = loop.create_future()
            self._waiting.append(room)
            try:
                await asyncio.wait([room], timeout=min(fair, until - loop.time()))
            finally:
                if not room.done():
                    self._waiting.remove(room)


class HeldBytes(AbstractContextManager["HeldBytes"]):
    """The bytes of one request; made by ``RequestBytes``."""

    def __init__(self, all_bytes: RequestBytes) -> None:
        self._all = all_bytes
        self._nbytes = 0

    def resize(self, nbytes: int) -> None:
        """Hold so many from now on.

        Raises:
            ServiceError: QUEUE_FULL: there is no room for more.
        """
        more = nbytes - self._nbytes
        if more > 0 and not self._all.fits(more):
            raise _no_room()
        self._nbytes = nbytes
        self._all.count(more)

    def __exit__(self, *_: object) -> None:
        self.resize(0)


def _no_room() -> ServiceError:
    text = "too many bytes of requests are under way"
    return ServiceError(Reason.QUEUE_FULL, text, retry_after_s=1.0)


def _identity(headers: Iterable[tuple[str, str | bytes]]) -> tuple[str, Metadata, str]:
    """Find id, trace and tenant of a call; a new id unless its headers have one valid one."""
    ids: list[str | bytes] = []
    trace: list[tuple[str, str]] = []
    tenant = ""
    for name, value in headers:
        if name == REQUEST_ID_KEY:
            ids.append(value)
        elif name in _TRACE_KEYS and isinstance(value, str):
            trace.append((name, value))
        elif name == TENANT_KEY and isinstance(value, str) and len(value) <= _MAX_TENANT_CHARS:
            tenant = value
    chosen = ids[0] if len(ids) == 1 else ""
    if not isinstance(chosen, str) or not _VALID_ID.fullmatch(chosen):
        chosen = new_request_id()
    return chosen, _sendable(trace), tenant


def _sendable(trace: list[tuple[str, str]]) -> Metadata:
    """Return the trace, or nothing if gRPC would refuse a call for it."""
    text = "".join(value for _, value in trace)
    if len(text) > _MAX_TRACE_CHARS or not (text.isascii() and text.isprintable()):
        return ()
    return tuple(trace)

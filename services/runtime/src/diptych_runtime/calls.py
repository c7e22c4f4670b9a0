"""The calls that a process serves now: their ids, their log lines, and a stop that waits for them.

A request has one id on its whole way. A caller may choose it, in ``x-request-id`` as gRPC metadata
or as an HTTP header; what is not one id of 1 to 128 characters of ``A-Za-z0-9._-`` is replaced by a
new one. It stands in the log of every process, in results, in the details and the trailing metadata
of errors, and in the headers of every answer over HTTP.
``traceparent`` and ``tracestate`` (W3C Trace Context) are passed on as they came.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

REQUEST_ID_KEY = "x-request-id"
_TRACE_KEYS = ("traceparent", "tracestate")
_VALID_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_MAX_TRACE_CHARS = 1024  # metadata of a call may have 8 KiB; W3C asks for 512 of tracestate
_LAST_WORDS_S = 1.0
"""Time to answer a call that was ended."""

Metadata: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class Call:
    """One call under way: its id, its trace, what its log line will say, and its handler's task."""

    request_id: str
    trace: Metadata
    fields: dict[str, object]
    task: asyncio.Task[object]

    @property
    def metadata(self) -> Metadata:
        """What goes with calls to other services on behalf of this one."""
        return ((REQUEST_ID_KEY, self.request_id), *self.trace)


_current: contextvars.ContextVar[Call] = contextvars.ContextVar("diptych_call")


def request_id() -> str:
    """Return the id of the request being served; empty outside of one."""
    current = _current.get(None)
    return current.request_id if current else ""


def outgoing_metadata() -> Metadata:
    """Return the metadata of a call on behalf of the request being served; none outside of one."""
    current = _current.get(None)
    return current.metadata if current else ()


def log_fields(**fields: object) -> None:
    """Add fields to the log line of the request being served."""
    current = _current.get(None)
    if current:
        current.fields.update(fields)


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


def _identity(headers: Iterable[tuple[str, str | bytes]]) -> tuple[str, Metadata]:
    """Find id and trace of a call; a new id unless its headers have one valid one."""
    ids: list[str | bytes] = []
    trace: list[tuple[str, str]] = []
    for name, value in headers:
        if name == REQUEST_ID_KEY:
            ids.append(value)
        elif name in _TRACE_KEYS and isinstance(value, str):
            trace.append((name, value))
    chosen = ids[0] if len(ids) == 1 else ""
    if not isinstance(chosen, str) or not _VALID_ID.fullmatch(chosen):
        chosen = os.urandom(8).hex()
    return chosen, _sendable(trace)


def _sendable(trace: list[tuple[str, str]]) -> Metadata:
    """Return the trace, or nothing if gRPC would refuse a call for it."""
    text = "".join(value for _, value in trace)
    if len(text) > _MAX_TRACE_CHARS or not (text.isascii() and text.isprintable()):
        return ()
    return tuple(trace)

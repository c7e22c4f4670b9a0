"""What a stream of grpc.aio ended with: the peer's own status, whatever a write had to say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import grpc
import grpc.aio

_T = TypeVar("_T")

_LATE_S = 5.0
_OF_A_WRITE = (grpc.StatusCode.INTERNAL, "Internal error from Core")


class StreamEnd:
    """The end of one call, which has just been made.

    A write that finds the call ended makes grpcio set INTERNAL as its status, in place of the one
    that the peer sent, be that before it has come or after. This keeps the peer's, which comes once
    everything before it was read, and then calls ``on_end``.
    """

    def __init__(self, call: Any, on_end: Callable[[], None] = lambda: None) -> None:
        self._on_end = on_end
        self._ended = asyncio.Event()
        self._error: grpc.aio.AioRpcError | None = None
        call.add_done_callback(self._note)

    async def error(self) -> grpc.aio.AioRpcError | None:
        """What the call, which is over, has failed with; ``None`` if it ended well."""
        try:
            await asyncio.wait_for(self._ended.wait(), _LATE_S)
        except asyncio.TimeoutError:  # the peer's never came: what grpcio said has to do
            return grpc.aio.AioRpcError(_OF_A_WRITE[0], None, None, _OF_A_WRITE[1])
        return self._error

    def _note(self, call: Any) -> None:
        """Take a status; grpcio calls this again for each that it sets."""
        code, details = _now(call.code()), _now(call.details())
        trailers = _now(call.trailing_metadata())
        if self._ended.is_set() or ((code, details) == _OF_A_WRITE and not trailers):
            return
        if code is not grpc.StatusCode.OK:
            first = _now(call.initial_metadata())
            self._error = grpc.aio.AioRpcError(code, first, trailers, details)
        self._ended.set()
        self._on_end()


def _now(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """The result of a coroutine that has nothing to wait for: a task would come too late."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: _T = end.value
        return result
    coroutine.close()
    raise RuntimeError("the call is not over")

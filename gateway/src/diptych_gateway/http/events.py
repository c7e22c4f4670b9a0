"""A comparison as server-sent events: each model's answer as it comes, the agreements last."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from diptych import MaskEncoding, ModelOutcome
from diptych.documents.results import agreement_document, outcome_document
from diptych.segment import v1 as pb
from diptych.wire.comparison import read_compare_event

from ..compare.fanout import FanOut
from ..compare.replies import ComparisonStream
from .disconnect import unless_disconnected
from .field_paths import outcome_with_form_paths

MEDIA_TYPE = "text/event-stream"
_QUIET_S = 15.0  # proxies close connections on which nothing happens for a minute or less
_KEEPALIVE = b": still working\n\n"


class ComparisonEvents(Response):
    """The answer to a request for a stream; the models are asked when it is sent."""

    media_type = MEDIA_TYPE

    def __init__(self, fan_out: FanOut, encoding: MaskEncoding) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._fan_out = fan_out
        self._encoding = encoding

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await unless_disconnected(receive, self._send(send))

    async def _send(self, send: Send) -> None:
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        stream = ComparisonStream(self._fan_out)
        try:
            async for message in _with_keepalives(stream.events()):
                chunk = _KEEPALIVE
                if message is not None:
                    chunk = await asyncio.to_thread(_event_of, message, self._encoding)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            stream.cancel()
        await send({"type": "http.response.body", "body": b""})


def event(name: str, document: object) -> bytes:
    """Write one event; JSON on one line needs no more than one line of data."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    return f"event: {name}\ndata: {text}\n\n".encode()


def _event_of(message: pb.StreamCompareResponse, encoding: MaskEncoding) -> bytes:
    read = read_compare_event(message)
    assert read is not None
    if isinstance(read, ModelOutcome):
        return event("outcome", outcome_document(outcome_with_form_paths(read), encoding))
    return event("agreements", [agreement_document(pair) for pair in read])


async def _with_keepalives(
    messages: AsyncIterator[pb.StreamCompareResponse],
) -> AsyncIterator[pb.StreamCompareResponse | None]:
    """Yield the messages, and ``None`` whenever there was none for a while."""
    coming = asyncio.ensure_future(anext(messages, None))
    try:
        while True:
            await asyncio.wait({coming}, timeout=_QUIET_S)
            if not coming.done():
                yield None
                continue
            message = coming.result()
            if message is None:
                return
            yield message
            coming = asyncio.ensure_future(anext(messages, None))
    finally:
        coming.cancel()

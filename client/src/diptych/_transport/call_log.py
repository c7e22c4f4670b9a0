"""A line for each call, for programs that ask for it: ``logging.getLogger("diptych")`` at INFO."""

from __future__ import annotations

import logging
import time

from google.protobuf.message import Message

from .._types.errors import DiptychError

_LOG = logging.getLogger("diptych")


class CallLog:
    """What is told of one attempt: method, model, request id, status, seconds and bytes.

    Never a picture, a mask, a token or an address. The same as fields of their own are in the
    record's ``diptych``, for handlers that write JSON.
    """

    def __init__(self, request: Message) -> None:
        self._request = request
        self._begun = time.monotonic()

    def answered(self, reply: object = None) -> None:
        """Tell that there is an answer; of streamed ones there is no single message."""
        if _LOG.isEnabledFor(logging.INFO):
            size = reply.ByteSize() if isinstance(reply, Message) else None
            self._tell("OK", str(getattr(reply, "request_id", "")), size)

    def failed(self, error: DiptychError) -> None:
        """Tell why there is none."""
        if _LOG.isEnabledFor(logging.INFO):
            reason = error.reason or type(error).__name__
            code = error.code.name if error.code else "UNKNOWN"
            self._tell(f"{code} {reason}", error.request_id, None)

    def _tell(self, status: str, request_id: str, received: int | None) -> None:
        fields: dict[str, object] = {
            "method": type(self._request).__name__.removesuffix("Request"),
            "model": _models(self._request),
            "status": status,
            "seconds": round(time.monotonic() - self._begun, 4),
            "sent_bytes": self._request.ByteSize(),
            "received_bytes": received,
            "request_id": request_id,
        }
        said = " ".join(f"{name}={value}" for name, value in fields.items() if value or value == 0)
        _LOG.info(said, extra={"diptych": fields})


def session_opened() -> None:
    """Tell that a video session begins; what ends it is an event of its own."""
    if _LOG.isEnabledFor(logging.INFO):
        _LOG.info("method=SegmentVideo opened", extra={"diptych": {"method": "SegmentVideo"}})


def _models(request: Message) -> str:
    """The models that a request names; empty if the server chooses."""
    one = getattr(request, "model_id", "")
    return str(one or ",".join(getattr(request, "model_ids", ())))

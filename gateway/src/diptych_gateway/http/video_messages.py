"""The messages of a video session over a WebSocket, and those of gRPC that they stand for.

Text is JSON whose ``event`` says what it is. A binary message is a frame: its index in 8 bytes, the
highest first, then the file. Messages are numbered by both sides, the first is 1; an answer has
the number of its question as ``in_reply_to``, or 0.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from diptych import MaskEncoding, OutputOptions, VideoRefusal
from diptych.documents.results import plain
from diptych.documents.video import video_frame_document
from diptych.limits import SERVER_IDS
from diptych.segment import v1 as pb
from diptych.wire.serialized import frame_bytes
from diptych.wire.video import (
    prompt_request,
    read_going_away,
    read_started,
    read_video_event,
    removal_request,
    start_request,
)
from diptych_runtime.engine import Reason, invalid

from . import problems
from .forms import MAX_OPTIONS_BYTES
from .options import FIELDS, Output, PromptOptions, check_json, fitting_numbers, refusal

INDEX_BYTES = 8
_MAX_INDEX = 2**63
_ObjectId = Annotated[int, Field(ge=0, lt=SERVER_IDS)]


class StartMessage(BaseModel):
    """Opens the session; the first message."""

    model_config = PromptOptions.model_config

    event: Literal["start"]
    model: str
    token: str = ""
    """As in ``Authorization``, where the gateway asks for one."""
    output: Output | None = None  # type: ignore[valid-type]
    track_all: bool = False
    timeout_s: Annotated[float, Field(gt=0)] | None = None
    """Seconds until the session has to be over; none if left out."""

    def request(self) -> pb.SegmentVideoRequest:
        return start_request(self.model, self._output, self.track_all)

    @property
    def mask_encoding(self) -> MaskEncoding:
        """How masks are to be written."""
        return self._output.mask_encoding

    @property
    def _output(self) -> OutputOptions:
        return OutputOptions(**dict(self.output)) if self.output else OutputOptions()


class PromptMessage(PromptOptions):
    """Says where an object is on a frame that is still held."""

    event: Literal["prompt"]
    object_id: _ObjectId
    frame_index: Annotated[int, Field(lt=_MAX_INDEX)]

    def request(self) -> pb.SegmentVideoRequest:
        return prompt_request(self.object_id, self.frame_index, self.prompt())


class RemovalMessage(BaseModel):
    """Stops tracking an object."""

    model_config = PromptOptions.model_config

    event: Literal["removal"]
    object_id: _ObjectId

    def request(self) -> pb.SegmentVideoRequest:
        return removal_request(self.object_id)


class EndMessage(BaseModel):
    """Nothing more is sent; what is under way is answered."""

    model_config = PromptOptions.model_config

    event: Literal["end"]


_KINDS: dict[str, type[PromptMessage] | type[RemovalMessage] | type[EndMessage]] = {
    "prompt": PromptMessage,
    "removal": RemovalMessage,
    "end": EndMessage,
}
_FIELDS = FIELDS.union(
    StartMessage.model_fields, PromptMessage.model_fields, RemovalMessage.model_fields
)


def read_start(text: str) -> StartMessage:
    """Read the first message.

    Raises:
        ServiceError: it is none.
    """
    _check_size(text)
    try:
        return StartMessage.model_validate_json(text)
    except ValidationError as error:
        raise refusal(error, _FIELDS) from error


def read_text(text: str) -> pb.SegmentVideoRequest | None:
    """Read any later message of text, not numbered yet; ``None`` for the end.

    Raises:
        ServiceError: it is none.
    """
    _check_size(text)
    kind = _kind(text)
    reason = Reason.PROMPT_INVALID if kind is PromptMessage else Reason.OPTION_INVALID
    try:
        message = kind.model_validate_json(text)
    except ValidationError as error:
        raise refusal(error, _FIELDS, reason) from error
    with fitting_numbers():
        return None if isinstance(message, EndMessage) else message.request()


def _check_size(text: str) -> None:
    if len(text) > MAX_OPTIONS_BYTES:
        wanted = f"expected at most {MAX_OPTIONS_BYTES} characters"
        raise invalid(Reason.OPTION_INVALID, "", f"{wanted}, got {len(text)}")
    check_json(text.encode("utf-8", "replace"), "")


def _kind(text: str) -> type[PromptMessage] | type[RemovalMessage] | type[EndMessage]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    event = document.get("event") if isinstance(document, dict) else None
    if event == "start":
        raise invalid(Reason.SESSION_ORDER, "event", "the session has started already")
    kind = _KINDS.get(event) if isinstance(event, str) else None
    if kind is None:
        text = f"expected JSON with one of {', '.join(_KINDS)}, got {str(event)[:100]}"
        raise invalid(Reason.OPTION_INVALID, "event", text)
    return kind


def read_frame(data: bytes, number: int) -> bytes:
    """Read a frame; returns it serialised, with its number in the session.

    Raises:
        ServiceError: it is none.
    """
    index = int.from_bytes(data[:INDEX_BYTES])
    if len(data) <= INDEX_BYTES or index >= _MAX_INDEX:
        text = f"expected {INDEX_BYTES} bytes of an index below 2**63 and a file"
        raise invalid(Reason.OPTION_INVALID, "frame", f"{text}, got {len(data)} bytes")
    return frame_bytes(number, index, memoryview(data)[INDEX_BYTES:])


def answer_text(
    raw: bytes, request_id: str, encoding: MaskEncoding = MaskEncoding.COCO_RLE
) -> str | None:
    """Translate a model's answer as it is sent, masks in this encoding; ``None`` for one that
    this side does not know.

    Raises:
        DecodeError, DiptychError: it is no answer.
    """
    message = pb.SegmentVideoResponse.FromString(raw)
    event = message.WhichOneof("event")
    number = message.in_reply_to_seq
    if event == "started":
        limits, provenance = read_started(message)
        return _text(event, number, limits=plain(limits), provenance=plain(provenance))
    if event == "ack":
        return _text("done", number)
    if event == "going_away":
        return _text(event, number, grace_s=read_going_away(message))
    found = read_video_event(message)
    if isinstance(found, VideoRefusal):
        return refused_text(found.error, number, request_id, found.frame_index)
    if found is None:
        return None
    return _text("frame", number, **video_frame_document(found, encoding))


def refused_text(
    error: Exception, number: int, request_id: str, frame_index: int | None = None
) -> str:
    """Say that a message was refused; the session goes on."""
    problem = problems.document(error, request_id)
    return _text("refused", number, frame_index=frame_index, problem=problem)


def failed_text(problem: Any) -> str:
    """Say why the session is over; the last message."""
    return _text("failed", 0, problem=problem)


def _text(event: str, number: int, **fields: Any) -> str:
    document = {"event": event, "in_reply_to": number, **fields}
    return json.dumps(document, ensure_ascii=False, allow_nan=False)

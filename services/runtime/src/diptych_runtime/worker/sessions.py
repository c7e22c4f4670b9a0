"""All video sessions of an engine process: takes their messages, and writes their replies."""

from __future__ import annotations

import queue
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import structlog
from google.rpc import status_pb2

from diptych.segment import v1 as pb
from diptych.wire.requests import read_output
from diptych.wire.video import ack_reply, refusal_reply

from ..engine.errors import Reason, ServiceError
from ..engine.protocol import LoadedModel
from ..engine.video import VideoEngine, VideoOptions
from ..ipc.pipe import EnginePipe, Header
from .live_session import Event, LiveSession, Result
from .replies import VideoReplyWriter
from .scheduler import Scheduler
from .work import EngineContext

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class SessionHost:
    """Routes between the pipe, the decoder of frames, the model and the writer of replies."""

    def __init__(
        self,
        pipe: EnginePipe,
        scheduler: Scheduler,
        context: EngineContext,
        model_id: str,
        mark: Callable[..., None],
    ) -> None:
        self._mark = mark
        self._pipe = pipe
        self._scheduler = scheduler
        self._context = context
        self._writer = VideoReplyWriter(model_id, context.loaded, context.settings)
        self._sessions: dict[int, LiveSession] = {}
        self._to_prepare: queue.SimpleQueue[LiveSession] = queue.SimpleQueue()
        self._to_reply: queue.SimpleQueue[_Reply] = queue.SimpleQueue()

    def receive(self, header: Header, body: bytes) -> None:
        """Take one message of the front: the first of a session opens it."""
        number = header["id"]
        if header["op"] == "session_drop":
            if session := self._sessions.get(number):
                session.dropped.set()
                self._scheduler.add_session(session)
            return
        refusal = body if header["op"] == "session_refusal" else b""
        request = pb.SegmentVideoRequest.FromString(b"" if refusal else body)
        event = Event(header["received"], request, refusal)
        event.closes = header["op"] == "session_close"
        if header["op"] == "session_open":
            self._sessions[number] = self._opened(number, header["request_id"], request.start)
        if session := self._sessions.get(number):
            session.put(event)

    def prepare_next(self) -> None:
        """Wait for a session that has something to decode, and do it."""
        session = self._to_prepare.get()
        session.prepare()
        self._scheduler.add_session(session)

    def reply_next(self) -> None:
        """Wait for something to reply, and write it."""
        reply = self._to_reply.get()
        session = reply.session
        head: Header = {"op": "session", "id": session.number}
        if reply.event is None:
            error = reply.result if isinstance(reply.result, Exception) else None
            body = _status(session, error).SerializeToString() if error else b""
            self._pipe.send({**head, "op": "session_end"}, body)
            return
        head["nbytes"] = reply.nbytes
        head["model_s"] = 0.0
        if reply.event.refusal:
            self._pipe.send({**head, "last": True}, reply.event.refusal)
            return
        messages = self._messages(session, reply.event, reply.result)
        for index, message in enumerate(messages, start=1):
            message.in_reply_to_seq = reply.event.request.seq
            if last := index == len(messages):
                head["model_s"] = reply.event.model_s
            self._pipe.send({**head, "last": last}, message.SerializeToString())

    def _opened(self, number: int, request_id: str, start: pb.VideoStart) -> LiveSession:
        loaded, settings = self._context.loaded, self._context.settings
        return LiveSession(
            number,
            request_id,
            _options(start, loaded, settings.max_video_objects, settings.held_frames),
            engine=cast(VideoEngine, self._context.engine),
            mark=partial(self._mark, number),
            decode=self._context.decode,
            on_answered=self._answered,
            on_waiting=self._to_prepare.put,
            on_ended=self._ended,
        )

    def _answered(self, session: LiveSession, event: Event, result: Result) -> None:
        self._to_reply.put(_Reply(session, event, result, session.nbytes))

    def _ended(self, session: LiveSession, error: Exception | None) -> None:
        self._sessions.pop(session.number, None)
        self._to_reply.put(_Reply(session, None, error or [], 0))

    def _messages(
        self, session: LiveSession, event: Event, result: Result
    ) -> list[pb.SegmentVideoResponse]:
        try:
            if isinstance(result, Exception):
                return [refusal_reply(event.request, _status(session, result))]
            if event.request.HasField("start"):
                return [self._writer.started()]
            if not result:
                return [ack_reply()]
            encoding = session.options.output.mask_encoding
            return [self._writer.frame(reply, event, encoding) for reply in result]
        except Exception as error:  # of an engine that answers nonsense
            return [refusal_reply(event.request, _status(session, error))]


@dataclass(frozen=True)
class _Reply:
    """What to reply; without an event, that the session has ended."""

    session: LiveSession
    event: Event | None
    result: Result
    nbytes: int


def _options(
    start: pb.VideoStart, loaded: LoadedModel, max_objects: int, held_frames: int
) -> VideoOptions:
    output = read_output(start.output)
    floor = loaded.default_min_score if output.min_score is None else output.min_score
    limit = output.max_segments or loaded.default_max_segments
    return VideoOptions(
        output=replace(output, min_score=floor, max_segments=limit),
        track_all=start.track_all,
        max_objects=max_objects,
        held_frames=held_frames,
    )


def _status(session: LiveSession, error: Exception) -> status_pb2.Status:
    """Make the status of an error; what is not a ``ServiceError`` is logged and hidden."""
    if not isinstance(error, ServiceError):
        _log.error("video message failed", request_id=session.request_id, exc_info=error)
        error = ServiceError(Reason.MODEL_FAILED, f"internal error {session.request_id}")
    return error.to_status(session.request_id)

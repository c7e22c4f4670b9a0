"""One video session inside the engine process: its messages wait here, and are answered in order.

Three threads meet in it. The pipe's puts messages in, a decoder's prepares the next one while the
model works on the one before, and the model's runs one step at a time.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from diptych.segment import v1 as pb

from ..engine.errors import Reason, ServiceError, Violation
from ..engine.protocol import DeviceLostError, Pixels, Steps
from ..engine.video import FrameAnswer, VideoEngine, VideoOptions, VideoSession
from ..engine.video_errors import not_held, other_size, out_of_order
from ..wire.image_files import Note
from ..wire.prompt_checks import check_video_prompt


@dataclass
class Event:
    """One message of a session, its state, and where its time went (seconds)."""

    received: float
    """Reading of the monotonic clock, which all processes of a machine share."""
    request: pb.SegmentVideoRequest
    refusal: bytes = b""
    """A serialised reply: the front refused the message, and this is sent in its order."""
    closes: bool = False
    """Not a message but the end of them."""
    pixels: Pixels | None = None
    warnings: list[str] = field(default_factory=list)
    """What is wrong with the frame's file, though its pixels are all there."""
    error: Exception | None = None
    decode_s: float = 0.0
    model_s: float = 0.0


@dataclass(frozen=True)
class FrameReply:
    """The objects of one frame, for the ``revision``-th time; ``size`` is (height, width)."""

    answer: FrameAnswer
    revision: int
    size: tuple[int, int]
    warnings: tuple[str, ...] = ()


Result = list[FrameReply] | Exception
Decode = Callable[[bytes, Callable[[], None], Note], Pixels]
"""``EngineContext.decode``."""
OnAnswered = Callable[["LiveSession", Event, Result], None]


class LiveSession:
    """Implements ``scheduler.SteppedSession``.

    ``mark`` is called before what may end the process, and after it, with whether it begins and,
    by the thread that prepares, as ``decoding``. ``on_answered`` gets each message in order;
    ``on_waiting`` is called when the next one can be prepared; ``on_ended`` when everything is
    freed.
    """

    def __init__(
        self,
        number: int,
        request_id: str,
        options: VideoOptions,
        *,
        engine: VideoEngine,
        decode: Decode,
        on_answered: OnAnswered,
        on_waiting: Callable[[LiveSession], None],
        on_ended: Callable[[LiveSession, Exception | None], None],
        mark: Callable[..., None] = lambda *_, **__: None,
    ) -> None:
        self._mark = mark
        self.number = number
        self.request_id = request_id
        self.options = options
        self.dropped = threading.Event()
        self._engine = engine
        self._decode_frame = decode
        self._on_answered = on_answered
        self._on_waiting = on_waiting
        self._on_ended = on_ended
        self._lock = threading.Lock()
        self._waiting: deque[Event] = deque()
        self._prepared: Event | None = None
        self._preparing = False
        # From here on only the model's thread.
        self._session: VideoSession | None = None
        self._closed = False
        self._current: tuple[Event, Steps[list[FrameReply]]] | None = None
        self._size: tuple[int, int] | None = None
        self._newest = -1
        self._revisions: dict[int, int] = {}

    def put(self, event: Event) -> None:
        """Queue a message; the front sends no more than the settings allow."""
        with self._lock:
            self._waiting.append(event)
        self._announce()

    def prepare(self) -> None:
        """Decode the next message's frame; called by one thread after each ``on_waiting``."""
        with self._lock:
            if not self._waiting:  # it was closed meanwhile
                return
            event = self._waiting.popleft()
        if event.request.WhichOneof("event") == "frame" and not self.dropped.is_set():
            self._mark(True, decoding=True)
            self._decode(event)
            self._mark(False, decoding=True)
        with self._lock:
            self._prepared, self._preparing = event, False

    def step(self) -> bool:
        """Run one step; returns whether another can follow at once."""
        if self._closed:
            return False
        if self.dropped.is_set():
            self._close(None)
            return False
        if self._current is None:
            event = self._take()
            if event is None:
                return False
            if event.closes:
                self._close(None)
                return False
            if event.error is not None:
                # Not raised, and not left in the event: the two would keep each other alive.
                error, event.error = event.error, None
                self._on_answered(self, event, error)
                return self._prepared is not None
            self._current = (event, self._work(event))
        self._mark(True)
        self._advance(*self._current)
        self._mark(False)
        return not self._closed and (self._current is not None or self._prepared is not None)

    @property
    def nbytes(self) -> int:
        """Memory that the engine's session keeps; to be read by the model's thread."""
        return self._session.nbytes if self._session and not self._closed else 0

    def _announce(self) -> None:
        with self._lock:
            if self._preparing or self._prepared is not None or not self._waiting:
                return
            self._preparing = True
        self._on_waiting(self)

    def _take(self) -> Event | None:
        with self._lock:
            event, self._prepared = self._prepared, None
        self._announce()
        return event

    def _decode(self, event: Event) -> None:
        started = time.monotonic()
        try:
            encoded, note = event.request.frame.encoded, event.warnings.append
            event.pixels = self._decode_frame(encoded, self._check_wanted, note)
        except ServiceError as error:
            event.error = _of_frame(error)
        except Exception as error:
            event.error = error
        event.decode_s = time.monotonic() - started

    def _check_wanted(self) -> None:
        if self.dropped.is_set():
            raise ServiceError(Reason.SESSION_LOST, "the session has ended; nobody reads this")

    def _advance(self, event: Event, steps: Steps[list[FrameReply]]) -> None:
        started = time.monotonic()
        try:
            next(steps)
        except StopIteration as stop:
            self._finish(event, started, stop.value)
        except DeviceLostError:
            raise
        except Exception as error:  # not kept in a name, or its traceback would keep this frame
            self._finish(event, started, error)
        else:
            event.model_s += time.monotonic() - started

    def _finish(self, event: Event, started: float, result: Result) -> None:
        event.model_s += time.monotonic() - started
        self._current = None
        if self._session is None and isinstance(result, Exception):
            self._close(result)  # it could not be opened
        else:
            self._on_answered(self, event, result)

    def _close(self, error: Exception | None) -> None:
        """Free everything and report it; ``error`` is why the session was never open."""
        if self._current:
            with contextlib.suppress(Exception):  # nobody waits for it any more
                self._current[1].close()
        self._current = None
        self._closed = True
        with self._lock:
            self._waiting.clear()
            self._prepared = None
        try:
            if self._session:
                self._session.close()
        finally:
            self._session = None
            self._on_ended(self, error)

    def _work(self, event: Event) -> Steps[list[FrameReply]]:
        """Do what a message says; no replies means that it is only acknowledged."""
        if event.refusal:
            return []
        kind = event.request.WhichOneof("event")
        if kind == "start":
            self._session = self._engine.open_session(self.options)
            return []
        assert self._session is not None
        if kind == "frame":
            return [(yield from self._frame(self._session, event))]
        if kind == "prompt":
            return (yield from self._prompt(self._session, event.request.prompt))
        self._session.remove(event.request.removal.object_id)
        return []

    def _frame(self, session: VideoSession, event: Event) -> Steps[FrameReply]:
        index, pixels = event.request.frame.frame_index, event.pixels
        assert pixels is not None
        event.pixels = None
        size = (pixels.shape[0], pixels.shape[1])
        if index <= self._newest:
            raise out_of_order(index, self._newest)
        if self._size is not None and self._size != size:
            raise other_size(size, self._size)
        answer = yield from session.add_frame(index, pixels)
        if answer.frame_index != index:
            raise ValueError(f"expected an answer of frame {index}, got {answer.frame_index}")
        self._newest, self._size = index, size
        self._revisions[index] = 0
        if len(self._revisions) > self.options.held_frames:
            del self._revisions[next(iter(self._revisions))]
        return FrameReply(answer, 0, size, tuple(event.warnings))

    def _prompt(self, session: VideoSession, message: pb.VideoPrompt) -> Steps[list[FrameReply]]:
        index, size = message.frame_index, self._size
        if size is None or index not in self._revisions:
            raise not_held(index, self._revisions)
        prompt = check_video_prompt(message.prompt, "prompt.prompt", size)
        answers = yield from session.prompt(message.object_id, index, prompt)
        for answer in answers:
            self._revisions[answer.frame_index] += 1
        return [FrameReply(a, self._revisions[a.frame_index], size) for a in answers]


def _of_frame(error: ServiceError) -> ServiceError:
    """Put the decoder's refusal in terms of a frame."""
    found = [Violation("frame.encoded", v.description) for v in error.violations]
    text = error.message.partition(": ")[2]
    return ServiceError(
        error.reason, f"frame.encoded: {text}", metadata=error.metadata, violations=found
    )

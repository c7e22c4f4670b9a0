"""One model that follows objects through a whole clip: in order, and past lost sessions."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import click

from ... import (
    Client,
    DeadlineExceededError,
    DiptychError,
    MessageTooLargeError,
    OverloadedError,
    RequestCancelledError,
    ServerError,
    SessionLostError,
    UnavailableError,
    VideoCheckpoint,
    VideoEvent,
    VideoFrame,
    VideoFrameResult,
    VideoPrompt,
    VideoReader,
    VideoSession,
)
from ..._clips.plan import ClipPlan, merged
from .._exits import describe, report
from .._progress import with_progress
from .prompts import Plan

_T = TypeVar("_T")
_TRIES = 8  # with the pauses, most of a minute: weights take a while to load
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0


@dataclass(frozen=True)
class Settled:
    """A model's last word on a frame: a result, or why there is none."""

    frame_index: int
    result: VideoFrameResult | None
    error: DiptychError | None = None


def busy_seconds(result: VideoFrameResult) -> float:
    """What the frame took, without the time that it waited for those sent before it."""
    return max(0.0, result.timings.total_s - result.timings.queue_s)


class Follower:
    """One model's way through the frames. Errors are printed and counted, never raised.

    Prompts follow their frame at once, so what was answered for a frame is final as soon as
    a later one is answered. When a session is lost, another goes on from it.
    """

    def __init__(
        self,
        client: Client,
        model: str | None,
        plan: Plan,
        *,
        track_all: bool,
        timeout: float,
        in_flight: int = sys.maxsize,
    ) -> None:
        self.name = model or ""
        """The model's id; a model service tells it when the session is open."""
        self.settled: deque[Settled] = deque()
        """Final answers in the order of the frames; whoever uses one takes it out."""
        self.failure: DiptychError | None = None
        """Why the model has ended; no more answers come."""
        self.has_trouble = False
        """Something was refused or lost on the way."""
        # Each loss is told, and what was final is not written again.
        self._open_session = partial(
            client.video, model=model, track_all=track_all, auto_resume=False
        )
        self._client = client
        self._plan = plan
        self._timeout = timeout
        self._in_flight = in_flight
        self._back: dict[int, VideoFrameResult] = {}
        self._only_back = False
        self._session: VideoSession | None = None
        self._window = 1
        self._waiting: dict[int, Settled | None] = {}
        self._tries = 0

    def look_back(self, clip: VideoReader, *, only: bool) -> None:
        """Follows the objects from their frames to the start, before the session is opened; with
        ``only`` that is all."""
        self._only_back = only
        self._guarded(lambda: self._look_back(clip))

    def open(self) -> None:
        """Opens the session."""
        if not self._only_back:
            self._guarded(lambda: self._opened(None))

    def feed(self, frame: VideoFrame) -> None:
        """Sends a frame and its prompts; takes answers while too many are missing."""
        if not self._only_back:
            self._guarded(lambda: self._feed(frame))
        elif self.failure is None:
            result = self._back.pop(frame.index, None)
            missing = None if result else ServerError(f"no answer for frame {frame.index}")
            self.settled.append(Settled(frame.index, result, missing))

    def finish(self) -> None:
        """Takes all that is missing."""
        if not self._only_back:
            self._guarded(lambda: self._surviving(self._drain))
        self.close()

    def _look_back(self, clip: VideoReader) -> None:
        prompts = [prompt for asked in self._plan.values() for prompt in asked]
        way = ClipPlan(clip, prompts, "both")
        frames = clip.indexes.index(max(self._plan)) + 1
        self.name = self.name or self._client.model_card().id
        seconds = self._timeout * (frames + 1)
        events = self._client.track_clip(
            clip, prompts=prompts, direction="backward", model=self.name, timeout=seconds
        )
        for event in with_progress(events, frames, "Looking back", unit="frames"):
            if isinstance(event, VideoFrameResult):
                held = event if self._only_back else way.held(event)
                assert held is not None
                self._back[event.frame_index] = held
            elif self._only_back:  # else it is refused once more, and told then
                self._note(event)

    def close(self) -> None:
        """Ends the session; the server frees it."""
        if self._session is not None:
            self._session.close()

    def _guarded(self, step: Callable[[], object]) -> None:
        if self.failure is not None:
            return
        try:
            step()
        except DiptychError as error:
            report(error, name=self.name)
            self.failure = error
            self.close()
            for answer in self._waiting.values():
                if answer is None:
                    break
                self.settled.append(answer)

    def _feed(self, frame: VideoFrame) -> None:
        self._surviving(lambda: self._send(frame))
        for prompt in self._plan.get(frame.index, ()):
            self._surviving(partial(self._prompt, prompt))

    def _surviving(self, step: Callable[[], object]) -> None:
        """Does a step; if the session is lost meanwhile, again in the one that goes on."""
        while True:
            try:
                step()
                return
            except SessionLostError as error:
                self._resume(error)

    def _send(self, frame: VideoFrame) -> None:
        while sum(answer is None for answer in self._waiting.values()) >= self._window:
            self._take()
        try:
            self._current.send(frame)
        except MessageTooLargeError as error:
            self._refused(error, f"frame {frame.index}")
            self._waiting[frame.index] = Settled(frame.index, None, error)
        else:
            self._waiting[frame.index] = None

    def _prompt(self, prompt: VideoPrompt) -> None:
        self._current.prompt(
            prompt.object_id,
            points=prompt.prompt.points,
            box=prompt.prompt.box,
            frame_index=prompt.frame_index,
        )

    def _drain(self) -> None:
        self._current.finish()
        while self._take():
            pass
        self._settle_before(None)

    def _take(self) -> bool:
        """Waits for the next answer; false at the end."""
        unanswered = [index for index, answer in self._waiting.items() if answer is None]
        what = f"answer for frame {unanswered[0]}" if unanswered else "end of the session"
        event = self._in_time(self._current, lambda: next(self._current, None), what)
        if event is not None:
            self._note(event)
        return event is not None

    def _note(self, event: VideoEvent) -> None:
        if isinstance(event, VideoFrameResult):
            self._answered(Settled(event.frame_index, event))
        elif event.object_id is not None:
            where = f"frame {event.frame_index}, object {event.object_id}"
            self._refused(event.error, where)
        elif event.frame_index is not None:
            self._refused(event.error, f"frame {event.frame_index}")
            self._answered(Settled(event.frame_index, None, event.error))
        else:
            self._refused(event.error, "session")

    def _answered(self, answer: Settled) -> None:
        # A session that goes on answers held frames again, final ones too.
        if answer.frame_index in self._waiting:
            self._settle_before(answer.frame_index)
            self._waiting[answer.frame_index] = answer

    def _settle_before(self, frame_index: int | None) -> None:
        for index in list(self._waiting):
            if frame_index is not None and index >= frame_index:
                return
            answer = self._waiting.pop(index)
            missing = ServerError(f"no answer for frame {index}")
            self.settled.append(self._with_back(answer or Settled(index, None, missing)))
            self._tries = 0

    def _with_back(self, answer: Settled) -> Settled:
        held = self._back.pop(answer.frame_index, None)
        if held is None or answer.result is None:
            return answer
        return replace(answer, result=merged(answer.result, held))

    def _refused(self, error: DiptychError, where: str) -> None:
        self.has_trouble = True
        report(error, name=": ".join(part for part in (self.name, where) if part))

    @property
    def _current(self) -> VideoSession:
        assert self._session is not None
        return self._session

    def _opened(self, lost: SessionLostError | None) -> None:
        session = self._open_session(resume=lost)
        held = lost.checkpoint.frames if lost and lost.checkpoint else ()
        self._in_time(session, session.__enter__, "session", answers=1 + len(held))
        self._session = session
        limits = session.limits
        # All that is not final must still be held, or a lost session would take it along.
        self._window = min(limits.max_frames_in_flight, limits.held_frames - 1, self._in_flight)
        self._window = max(1, self._window)
        if not self.name and session.provenance:
            self.name = session.provenance[0].model_id

    def _resume(self, lost: SessionLostError) -> None:
        """Opens a session that goes on from a lost one.

        Raises:
            DiptychError: there was nothing to go on from, or it was lost too often.
        """
        self.close()
        failed: DiptychError = lost
        while (checkpoint := lost.checkpoint) is not None and self._tries < _TRIES:
            pause = max(failed.retry_after_s or 0, _FIRST_PAUSE_S * 2**self._tries)
            self._tries += 1
            tried = f"trying to go on, {self._tries} of {_TRIES}"
            click.echo(f"diptych: {self.name}: {describe(failed)}; {tried}", err=True)
            time.sleep(min(pause, _LONGEST_PAUSE_S))
            try:
                self._opened(lost)
            except SessionLostError as error:
                failed, lost = error, error if error.checkpoint is not None else lost
            except (UnavailableError, OverloadedError) as error:
                failed = error
            else:
                self._went_on(checkpoint)
                return
        raise failed

    def _went_on(self, checkpoint: VideoCheckpoint) -> None:
        held = {index for index, _ in checkpoint.frames}
        self._waiting = {
            index: None if index in held else answer for index, answer in self._waiting.items()
        }
        for object_id in checkpoint.lost_objects:
            self.has_trouble = True
            click.echo(
                f"diptych: {self.name}: object {object_id} was not visible on the frames that were "
                f"held when the session was lost, and is followed no more",
                err=True,
            )

    def _in_time(
        self, session: VideoSession, step: Callable[[], _T], what: str, *, answers: int = 1
    ) -> _T:
        """What a step returns that waits for answers.

        Raises:
            DeadlineExceededError: it took longer than the time for so many answers.
        """
        seconds = self._timeout * answers
        late = threading.Event()

        def give_up() -> None:
            late.set()
            session.close()

        timer = threading.Timer(seconds, give_up)
        timer.daemon = True
        timer.start()
        try:
            return step()
        except RequestCancelledError as error:
            if not late.is_set():
                raise
            raise DeadlineExceededError(f"no {what} within {seconds:g} s") from error
        finally:
            timer.cancel()

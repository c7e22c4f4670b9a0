"""What both kinds of video session know of their stream: order, window, held frames. No I/O.

Not safe between threads; the sessions guard it. It outlives a call: what another one has to be sent
so that the session goes on in it, ``replay`` says.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

from .._types.checkpoint import VideoCheckpoint, VideoPrompt
from .._types.errors import DiptychError, SessionLostError
from .._types.prompts import Prompt
from .._types.results import Provenance
from .._types.video import (
    VideoEvent,
    VideoFrameResult,
    VideoLimits,
    VideoOptions,
    VideoRefusal,
)
from ..segment import v1 as pb
from ..wire.video import (
    frame_request,
    prompt_request,
    read_going_away,
    read_started,
    removal_request,
    start_request,
)
from .held import HeldObjects
from .indexes import FrameIndexes
from .resume import as_lost

MAX_WAITING = 1024
"""Prompts and removals that may be unanswered."""


@dataclass
class _Asked:
    """A message that waits for answers; ``number`` stays, whichever call it is sent in."""

    number: int
    message: pb.SegmentVideoRequest
    """A frame's is without its megabytes."""
    given: int = 0
    """Answers that the caller has."""
    drop: int = 0
    """Answers of this call that the caller has from an earlier one."""
    left: int | None = None
    """Answers that are still to come; not known before the first."""


class SessionState:
    """Everything about one stream but the stream."""

    def __init__(self, options: VideoOptions) -> None:
        self._options = options
        self._seq = 0
        self._indexes = FrameIndexes()
        self._frames: dict[int, bytes] = {}
        self._unanswered: dict[int, _Asked] = {}
        self._unanswered_frames: dict[int, int] = {}
        self._restoring: dict[int, pb.SegmentVideoRequest] = {}
        self._revisions: dict[int, int] = {}
        self._replayed = False
        self._objects = HeldObjects(self._frames.keys())
        self.limits: VideoLimits | None = None
        self.provenance: tuple[Provenance, ...] = ()
        self.going_away_s: float | None = None
        self.given = 0
        """Answers that the caller was given."""

    def start(self) -> pb.SegmentVideoRequest:
        """The first message of a call."""
        options = self._options
        message = start_request(options.model or "", options.output, options.track_all)
        self._number(message)
        return message

    def opened(self, message: pb.SegmentVideoResponse) -> None:
        """Takes the first answer; ``ServerError`` if it is another."""
        self.limits, self.provenance = read_started(message)
        self.going_away_s = None

    @property
    def has_room(self) -> bool:
        """Another frame may be sent."""
        assert self.limits is not None
        return len(self._unanswered_frames) < self.limits.max_frames_in_flight

    @property
    def all_answered(self) -> bool:
        """Nothing that was sent waits for an answer."""
        return not self._unanswered

    @property
    def at_work(self) -> int | None:
        """Number of the message that the server answers next; ``None`` if there is none, or if it
        is not there yet in a session that is being restored."""
        if self._restoring:
            return None
        return next((asked.number for asked in self._unanswered.values()), None)

    def frame(self, encoded: bytes, index: int | None) -> pb.SegmentVideoRequest:
        """The next frame; ``ValueError`` if its index goes the other way than those before."""
        return frame_request(self._indexes.next(index), encoded)

    def own_index(self, index: int) -> int:
        """A frame's index as the caller has it, of the one in messages."""
        return self._indexes.mirrored(index)

    def prompt(self, object_id: int, index: int | None, prompt: Prompt) -> pb.SegmentVideoRequest:
        """A prompt, for the newest frame if no index is given.

        Raises:
            ValueError: no frame was sent yet.
            RuntimeError: too many prompts are not answered.
        """
        if index is None:
            if not self._frames:
                raise ValueError("prompt: send a frame first")
            index = self.own_index(next(reversed(self._frames)))
        self._check_waiting()
        return prompt_request(object_id, self._indexes.mirrored(index), prompt)

    def removal(self, object_id: int) -> pb.SegmentVideoRequest:
        """The end of an object; ``RuntimeError`` if too many are not answered."""
        self._check_waiting()
        return removal_request(object_id)

    def _check_waiting(self) -> None:
        if len(self._unanswered) - len(self._unanswered_frames) >= MAX_WAITING:
            raise RuntimeError(
                f"{MAX_WAITING} prompts wait for an answer: read results of the session"
            )

    def _number(self, message: pb.SegmentVideoRequest) -> None:
        self._seq += 1
        message.seq = self._seq

    def sent(self, message: pb.SegmentVideoRequest, prompt: Prompt | None = None) -> None:
        """Numbers a message that is sent now, and remembers it until it is answered."""
        self._number(message)
        seq, kind = message.seq, message.WhichOneof("event")
        kept = message
        if kind == "frame":
            index = message.frame.frame_index
            self._indexes.sent(index)
            self._frames[index] = message.frame.encoded
            self._unanswered_frames[seq] = index
            kept = frame_request(index, b"")
        self._unanswered[seq] = _Asked(seq, kept)
        if kind == "prompt" and prompt is not None:
            asked = VideoPrompt(message.prompt.object_id, message.prompt.frame_index, prompt)
            self._objects.ask(seq, asked)
        elif kind == "removal":
            self._objects.leave(seq, message.removal.object_id)

    def settle(
        self, message: pb.SegmentVideoResponse, event: VideoEvent | None
    ) -> VideoEvent | None:
        """Takes an answer and what it was read as; what the caller is to see of it.

        Raises:
            SessionLostError: a session that goes on from a lost one does not take an object.
        """
        grace_s = read_going_away(message)
        if grace_s is not None:
            self.going_away_s = grace_s
        seq = message.in_reply_to_seq
        if seq in self._unanswered:
            self._objects.taken(self._unanswered[seq].number)
        if isinstance(event, VideoFrameResult):
            self._objects.saw(event)
        if (restored := self._restoring.pop(seq, None)) is not None:
            self._check_restored(restored, event)
            return None
        asked = self._unanswered.get(seq)
        if asked is None:
            return event
        self._end_those_before(seq)
        if isinstance(event, VideoRefusal):
            refusal = self._refused(event, asked.message)
            self._done(seq)
            self._objects.refused(asked.number)
            self.given += 1
            return refusal
        asked.left = (self._answers_to(asked) if asked.left is None else asked.left) - 1
        if asked.left <= 0:
            self._done(seq)
            self._objects.answered(asked.number)
        return self._given(asked, event)

    def _end_those_before(self, seq: int) -> None:
        """Answers come in order: a message that had some of those expected gets no more."""
        first = next(iter(self._unanswered))
        if first < seq and self._unanswered[first].left is not None:
            self._objects.answered(self._unanswered[first].number)
            self._done(first)

    def _answers_to(self, asked: _Asked) -> int:
        """How many answers a message gets: a prompt's frame and all after it are answered."""
        if asked.message.WhichOneof("event") != "prompt":
            return 1
        waiting = self._unanswered_frames.values()
        since = asked.message.prompt.frame_index
        return max(1, sum(i >= since and i not in waiting for i in self._frames))

    def _given(self, asked: _Asked, event: VideoEvent | None) -> VideoEvent | None:
        if asked.drop:
            asked.drop -= 1
            return None
        asked.given += 1
        self.given += 1
        if not isinstance(event, VideoFrameResult):
            return event
        last = self._revisions.get(event.frame_index)
        if self._replayed and last is not None:
            event = replace(event, revision=last + 1)
        if event.frame_index in self._frames:
            self._revisions[event.frame_index] = event.revision
        own = self.own_index(event.frame_index)
        return event if own == event.frame_index else replace(event, frame_index=own)

    def _done(self, seq: int) -> None:
        """A message was answered whole, or refused."""
        del self._unanswered[seq]
        if self._unanswered_frames.pop(seq, None) is None:
            return
        # Counted by answers: what is sent ahead does not push out what the server still holds.
        assert self.limits is not None
        while len(self._frames) - len(self._unanswered_frames) > self.limits.held_frames:
            oldest = next(iter(self._frames))
            del self._frames[oldest]
            self._revisions.pop(oldest, None)
        self._objects.trim()

    def _refused(self, refusal: VideoRefusal, request: pb.SegmentVideoRequest) -> VideoRefusal:
        kind = request.WhichOneof("event")
        if kind == "frame":
            self._frames.pop(request.frame.frame_index, None)
            return replace(refusal, frame_index=self.own_index(request.frame.frame_index))
        if kind == "prompt":
            index, object_id = request.prompt.frame_index, request.prompt.object_id
            return replace(refusal, frame_index=self.own_index(index), object_id=object_id)
        return replace(refusal, object_id=request.removal.object_id)

    def replay(self) -> list[pb.SegmentVideoRequest]:
        """What a call that was opened now is sent, so that the session goes on in it.

        First what makes the server's state: held frames and prompts, whose answers the caller does
        not see. Then, as it was sent, what is not answered.
        """
        self._replayed = True
        waiting = set(self._unanswered_frames.values())
        prompts, _ = self._objects.answered_prompts()
        self._restoring = {}
        for index, encoded in self._frames.items():
            if index in waiting:
                continue
            self._restore(frame_request(index, encoded))
            for each in prompts:
                if each.frame_index == index:
                    self._restore(prompt_request(each.object_id, index, each.prompt))
        messages = [*self._restoring.values()]
        # Their files are with the frames that are held.
        self._restoring = {seq: _without_file(message) for seq, message in self._restoring.items()}
        asked_before, self._unanswered = self._unanswered, {}
        self._unanswered_frames = {}
        for asked in asked_before.values():
            messages.append(self._again(asked))
        return messages

    def _restore(self, message: pb.SegmentVideoRequest) -> None:
        self._number(message)
        self._restoring[message.seq] = message

    def _again(self, asked: _Asked) -> pb.SegmentVideoRequest:
        # The call before may still be sending the old one.
        asked.message = message = copy.deepcopy(asked.message)
        asked.drop, asked.left = asked.given, None
        self._number(message)
        self._unanswered[message.seq] = asked
        if message.WhichOneof("event") != "frame":
            return message
        index = message.frame.frame_index
        self._unanswered_frames[message.seq] = index
        whole = frame_request(index, self._frames[index])
        whole.seq = message.seq
        return whole

    def _check_restored(self, message: pb.SegmentVideoRequest, event: VideoEvent | None) -> None:
        if not isinstance(event, VideoRefusal):
            return
        kind = message.WhichOneof("event")
        lost = (message.prompt.object_id,) if kind == "prompt" else ()
        index = self.own_index(message.frame.frame_index)
        what = f"object {lost[0]}" if lost else f"frame {index}"
        error = SessionLostError(f"{what} could not be restored: {event.error}")
        error.checkpoint = self.checkpoint(lost)
        raise error

    @property
    def lost_objects(self) -> tuple[int, ...]:
        """Objects that another call could not be told, as no held frame shows them."""
        return self._objects.answered_prompts()[1]

    def checkpoint(self, lost: tuple[int, ...] = ()) -> VideoCheckpoint:
        """What another session needs to go on from here, without the objects ``lost``."""
        prompts, unseen = self._objects.prompts()
        return VideoCheckpoint(
            model=self._options.model,
            output=self._options.output,
            track_all=self._options.track_all,
            frames=tuple((self.own_index(index), file) for index, file in self._frames.items()),
            prompts=tuple(
                replace(each, frame_index=self.own_index(each.frame_index))
                for each in prompts
                if each.object_id not in lost
            ),
            lost_objects=tuple(sorted({*unseen, *lost})),
        )

    def lost(self, error: DiptychError) -> DiptychError:
        """The error as the caller is to see it: one that a new session can go on from."""
        if self.limits is None or (found := as_lost(error)) is None:
            return error
        found.checkpoint = found.checkpoint or self.checkpoint()
        return found


def _without_file(message: pb.SegmentVideoRequest) -> pb.SegmentVideoRequest:
    """The same about a frame, without its megabytes."""
    if message.WhichOneof("event") != "frame":
        return message
    return frame_request(message.frame.frame_index, b"")

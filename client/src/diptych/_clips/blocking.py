"""Whole clips, for ``Client``; ``asynchronous`` is its twin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from .._transport.blocking import Transport
from .._types.checkpoint import VideoPrompt
from .._types.prompts import OutputOptions
from .._types.video import DEFAULT_JPEG_QUALITY, VideoEvent, VideoFrameResult
from .._video.frames import FrameLike
from .._video.options import make_video_options
from .._video.session import VideoSession
from .plan import Clip, ClipPlan, Direction, LastWords


class ClipMethods:
    """What a client does with clips that it holds."""

    _wire: Transport

    def track_clip(
        self,
        clip: Clip,
        *,
        prompts: Iterable[VideoPrompt],
        direction: Direction = "both",
        model: str | None = None,
        output: OutputOptions | None = None,
        jpeg_quality: int | None = DEFAULT_JPEG_QUALITY,
        timeout: float | None = None,
    ) -> Iterator[VideoEvent]:
        """Follows objects through a whole clip, from the frames where they are shown.

        Yields each frame's last answer, in the clip's order, or from its end if ``"backward"``.
        For ``"both"`` two sessions are opened, one after the other, and the answers of the way back
        are held until the way forward; from its first prompt on an object is followed forward.

        Args:
            clip: ``read_video(...)``, or a list of frames.
            prompts: where objects are, on frames by their number in the clip.
            direction: from these frames ``"forward"``, ``"backward"`` or to ``"both"`` ends.
            timeout: seconds for each session. The other arguments are those of ``video``.

        Raises:
            DiptychError: a session has failed.
            ValueError, TypeError: an argument cannot be used.
        """
        plan = ClipPlan(clip, prompts, direction)
        options = make_video_options(model, output, False, None, True, False, jpeg_quality, timeout)
        return _tracked(lambda: VideoSession(self._wire, options), plan, direction)


def _tracked(
    open_session: Callable[[], VideoSession], plan: ClipPlan, direction: Direction
) -> Iterator[VideoEvent]:
    """Each frame's last answer: in the order of the clip, or from its end if only backwards.

    For both ways, what is found on the way back is held until then.
    """
    if direction == "backward":
        yield from _last_words(open_session(), plan.backward(), plan)
        return
    held: dict[int, VideoFrameResult] = {}
    if direction == "both":
        for event in _last_words(open_session(), plan.backward(), plan):
            if (result := plan.held(event)) is not None:
                held[result.frame_index] = result
            elif plan.alone(event):
                yield event
        yield from (held.pop(index) for index in sorted(held) if plan.alone(held[index]))
    for event in _last_words(open_session(), plan.forward(), plan):
        yield plan.merged(event, held)


def _last_words(
    session: VideoSession, frames: Iterator[tuple[int, FrameLike]], plan: ClipPlan
) -> Iterator[VideoEvent]:
    last = LastWords()
    with session:
        for index, frame in frames:
            while not session._state.has_room:
                yield from last.take(next(session))
            session.send(frame, index)
            last.sent(index)
            for each in plan.prompts_on(index):
                session._prompt(each.object_id, index, each.prompt)
        for event in session.finish():
            yield from last.take(event)
    yield from last.rest()

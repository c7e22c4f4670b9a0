"""Where a video session's objects are on the frames that are still held. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import chain

from .._types.checkpoint import VideoPrompt
from .._types.prompts import Prompt
from .._types.segment import Segment
from .._types.video import VideoFrameResult

_MAX_CORRECTIONS = 32  # of an object on a frame: the newest are kept


class HeldObjects:
    """Prompts, and where objects were seen, on ``frames``: the indexes that are held, which grow
    and shrink outside. Keeps one mask or box for each object on each of them at most."""

    def __init__(self, frames: Collection[int]) -> None:
        self._frames = frames
        self._asked: dict[int, VideoPrompt] = {}
        self._prompts: dict[tuple[int, int], tuple[VideoPrompt, ...]] = {}
        """A prompt that replaced those before it, and the corrections since."""
        self._leaving: dict[int, int] = {}
        self._seen: dict[int, dict[int, Prompt]] = {}
        self._outlived: set[int] = set()

    def ask(self, number: int, prompt: VideoPrompt) -> None:
        """Note a prompt that is sent now, as the message of that number."""
        self._asked[number] = prompt

    def leave(self, number: int, object_id: int) -> None:
        """Note a removal that is sent now, as the message of that number."""
        self._leaving[number] = object_id

    def refused(self, number: int) -> None:
        """Note that a message has changed nothing."""
        self._asked.pop(number, None)
        self._leaving.pop(number, None)

    def taken(self, number: int) -> None:
        """Note that the first answer to a message has come."""
        if (prompt := self._asked.get(number)) is not None:
            self._seen.setdefault(prompt.object_id, {})

    def answered(self, number: int) -> None:
        """Note that the last answer to a message has come."""
        if (object_id := self._leaving.pop(number, None)) is not None:
            self._forget(object_id)
        prompt = self._asked.pop(number, None)
        if prompt is None:
            return
        # The newest last, as the server had them.
        before = self._prompts.pop((prompt.object_id, prompt.frame_index), ())
        kept = (*before[:1], *before[1:][-_MAX_CORRECTIONS:]) if prompt.prompt.is_correction else ()
        self._prompts[prompt.object_id, prompt.frame_index] = (*kept, prompt)
        self.trim()

    def saw(self, result: VideoFrameResult) -> None:
        """Note where prompted objects are on a frame, instead of what was noted of it before."""
        if result.frame_index not in self._frames:
            return
        for found in result.objects:
            sights = self._seen.get(found.object_id)
            if sights is None:
                continue
            sights.pop(result.frame_index, None)
            if (sight := _prompt_for(found.segment)) is not None:
                sights[result.frame_index] = sight

    def _forget(self, object_id: int) -> None:
        """Drop everything about an object."""
        self._prompts = {key: p for key, p in self._prompts.items() if key[0] != object_id}
        self._seen.pop(object_id, None)
        self._outlived.discard(object_id)

    def trim(self) -> None:
        """Drop what was on frames that are not held any more."""
        for key in [key for key in self._prompts if key[1] not in self._frames]:
            del self._prompts[key]
            self._outlived.add(key[0])
        for sights in self._seen.values():
            for index in [index for index in sights if index not in self._frames]:
                del sights[index]

    def prompts(self) -> tuple[tuple[VideoPrompt, ...], tuple[int, ...]]:
        """What a session is asked that its caller opens, frame by frame, and the objects that it
        cannot be asked. What is not answered is among them, unless it is an object's removal."""
        waiting = [p for p in self._asked.values() if p.frame_index in self._frames]
        older = {p.object_id for p in self._asked.values() if p.frame_index not in self._frames}
        gone = set(self._leaving.values())
        held, lost = self._restored(waiting, older)
        return (
            tuple(p for p in held if p.object_id not in gone),
            tuple(object_id for object_id in lost if object_id not in gone),
        )

    def answered_prompts(self) -> tuple[tuple[VideoPrompt, ...], tuple[int, ...]]:
        """The same for a session that is then sent what is not answered."""
        held, lost = self._restored([], set())
        told = {*self._leaving.values(), *(p.object_id for p in self._asked.values())}
        return held, tuple(object_id for object_id in lost if object_id not in told)

    def _restored(
        self, waiting: Collection[VideoPrompt], older: Collection[int]
    ) -> tuple[tuple[VideoPrompt, ...], tuple[int, ...]]:
        """An object all of whose prompts are held gets them again. One that has older prompts is
        told by them as well: it gets its mask on the oldest frame that shows it, so that the frames
        after it are followed as they were, and its later prompts correct what they corrected.
        """
        replacing = [p for p in self._asked.values() if not p.prompt.is_correction]
        asked = {(p.object_id, p.frame_index) for p in replacing}
        held = [*chain.from_iterable(self._prompts.values())]
        lost = []
        for object_id in sorted(self._outlived.union(older)):
            sights = self._seen.get(object_id, {})
            # A mask on a frame with a prompt that is not answered would be replaced by it.
            shown = min((i for i in sights if (object_id, i) not in asked), default=None)
            if shown is not None:
                # The mask shows what the answered prompts on its frame have asked for.
                held = [p for p in held if (p.object_id, p.frame_index) != (object_id, shown)]
                held.append(VideoPrompt(object_id, shown, sights[shown]))
            elif not any(_shows(object_id, p) for p in (*held, *waiting)):
                lost.append(object_id)
        return _with_something_to_correct([*held, *waiting]), tuple(lost)


def _shows(object_id: int, asked: VideoPrompt) -> bool:
    return asked.object_id == object_id and not asked.prompt.is_correction


def _with_something_to_correct(prompts: Sequence[VideoPrompt]) -> tuple[VideoPrompt, ...]:
    """Leave out corrections of frames on which another session does not know the object yet."""
    first: dict[int, int] = {}
    for asked in prompts:
        if not asked.prompt.is_correction:
            index = first.get(asked.object_id, asked.frame_index)
            first[asked.object_id] = min(index, asked.frame_index)
    return tuple(
        asked
        for asked in prompts
        if not asked.prompt.is_correction
        or first.get(asked.object_id, asked.frame_index + 1) <= asked.frame_index
    )


def _prompt_for(segment: Segment) -> Prompt | None:
    """What asks for an object again where it was seen; ``None`` if nothing of it was.

    Models that name a class detect, and know a detection by its box; they may take no masks.
    """
    if segment.mask is None or not segment.mask.area:
        return None
    if segment.category_id and segment.box is not None:
        return Prompt(box=segment.box)
    return Prompt(mask=segment.mask)

"""Video sessions for frames that CVAT sends one at a time, and never says that it is done with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import ExitStack

import PIL.Image

from diptych import Box, Client, Mask, Segment, VideoFrameResult, VideoSession

from .pictures import encoded


class Frame:
    """A frame as a file, and the session that began on it, if objects were marked there."""

    def __init__(self, image: PIL.Image.Image) -> None:
        self.data = encoded(image)
        self.size = (image.height, image.width)
        whole = self.data if isinstance(self.data, bytes) else image.tobytes()
        self.digest = hashlib.sha256(whole).digest()
        self.following: Following | None = None


class Following:
    """A session with the objects that were marked on one frame, and what was found since."""

    def __init__(self, client: Client, model: str, first: Frame) -> None:
        self._stack = ExitStack()
        video = client.video(model=model, raise_refusals=True)
        self._session: VideoSession = self._stack.enter_context(video)
        self._digests: list[bytes] = []
        self._found: list[Mapping[int, Segment]] = []
        self._count = 0
        self.is_open = True
        try:
            self._send(first)
        except BaseException:
            self.close()
            raise

    @property
    def is_at_start(self) -> bool:
        """Whether objects can still be marked: no frame came after the first."""
        return self.is_open and len(self._digests) == 1

    def add(self, place: Box | Mask) -> int:
        """Mark one more object on the first frame; returns its number."""
        number, self._count = self._count, self._count + 1
        box, mask = (place, None) if isinstance(place, Box) else (None, place)
        self._take(self._session.prompt(number, box=box, mask=mask))
        return number

    def at(self, position: int, frame: Frame) -> Mapping[int, Segment] | None:
        """What is on the frame that follows ``position`` others.

        ``None`` if it has seen another one there, or cannot be sent any more.
        """
        if position < len(self._digests):
            same = self._digests[position] == frame.digest
            return self._found[position] if same else None
        if not self.is_open:
            return None
        self._send(frame)
        return self._found[position]

    def close(self) -> None:
        """End the session; what it found stays."""
        self.is_open = False
        self._stack.close()

    def _send(self, frame: Frame) -> None:
        index = self._session.send(frame.data)
        found = self._take(index)
        self._digests.append(frame.digest)
        self._found.append(found)

    def _take(self, index: int) -> Mapping[int, Segment]:
        """Read the answer for the newest frame, which replaces an earlier one."""
        for event in self._session:
            if isinstance(event, VideoFrameResult) and event.frame_index == index:
                found = {each.object_id: each.segment for each in event.objects}
                if self._found and len(self._digests) == index + 1:
                    self._found[-1] = found
                return found
        raise AssertionError("a session answers every frame, or raises")

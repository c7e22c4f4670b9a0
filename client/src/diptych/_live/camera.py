"""The newest frame of a camera or stream, however long the last one took. Needs ``video``."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .._types.errors import VideoFileError
from .._video.frames import VideoFrame
from .._video.read import DEFAULT_FPS, StreamReader
from .._video.streams import begun, load_av, shown, upright
from .places import comes_back, is_device

if TYPE_CHECKING:
    from av.video.frame import VideoFrame as Decoded

TRIES = 6
"""How often a lost stream is connected again before it is given up."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 8.0
_LOOK_S = 0.02
_END_S = 1.0


@dataclass(frozen=True)
class _Come:
    """A frame as it came, and when it was."""

    pixels: NDArray[np.uint8]
    time_s: float


class Camera(StreamReader):
    """Frames of what does not wait: a thread reads them, and the newest is handed out.

    Frames that came while the last one was worked on are dropped and counted. Those that are handed
    out are numbered from 0. A stream over a network that is lost is connected again. What has an
    end, as a file behind an address of HTTP, waits: none of its frames is dropped.

    Args:
        address: as ``read_video`` takes it.
        chosen: numbers of the frames to yield, of those that are handed out.
        duration_s: ends after so much time since the first frame.
        tell: is given a sentence when the stream is lost.

    Raises:
        MissingExtraError: without ``pip install 'diptych[video]'``.
        VideoFileError: it cannot be opened, or there is no video.
    """

    def __init__(
        self,
        address: str,
        *,
        chosen: range = range(sys.maxsize),
        duration_s: float | None = None,
        tell: Callable[[str], object] = lambda sentence: None,
    ) -> None:
        load_av()
        self._address, self.name = address, shown(address)
        self._duration_s, self._tell = duration_s, tell
        self._open = ExitStack()
        self._stopped = self._ended = self._begun = False
        self._failure: VideoFileError | None = None
        self._news = threading.Condition()
        self._newest: _Come | None = None
        self._begun_s = time.monotonic()
        self.come = 0
        """Frames that came."""
        self.taken = 0
        """Those of them that were handed out; the others are dropped."""
        self.lost = 0
        """How often the stream was lost."""
        size, fps = self._connect()
        super().__init__(self.name, size, fps, chosen)

    @property
    def waits(self) -> bool:
        """Whether it has an end, so that frames wait until somebody takes them."""
        return self._waits

    def stop(self) -> None:
        """Let iteration end at the next frame. May be called in a handler of signals."""
        self._stopped = True

    def __iter__(self) -> Iterator[VideoFrame]:
        if self._begun:
            raise self._is_over()
        self._begun = True
        reader = threading.Thread(target=self._read, name="diptych-camera", daemon=True)
        reader.start()
        try:
            for number in range(self._chosen[-1] + 1 if self._chosen else 0):
                taken = self._take()
                if taken is None:
                    return
                if number in self._chosen:
                    yield VideoFrame(number, taken.time_s, taken.pixels, self.name)
        finally:
            self._stopped = True
            # One that waits for a silent camera ends with it, later.
            reader.join(_END_S)

    def _take(self) -> _Come | None:
        """The newest frame, as soon as there is one; ``None`` at the end."""
        with self._news:
            while self._newest is None:
                if self._failure is not None and not self._stopped:
                    raise self._failure
                if self._ended or self._stopped or self._too_late(self._since_s()):
                    return None
                # Short: a handler of signals cannot notify.
                self._news.wait(_LOOK_S)
            taken, self._newest = self._newest, None
            self._news.notify_all()
        if self._stopped or self._too_late(taken.time_s):
            return None
        self.taken += 1
        return taken

    def _too_late(self, time_s: float) -> bool:
        return self._duration_s is not None and time_s >= self._duration_s

    def _since_s(self) -> float:
        return time.monotonic() - self._begun_s

    def _read(self) -> None:
        with self._open:
            failure = self._read_on()
            while failure is not None and comes_back(self._address) and not self._stopped:
                failure = self._again(failure)
                if failure is not None:
                    break
                failure = self._read_on()
        with self._news:
            self._failure, self._ended = failure, True
            self._news.notify_all()

    def _read_on(self) -> VideoFileError | None:
        """Reads until the stream ends, and says why if it should not."""
        try:
            for frame in self._frames:
                self._put(frame)
                if self._stopped:
                    return None
        except VideoFileError as error:
            return error
        if comes_back(self._address):
            return VideoFileError(f"{self.name}: the stream ended")
        return None

    def _again(self, failure: VideoFileError) -> VideoFileError | None:
        """Connects again, within as many tries as there are; why not if none succeeds."""
        self.lost += 1
        self._open.close()
        for number in range(TRIES):
            self._tell(f"{failure}; connecting again, {number + 1} of {TRIES}")
            until = time.monotonic() + min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**number)
            while time.monotonic() < until and not self._stopped:
                time.sleep(_LOOK_S)
            if self._stopped:
                break
            try:
                size, _ = self._connect()
            except VideoFileError as error:
                failure = error
                continue
            if size == self.size:
                return None
            return VideoFileError(f"{self.name}: came back with pictures of another size")
        return failure

    def _connect(self) -> tuple[tuple[int, int], float]:
        """Opens it and takes its first frame, which decides on size and times; size and rate."""
        self._open.close()
        container, stream, self._frames, first = begun(self._address, self._open)
        self._waits = container.duration is not None and not is_device(self._address)
        # Times of a new connection begin anew: they go on from when it was made.
        self._zero_s = first.time or 0.0
        if self.come:
            self._zero_s -= self._since_s()
        else:
            self._begun_s = time.monotonic()
        height, width, _ = self._put(first).shape
        rate = stream.average_rate or stream.guessed_rate
        return (height, width), float(rate or DEFAULT_FPS)

    def _put(self, frame: Decoded) -> NDArray[np.uint8]:
        # Made here though it may be dropped: two threads at one frame of PyAV end the process.
        pixels = upright(frame)
        time_s = self._since_s() if frame.time is None else frame.time - self._zero_s
        with self._news:
            while self._waits and self._newest is not None and not self._stopped:
                self._news.wait(_LOOK_S)
            self.come += 1
            self._newest = _Come(pixels, time_s)
            self._news.notify_all()
        return pixels

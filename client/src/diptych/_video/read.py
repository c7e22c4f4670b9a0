"""Clips as frames: video files, and folders of images. Video files need the extra ``video``."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from .._pictures.images import list_images, open_rgb
from .._types.errors import VideoFileError
from .frames import VideoFrame
from .sound import Sound
from .streams import begun, decoded, load_av, opened, shown, upright

if TYPE_CHECKING:
    from av.video.frame import VideoFrame as Decoded

DEFAULT_FPS = 25.0
"""Of a folder, and of a video file that does not tell its own."""
_PART_BYTES = 256 * 1024 * 1024


class VideoReader(ABC):
    """The chosen frames of a clip; made by ``read_video``.

    Each iteration reads from the start, one frame when it is asked for and none ahead, and closes
    the file at its end.
    """

    def __init__(self, path: Path | str, size: tuple[int, int], fps: float, chosen: range) -> None:
        self.path = Path(path)
        self.name = str(path)
        """The file, folder or address as it may be printed: without a password."""
        self.size = size
        """Height and width of the first frame, upright."""
        self.fps = fps
        """Frames per second of the file or folder, before any are left out."""
        self._chosen = chosen

    @property
    def indexes(self) -> range:
        """Numbers of the frames that it yields; without an end where the file does not tell."""
        total = self._total()
        chosen = self._chosen
        return (
            chosen if total is None else range(chosen.start, min(chosen.stop, total), chosen.step)
        )

    @property
    def frame_count(self) -> int | None:
        """How many frames it yields, as the file's header says; ``None`` if it does not."""
        indexes = self.indexes
        return None if self._total() is None and indexes.stop >= sys.maxsize else len(indexes)

    @abstractmethod
    def __iter__(self) -> Iterator[VideoFrame]:
        """The frames in order.

        Raises:
            VideoFileError: the file is broken; its ``frame_index`` says where.
            OSError: the file cannot be read.
        """

    @abstractmethod
    def __reversed__(self) -> Iterator[VideoFrame]:
        """The same frames from the last to the first, for tracking backwards.

        A video file is read once to its end first, and then in parts, of which one is held at a
        time: no more than 256 MiB. Raises what iterating does.
        """

    def sound(self) -> Sound | None:
        """What a file that is written of the clip is to sound like; ``None`` for a folder."""
        return None

    @abstractmethod
    def _total(self) -> int | None:
        """Frames in the whole file or folder."""

    def __repr__(self) -> str:
        height, width = self.size
        return f"VideoReader({self.name!r}, {width}x{height}, {self.fps:g} fps)"


def read_video(
    path: str | os.PathLike[str],
    *,
    start: int = 0,
    stop: int | None = None,
    stride: int = 1,
    max_frames: int | None = None,
    fps: float | None = None,
) -> VideoReader:
    """The frames of a video file, or of a folder of pictures in order of name.

    ::

        with client.video(model="sam-2") as session:
            for event in session.track(read_video("clip.mp4")):
                ...

    Frames of a video file are RGB arrays, turned and mirrored as its header says, of its default
    stream; files of a folder are sent as they are. Frames that are left out are still decoded, so a
    late ``start`` takes time.

    An address such as ``rtsp://camera/stream``, ``http://host/clip.mp4`` or, of a webcam,
    ``v4l2:///dev/video0`` (Linux) or ``avfoundation://0`` (macOS) is opened through PyAV
    as well. It is read once, as it comes, has no end that is known, and raises ``VideoFileError``
    where nothing comes for 10 s.

    Args:
        start: number of the first frame, from 0.
        stop: number of the frame to end before.
        stride: 1 for every frame, 2 for every second one.
        max_frames: yield no more than this.
        fps: of a folder, 25 if not given; a video file has its own.

    Raises:
        MissingExtraError: for a video file, without ``pip install 'diptych[video]'``.
        VideoFileError: it is no video, or no folder of images.
        OSError: it cannot be read.
        ValueError: an argument is out of range.
    """
    _check(start, stop, stride, max_frames, fps)
    chosen = range(start, sys.maxsize if stop is None else stop, stride)[:max_frames]
    if isinstance(path, str) and "://" in path:
        if fps is not None:
            raise ValueError(f"fps: a stream has its own, got {fps:g} for {shown(path)}")
        return _Live(path, chosen)
    place = Path(path)
    if place.is_dir():
        return _Folder(place, DEFAULT_FPS if fps is None else fps, chosen)
    if fps is not None:
        raise ValueError(f"fps: a video file has its own, got {fps:g} for {place}")
    place.stat()
    return _File(place, chosen)


class _File(VideoReader):
    def __init__(self, path: Path, chosen: range) -> None:
        load_av()
        with opened(path) as (container, stream):
            first = next(decoded(path, container, stream), None)
            if first is None:
                raise VideoFileError(f"{path}: expected a video, got a stream without frames")
            self._start_s = first.time or 0.0
            rate = stream.average_rate or stream.guessed_rate
            self._frames = stream.frames or None
        height, width, _ = upright(first).shape
        super().__init__(path, (height, width), float(rate or DEFAULT_FPS), chosen)

    def _total(self) -> int | None:
        return self._frames

    def sound(self) -> Sound | None:
        return Sound(self.path, self._start_s)

    def __iter__(self) -> Iterator[VideoFrame]:
        if not self._chosen:
            return
        with opened(self.path) as (container, stream):
            zero = None
            for number, frame in enumerate(decoded(self.path, container, stream)):
                time_s = number / self.fps if frame.time is None else frame.time
                zero = time_s if zero is None else zero
                if number in self._chosen:
                    yield VideoFrame(number, time_s - zero, upright(frame), str(self.path))
                if number >= self._chosen[-1]:
                    return

    def __reversed__(self) -> Iterator[VideoFrame]:
        if not self._chosen:
            return
        times: list[int | None] = []
        keys = []
        with opened(self.path) as (container, stream):
            for number, frame in enumerate(decoded(self.path, container, stream)):
                times.append(frame.pts)
                if frame.key_frame:
                    keys.append(number)
                if number >= self._chosen[-1]:
                    break
        wanted = [*range(self._chosen.start, min(self._chosen.stop, len(times)))]
        wanted = wanted[:: self._chosen.step]
        # Where times tell the frames apart, a part is found by the key frame before it.
        numbers = {time: number for number, time in enumerate(times) if time is not None}
        keys = keys if len(numbers) == len(times) else []
        height, width = self.size
        at_a_time = max(1, _PART_BYTES // (height * width * 3))
        for end in range(len(wanted), 0, -at_a_time):
            part = wanted[max(0, end - at_a_time) : end]
            key = max((key for key in keys if key <= part[0]), default=0)
            found = self._part(part, numbers, times[key] if key else None)
            if len(found) < len(part):  # a decoder that does not begin there
                found = self._part(part, {}, None)
            yield from reversed(found)

    def _part(
        self, part: list[int], numbers: dict[int, int], since: int | None
    ) -> list[VideoFrame]:
        """The frames of these growing numbers, told by their times after ``since``, else by
        counting from the start."""
        found = []
        with opened(self.path) as (container, stream):
            if since is not None:
                container.seek(since, stream=stream)
            zero = None
            for count, frame in enumerate(decoded(self.path, container, stream)):
                number = count if since is None else numbers.get(frame.pts or 0, -1)
                time_s = number / self.fps if frame.time is None else frame.time
                zero = time_s if zero is None and since is None else zero
                if number in part:
                    since_s = time_s - (self._start_s if zero is None else zero)
                    found.append(VideoFrame(number, since_s, upright(frame), str(self.path)))
                if number >= part[-1]:
                    break
        return found


class StreamReader(VideoReader):
    """What comes from an address, once, in one direction."""

    def _total(self) -> None:
        return None

    def __reversed__(self) -> Iterator[VideoFrame]:
        raise VideoFileError(f"{self.name}: a stream has no end to go back from")

    def _is_over(self) -> VideoFileError:
        return VideoFileError(f"{self.name}: a stream is read once; open it again")


class _Live(StreamReader):
    """A stream: opened once, its first frame kept for whoever iterates."""

    def __init__(self, address: str, chosen: range) -> None:
        load_av()
        self._open = ExitStack()
        _, stream, self._frames, first = begun(address, self._open)
        self._first: Decoded | None = first
        rate = stream.average_rate or stream.guessed_rate
        height, width, _ = upright(first).shape
        super().__init__(shown(address), (height, width), float(rate or DEFAULT_FPS), chosen)

    def __iter__(self) -> Iterator[VideoFrame]:
        first, self._first = self._first, None
        if first is None:
            raise self._is_over()
        if not self._chosen:
            return
        zero = first.time or 0.0
        with self._open:
            for number, frame in enumerate(chain([first], self._frames)):
                time_s = number / self.fps if frame.time is None else frame.time - zero
                if number in self._chosen:
                    yield VideoFrame(number, time_s, upright(frame), self.name)
                if number >= self._chosen[-1]:
                    return


class _Folder(VideoReader):
    def __init__(self, path: Path, fps: float, chosen: range) -> None:
        self._files = list_images(path)
        if not self._files:
            raise VideoFileError(f"{path}: no pictures in this folder")
        first = self._files[0]
        data = first.read_bytes()
        try:
            image = open_rgb(data)
        except (OSError, ValueError) as error:
            text = f"{first}: expected a picture as the first frame, got one that cannot be read"
            raise VideoFileError(text) from error
        super().__init__(path, (image.height, image.width), fps, chosen)

    def _total(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[VideoFrame]:
        return map(self._frame, self.indexes)

    def __reversed__(self) -> Iterator[VideoFrame]:
        return map(self._frame, reversed(self.indexes))

    def _frame(self, number: int) -> VideoFrame:
        file = self._files[number]
        return VideoFrame(number, number / self.fps, file.read_bytes(), str(file))


def _check(
    start: int, stop: int | None, stride: int, max_frames: int | None, fps: float | None
) -> None:
    if start < 0:
        raise ValueError(f"start: expected 0 or more, got {start}")
    if stop is not None and stop <= start:
        raise ValueError(f"stop: expected more than start ({start}), got {stop}")
    if stride < 1:
        raise ValueError(f"stride: expected 1 or more, got {stride}")
    if max_frames is not None and max_frames < 1:
        raise ValueError(f"max_frames: expected 1 or more, got {max_frames}")
    if fps is not None and not 0 < fps < float("inf"):
        raise ValueError(f"fps: expected frames per second above 0, got {fps}")

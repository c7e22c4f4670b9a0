"""Clips as frames: video files, and folders of images. Video files need the extra ``video``."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .._images import list_images, open_rgb
from .._types.errors import MissingExtraError, VideoFileError
from .frames import VideoFrame

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame as Decoded
    from av.video.stream import VideoStream

DEFAULT_FPS = 25.0
"""Of a folder, and of a video file that does not tell its own."""


class VideoReader(ABC):
    """The chosen frames of a clip; made by ``read_video``.

    Each iteration reads from the start, one frame when it is asked for and none ahead, and closes
    the file at its end.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float, chosen: range) -> None:
        self.path = path
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
    def _total(self) -> int | None:
        """Frames in the whole file or folder."""

    def __repr__(self) -> str:
        height, width = self.size
        return f"{type(self).__name__}({str(self.path)!r}, {width}x{height}, {self.fps:g} fps)"


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

    Frames of a video file are RGB arrays, turned as its rotation says; files of a folder are sent
    as they are. Frames that are left out are still decoded, so a late ``start`` takes time.

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
    place = Path(path)
    if place.is_dir():
        return _Folder(place, DEFAULT_FPS if fps is None else fps, chosen)
    if fps is not None:
        raise ValueError(f"fps: a video file has its own, got {fps:g} for {place}")
    place.stat()
    return _File(place, chosen)


def load_av() -> object:
    """PyAV; ``MissingExtraError`` without it."""
    try:
        import av
    except ImportError as error:
        raise MissingExtraError(
            "video files need an extra: pip install 'diptych[video]'"
        ) from error
    return av


class _File(VideoReader):
    def __init__(self, path: Path, chosen: range) -> None:
        load_av()
        with _opened(path) as (container, stream):
            first = next(_decoded(path, container, stream), None)
            if first is None:
                raise VideoFileError(f"{path}: expected a video, got a stream without frames")
            rate = stream.average_rate or stream.guessed_rate
            self._frames = stream.frames or None
        height, width, _ = _upright(first).shape
        super().__init__(path, (height, width), float(rate or DEFAULT_FPS), chosen)

    def _total(self) -> int | None:
        return self._frames

    def __iter__(self) -> Iterator[VideoFrame]:
        if not self._chosen:
            return
        with _opened(self.path) as (container, stream):
            zero = None
            for number, frame in enumerate(_decoded(self.path, container, stream)):
                time_s = number / self.fps if frame.time is None else frame.time
                zero = time_s if zero is None else zero
                if number in self._chosen:
                    yield VideoFrame(number, time_s - zero, _upright(frame), str(self.path))
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
        for number in self.indexes:
            file = self._files[number]
            yield VideoFrame(number, number / self.fps, file.read_bytes(), str(file))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    import av

    try:
        # Told to be a file: a colon in a name would else make a protocol of what is before it.
        container = av.open(f"file:{path}")
    except av.FFmpegError as error:
        raise VideoFileError(f"{path}: expected a video file: {error.strerror}") from error
    with container:
        if not container.streams.video:
            raise VideoFileError(f"{path}: expected a video, got a file without a video stream")
        yield container, container.streams.video[0]


def _decoded(path: Path, container: InputContainer, stream: VideoStream) -> Iterator[Decoded]:
    import av

    number = 0
    try:
        for frame in container.decode(stream):
            yield frame
            number += 1
    except av.FFmpegError as error:
        failure = VideoFileError(f"{path}: broken at frame {number}: {error.strerror}")
        failure.frame_index = number
        raise failure from error


def _upright(frame: Decoded) -> NDArray[np.uint8]:
    pixels = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4
    upright: NDArray[np.uint8] = np.ascontiguousarray(np.rot90(pixels, turns))
    return upright


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

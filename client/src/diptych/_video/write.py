"""Clips written as MP4. Needs the extra ``video``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from .._files import FileWriter, Unfinished
from .._types.errors import VideoFileError
from .read import DEFAULT_FPS, VideoReader, load_av

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream
    from typing_extensions import Self

# The finest that MPEG-4 takes is 1/65535 s; this one divides into the usual frame rates.
_TICKS_PER_S = 60_000
# A fragment begins with a key frame, so a killed program loses no more than this.
_KEY_FRAME_EVERY_S = 1.0
_H264 = {"crf": "20", "preset": "veryfast"}
_MPEG4_BITS_PER_PIXEL = 0.25
# Written as fragments that play by themselves, and made an ordinary file at the end.
_CONTAINER = {"movflags": "+hybrid_fragmented", "flush_packets": "1"}
_BT_709, _LIMITED = 1, 1  # as ITU-T H.273 numbers colours; what players take HD for anyway


class VideoWriter:
    """An MP4 file that plays wherever the program ends; use it in a ``with`` block.

    ::

        with VideoWriter("out.mp4", fps=clip.fps) as writer:
            writer.write(pixels)

    H.264 where PyAV has libx264, else MPEG-4. Leaving the block, by an exception or Ctrl-C too,
    closes the file; a program that is killed leaves all but about the last second. The file is
    made by the first frame. A file that it replaces stays as it was until the end: the new one
    grows beside it, as ``.diptych-….part``.

    Args:
        path: ends in ``.mp4``.
        fps: frames per second, where ``write`` is not told times.
        sound: what ``read_video`` gave: the file gets its sound, as it is, for the time between the
            first frame and the last, by the times that ``write`` is told.
        overwrite: a file that is there may be replaced.

    Raises:
        MissingExtraError: without ``pip install 'diptych[video]'``.
        ValueError: an argument cannot be used.
        FileExistsError: a file is there, and ``overwrite`` was not said.
        OSError: nothing can be written there.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fps: float = DEFAULT_FPS,
        sound: VideoReader | None = None,
        overwrite: bool = False,
    ) -> None:
        load_av()
        self.path = Path(path)
        if self.path.suffix.lower() != ".mp4":
            raise ValueError(f"path: expected a file that ends in .mp4, got {str(path)!r}")
        if not 0 < fps <= 1000:
            raise ValueError(f"fps: expected above 0, up to 1000, got {fps}")
        self._files = FileWriter(overwrite=overwrite)
        self._files.check(self.path)
        self._unfinished: Unfinished | None = None
        self._fps = fps
        self._sound = None if sound is None else sound.sound()
        self._size = (0, 0)
        self._tick = -1
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._pause = 0
        self._zero_s = 0.0
        self._failed = False
        self._broken = False
        self._closed = False

    @property
    def sound_left_out(self) -> str:
        """Why the file does not hold the clip's sound; empty if it does, or if there is none."""
        return "" if self._sound is None else self._sound.left_out

    def write(self, pixels: NDArray[np.uint8], time_s: float | None = None) -> None:
        """Adds a frame: ``(height, width, 3)`` RGB uint8, all of one size.

        An odd side grows by one pixel, as H.264 wants even ones. ``time_s`` is in seconds and
        grows; the file begins with the first frame's. Without it the frame comes ``1 / fps`` after
        the last one.

        Raises:
            VideoFileError: the file cannot be written.
            FileExistsError: a file of this name appeared meanwhile.
            ValueError: it is no such frame, or the writer is closed.
        """
        if self._closed:
            raise ValueError(f"{self.path}: the writer is closed")
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
            raise ValueError(
                f"pixels: expected shape (H, W, 3) and uint8, got {pixels.shape} and {pixels.dtype}"
            )
        stream = self._stream or self._open(pixels.shape[0], pixels.shape[1])
        if pixels.shape[:2] != self._size:
            raise ValueError(f"pixels: expected {self._size} as before, got {pixels.shape[:2]}")
        self._encode(stream, pixels, self._next_tick(time_s))

    def close(self) -> None:
        """Writes what is left and closes the file; leaving the block does this.

        Raises:
            VideoFileError: the file cannot be written.
        """
        container, self._container = self._container, None
        unfinished, self._unfinished = self._unfinished, None
        self._closed = True
        if unfinished is None:
            return
        try:
            self._end(container)
        finally:
            # A file that broke plays up to there, which is not worth the one that it would replace.
            if self._tick >= 0 and not (self._broken and unfinished.replaces):
                unfinished.keep()
            else:
                unfinished.drop()

    def _end(self, container: OutputContainer | None) -> None:
        if container is None or self._stream is None:
            return
        try:
            with self._told():
                try:
                    if self._tick >= 0:
                        container.mux(self._stream.encode(None))
                        self._write_sound(container, self._tick + self._pause)
                finally:
                    if self._sound is not None:
                        self._sound.close()
                    container.close()
        except VideoFileError:
            # Said once already, by the frame that could not be written.
            if not self._failed:
                raise

    def _open(self, height: int, width: int) -> VideoStream:
        import av

        codec: Literal["libx264", "mpeg4"]
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        # One that could not be opened may be tried again.
        self._unfinished = self._unfinished or self._files.grow(self.path)
        with self._told():
            place = self._unfinished.place
            container = av.open(f"file:{place}", "w", format="mp4", options=_CONTAINER)
            rate = Fraction(self._fps).limit_denominator(100_000)
            stream = container.add_stream(codec, rate=rate)
        self._size = (height, width)
        self._pause = round(_TICKS_PER_S / self._fps)
        stream.height, stream.width = height + height % 2, width + width % 2
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, _TICKS_PER_S)
        context.gop_size = max(1, round(self._fps * _KEY_FRAME_EVERY_S))
        # Frames that wait for later ones would move the first one away from time 0.
        context.max_b_frames = 0
        context.colorspace = context.color_primaries = context.color_trc = _BT_709
        context.color_range = _LIMITED
        context.options = _H264 if codec == "libx264" else {}
        if codec != "libx264":
            context.bit_rate = round(height * width * self._fps * _MPEG4_BITS_PER_PIXEL)
        if self._sound is not None:
            self._sound.add_to(container)
        with self._told():
            # Else a folder that is not there would be noticed when the encoder gives its first
            # packet, many frames later.
            container.start_encoding()
        self._container, self._stream = container, stream
        return stream

    def _next_tick(self, time_s: float | None) -> int:
        if self._tick < 0:
            self._zero_s = time_s or 0.0
            return 0
        if time_s is None:
            return self._tick + self._pause
        # Two frames of one time would end the file.
        return max(round((time_s - self._zero_s) * _TICKS_PER_S), self._tick + 1)

    def _encode(self, stream: VideoStream, pixels: NDArray[np.uint8], tick: int) -> None:
        import av

        height, width = self._size
        if height % 2 or width % 2:
            pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=_BT_709)
        frame.pts, frame.duration = tick, self._pause
        frame.time_base = Fraction(1, _TICKS_PER_S)
        assert self._container is not None
        self._failed = True
        with self._told():
            self._container.mux(stream.encode(frame))
            self._write_sound(self._container, tick)
        self._failed = False
        self._tick = tick

    def _write_sound(self, container: OutputContainer, tick: int) -> None:
        if self._sound is not None:
            self._sound.write(container, self._zero_s, tick / _TICKS_PER_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Raises what PyAV raises as an error that names the file."""
        import av

        try:
            yield
        except av.FFmpegError as error:
            self._broken = True
            raise VideoFileError(f"{self.path}: cannot be written: {error.strerror}") from error

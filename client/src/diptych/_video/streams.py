"""Video streams as frames: opened, chosen, decoded, upright. Needs the extra ``video``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._types.errors import MissingExtraError, VideoFileError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame as Decoded
    from av.video.stream import VideoStream

SILENCE_S = 10.0
"""An address from which nothing comes for so long is given up."""
DEVICES = frozenset({"avfoundation", "dshow", "lavfi", "v4l2"})  # FFmpeg's, named before ://
# Over UDP a picture of a camera that loses a packet is grey for seconds.
_OVER_TCP = {"rtsp_flags": "prefer_tcp"}
_OPTIONS = {
    "rtsp": _OVER_TCP,
    "rtsps": _OVER_TCP,
    # Cameras of a Mac refuse the 29.97 that FFmpeg asks for by itself.
    "avfoundation": {"framerate": "30"},
}
_SECRET = re.compile(r"(?<=://)[^/@\s]*@")


def shown(place: Path | str) -> str:
    """A file or address as it may be printed: without user and password."""
    return _SECRET.sub("", place) if isinstance(place, str) else str(place)


def load_av() -> object:
    """PyAV; ``MissingExtraError`` without it."""
    try:
        import av
    except ImportError as error:
        raise MissingExtraError(
            "video files need an extra: pip install 'diptych[video]'"
        ) from error
    return av


@contextmanager
def opened(path: Path | str) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The file or address, and the stream that players show; ``VideoFileError`` without one."""
    import av

    place, name = str(path), shown(path)
    scheme = "" if isinstance(path, Path) else path.partition("://")[0]
    kind: str | None = None
    timeout: float | None = SILENCE_S
    if isinstance(path, Path):
        # Told to be a file: a colon in a name would else make a protocol of what is before it.
        place, timeout = f"file:{path}", None
    elif scheme in DEVICES:
        kind, _, place = path.partition("://")
    try:
        container = av.open(place, format=kind, timeout=timeout, options=_OPTIONS.get(scheme))
    except av.FFmpegError as error:
        expected = "expected a video file" if isinstance(path, Path) else "cannot be opened"
        raise VideoFileError(f"{name}: {expected}: {error.strerror}") from error
    except ValueError as error:  # a kind of device of another system
        raise VideoFileError(f"{name}: PyAV cannot open it here: {error}") from error
    with container:
        yield container, _main_stream(name, container)


def _main_stream(path: Path | str, container: InputContainer) -> VideoStream:
    """The video stream that players show: the default one, else the first; never a cover."""
    from av.stream import Disposition

    streams = container.streams.video
    if not streams:
        raise VideoFileError(f"{path}: expected a video, got a file without a video stream")
    shown = [one for one in streams if not one.disposition & Disposition.attached_pic]
    if not shown:
        raise VideoFileError(f"{path}: expected a video, got a file with a cover picture alone")
    return next((one for one in shown if one.disposition & Disposition.default), shown[0])


def begun(
    address: str, open_until: ExitStack
) -> tuple[InputContainer, VideoStream, Iterator[Decoded], Decoded]:
    """Open a stream until a stack ends: its container, itself, its further frames and the first.

    Raises:
        VideoFileError: it cannot be opened, or there is no frame.
    """
    container, stream = open_until.enter_context(opened(address))
    frames = decoded(address, container, stream)
    first = next(frames, None)
    if first is None:
        open_until.close()
        text = "expected a video, got a stream without frames"
        raise VideoFileError(f"{shown(address)}: {text}")
    return container, stream, frames, first


def decoded(path: Path | str, container: InputContainer, stream: VideoStream) -> Iterator[Decoded]:
    """Its frames; ``VideoFileError`` with the number of the one where it breaks."""
    import av

    number = 0
    try:
        for frame in container.decode(stream):
            yield frame
            number += 1
    except av.FFmpegError as error:
        failure = VideoFileError(f"{shown(path)}: broken at frame {number}: {error.strerror}")
        failure.frame_index = number
        raise failure from error


def upright(frame: Decoded) -> NDArray[np.uint8]:
    """Its pixels as players show them: ``(height, width, 3)`` RGB."""
    pixels: NDArray[Any] = frame.to_ndarray(format="rgb24")
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return np.ascontiguousarray(pixels)
    # Of ISO 14496-12: x' = a x + c y and y' = b x + d y, as 16.16; PyAV's rotation says nothing of
    # mirroring. An angle between is taken for the nearest that keeps rows and columns.
    a, b, _, c, d = (int(each) for each in np.frombuffer(matrix, "=i4")[:5])
    turned = abs(b) + abs(c) > abs(a) + abs(d)
    if turned:
        pixels = pixels.transpose(1, 0, 2)
    right, down = (c, b) if turned else (a, d)
    shown = pixels[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1]
    return np.ascontiguousarray(shown)

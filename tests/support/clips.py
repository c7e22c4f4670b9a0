"""Small clips for tests, and how to look into those that were written."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diptych import VideoWriter

Pixels = NDArray[np.uint8]
FPS = 25.0
SIZE = (64, 96)
"""Height and width."""


def shade(index: int) -> int:
    """The grey of frame ``index``: frames can be told apart after compression."""
    return 40 + 4 * index


def frame(index: int, size: tuple[int, int] = SIZE) -> Pixels:
    """A grey frame whose upper left quarter is red."""
    height, width = size
    pixels = np.full((height, width, 3), shade(index), np.uint8)
    pixels[: height // 2, : width // 2] = (220, 30, 40)
    return pixels


def make_clip(path: Path, count: int, size: tuple[int, int] = SIZE, fps: float = FPS) -> Path:
    """An MP4 file of ``count`` frames."""
    with VideoWriter(path, fps=fps) as writer:
        for index in range(count):
            writer.write(frame(index, size))
    return path


def make_folder(path: Path, count: int, size: tuple[int, int] = SIZE) -> Path:
    """A folder of PNG files whose names need to be sorted by number."""
    path.mkdir()
    for index in range(count):
        Image.fromarray(frame(index, size)).save(path / f"f{index}.png")
    return path


def make_matroska(path: Path, times_ms: list[int]) -> Path:
    """A file whose header does not tell how many frames it has, with these times."""
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for index, time in enumerate(times_ms):
            picture = av.VideoFrame.from_ndarray(frame(index), format="rgb24")
            picture.pts, picture.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def make_broadcast(path: Path, count: int) -> Path:
    """A file as television has them: of two fields each, and of pixels that are not square."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25, options={"flags": "+ildct+ilme"})
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(8, 9)
        for index in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame(index), format="rgb24")))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        shown = next(container.decode(video=0))
        assert shown.interlaced_frame
        assert container.streams.video[0].sample_aspect_ratio == Fraction(8, 9)
    return path


TURNED = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}
"""a, b, c and d of the matrix that turns a picture clockwise by so many degrees."""


def rotate(path: Path, degrees: int) -> None:
    """Says in the file's track header that players turn the picture clockwise."""
    transform(path, TURNED[degrees])


def transform(path: Path, matrix: tuple[float, float, float, float]) -> None:
    """Says in the file's track header that players show pixel (x, y) at (ax + cy, bx + dy)."""
    data = bytearray(path.read_bytes())
    # The last header counts: the first is left from when the file was being written. In version 0
    # times and ids come first, then layer and volume.
    at = data.rindex(b"tkhd") + 4 + 4 + 20 + 16
    a, b, c, d = (round(each * (1 << 16)) for each in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def make_streams(path: Path, shades: list[int], default: int) -> Path:
    """A Matroska file with a grey video stream for each shade, one of which is the default."""
    from av.stream import Disposition

    with av.open(str(path), "w", format="matroska") as container:
        streams = []
        for number in range(len(shades)):
            stream = container.add_stream("mpeg4", rate=25)
            stream.height, stream.width = SIZE
            stream.pix_fmt = "yuv420p"
            stream.disposition = Disposition.default if number == default else Disposition(0)
            streams.append(stream)
        for level, stream in zip(shades, streams, strict=True):
            picture = av.VideoFrame.from_ndarray(
                np.full((*SIZE, 3), level, np.uint8), format="rgb24"
            )
            container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
    return path


def make_b_frames(path: Path, count: int) -> Path:
    """An MP4 file whose frames are not stored in the order in which they are shown."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 8, 2
        for index in range(count):
            picture = av.VideoFrame.from_ndarray(frame(index), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def make_sound(path: Path, count: int, codec: str = "aac") -> Path:
    """A clip of ``count`` frames with a tone, which begins with the picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        tone = container.add_stream(codec, rate=16_000, layout="mono")
        samples = np.sin(np.arange(count * 640) / 9).astype(np.float32)[None]
        for index in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame(index), format="rgb24")))
        sound = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        sound.sample_rate, sound.pts = 16_000, 0
        for part in av.AudioResampler(tone.format, "mono", 16_000).resample(sound):
            container.mux(tone.encode(part))
        container.mux([*tone.encode(None), *stream.encode(None)])
    return path


def sound_of(path: Path) -> list[tuple[float, bytes]]:
    """Times in seconds and packets of a file's sound; empty if it has none."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return []
        packets = [packet for packet in container.demux(audio=0) if packet.size]
        return [(float(packet.pts * packet.time_base), bytes(packet)) for packet in packets]


def damage(path: Path, index: int) -> None:
    """Overwrites frame ``index`` of a file, whose own index stays as it is."""
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][index]
        at, size = packet.pos, packet.size
    data = bytearray(path.read_bytes())
    assert at is not None
    data[at : at + size] = b"\xff" * size
    path.write_bytes(data)


def read_back(path: Path) -> list[Pixels]:
    """All frames of a written file, by PyAV itself."""
    with av.open(str(path)) as container:
        return [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]


def times(path: Path) -> list[float]:
    """When each frame of a file is shown, in seconds."""
    with av.open(str(path)) as container:
        return [f.time for f in container.decode(video=0)]

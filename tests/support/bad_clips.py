"""Clips that browsers do not play, or play in ways of their own."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from clips import frame

RATE = 25


def make_encoded(
    path: Path,
    codec: str,
    count: int = 10,
    *,
    size: tuple[int, int] = (96, 128),
    times_ms: list[int] | None = None,
    pix_fmt: str = "yuv420p",
    live: bool = False,
) -> Path:
    """A file of frames in this codec, at these times if they are not even.

    A ``live`` one was written by what could not go back to its head, as browsers do it: it does
    not say how long it is.
    """
    options = {"live": "1"} if live else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        if codec == "libx265":
            stream.options = {"x265-params": "log-level=none"}
        if times_ms:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(count):
            picture = av.VideoFrame.from_ndarray(frame(index, size), format="rgb24")
            if times_ms:
                picture.pts, picture.time_base = times_ms[index], Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def make_sound_only(path: Path, codec: str = "aac") -> Path:
    """A file that has sound and no video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=48_000)
        tone = np.sin(np.arange(48_000) / 20).astype(np.float32)[None]
        sound = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        sound.rate = 48_000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    return path

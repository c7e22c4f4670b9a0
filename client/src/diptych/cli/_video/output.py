"""What ``diptych video`` writes for each frame: a picture, and a line of JSON."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import click
import numpy as np
from numpy.typing import NDArray

from ... import VideoFrame, VideoPanel, VideoReader, VideoWriter, side_by_side
from ...documents.results import error_document
from ...documents.video import video_frame_document
from .._exits import describe
from .._tables import milliseconds
from .follow import Settled, busy_seconds

Pixels = NDArray[np.uint8]


class Sink(Protocol):
    """Takes finished frames in order."""

    def write(self, pixels: Pixels, frame: VideoFrame) -> None:
        """Add the drawn pixels of a frame, ``(height, width, 3)`` RGB."""


class _Clip:
    def __init__(self, writer: VideoWriter) -> None:
        self._writer = writer

    def write(self, pixels: Pixels, frame: VideoFrame) -> None:
        self._writer.write(pixels, frame.time_s)


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, pixels: Pixels, frame: VideoFrame) -> None:
        from PIL import Image

        path = self._folder / f"{frame.index:06d}.png"
        Image.fromarray(pixels).save(path, compress_level=1)


def open_sink(
    out: Path | None, clip: VideoReader
) -> tuple[AbstractContextManager[object], Sink | None]:
    """What to enter and leave, and where pictures go.

    Raises:
        click.BadParameter: nothing can be written there.
        MissingExtraError: for an MP4 file, without ``pip install 'diptych[video]'``.
    """
    if out is None:
        return nullcontext(), None
    if out.resolve() == clip.path.resolve():
        raise click.BadParameter(f"{str(out)!r} is the source itself.", param_hint="--out")
    if out.suffix.lower() == ".mp4" and not out.is_dir():
        if not out.parent.is_dir():
            raise click.BadParameter(f"no directory {str(out.parent)!r}.", param_hint="--out")
        writer = VideoWriter(out, fps=min(1000.0, clip.fps / clip.indexes.step))
        return writer, _Clip(writer)
    if out.suffix and not out.is_dir():
        raise click.BadParameter(
            f"expected FILE.mp4 or a folder, got {str(out)!r}.", param_hint="--out"
        )
    if out.exists() and not out.is_dir():
        raise click.BadParameter(f"{str(out)!r} is a file, not a folder.", param_hint="--out")
    out.mkdir(parents=True, exist_ok=True)
    return nullcontext(), _Folder(out)


def picture(
    frame: VideoFrame,
    answers: Sequence[tuple[str, Settled]],
    size: tuple[int, int],
    *,
    titles: bool,
) -> Pixels:
    """Draw on the frame, of ``size`` (height, width), what each model says of it.

    Gives ``(height, width, 3)`` RGB, side by side under titles if wanted.

    A file that cannot be read is black; one of another size than the first is cut or filled.
    """
    try:
        pixels = frame.pixels
    except (OSError, ValueError):
        pixels = np.zeros((*size, 3), np.uint8)
    panels = []
    for name, answer in answers:
        drawn = pixels if answer.result is None else answer.result.draw(pixels)
        note, error = f"frame {frame.index}", ""
        if answer.result is not None:
            note += f" · {milliseconds(busy_seconds(answer.result))} ms"
        elif answer.error is not None:
            error = f"{type(answer.error).__name__}: {describe(answer.error)}"
        panels.append(VideoPanel(name, _fitted(drawn, size), note, error))
    return side_by_side(panels) if titles else panels[0].pixels


def frame_document(
    source: str, model_id: str, frame: VideoFrame, answer: Settled
) -> dict[str, Any]:
    """A model's last word on a frame; masks as COCO RLE."""
    head = {
        "source": source,
        "model_id": model_id,
        "frame_index": frame.index,
        "time_s": round(frame.time_s, 6),
    }
    result = answer.result
    if result is None:
        return head | {"error": error_document(answer.error or RuntimeError("no answer"))}
    return head | video_frame_document(result)


def _fitted(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    if pixels.shape[:2] == size:
        return pixels
    canvas = np.zeros((*size, 3), np.uint8)
    part = pixels[: size[0], : size[1]]
    canvas[: part.shape[0], : part.shape[1]] = part
    return canvas

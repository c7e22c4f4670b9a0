"""What ``diptych video`` writes for each frame: a picture, and a line of JSON."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol, cast

import click
import numpy as np
from numpy.typing import NDArray

from ... import VideoFrame, VideoPanel, VideoReader, VideoWriter, side_by_side
from ..._files import FileWriter
from ..._pictures.images import list_images
from ...documents.results import failure_document
from ...documents.types import FailureDocument, VideoFrameDocument
from ...documents.video import video_frame_document
from .._exits import describe
from .._outputs import check_files, is_folder, out_folder, refused
from .._tables import milliseconds
from .follow import Settled, busy_seconds

Pixels = NDArray[np.uint8]


class Sink(Protocol):
    """Takes finished frames in order."""

    has_ended: bool
    """It takes no more, and the rest need not be looked for."""

    def write(self, pixels: Pixels, frame: VideoFrame) -> None:
        """Add the drawn pixels of a frame, ``(height, width, 3)`` RGB."""


class _Clip:
    has_ended = False

    def __init__(self, writer: VideoWriter) -> None:
        self._writer = writer

    def write(self, pixels: Pixels, frame: VideoFrame) -> None:
        self._writer.write(pixels, frame.time_s)


class _Folder:
    has_ended = False

    def __init__(self, folder: Path, files: FileWriter) -> None:
        self._folder = folder
        self._files = files

    def write(self, pixels: Pixels, frame: VideoFrame) -> None:
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
        self._files.write(self._folder / _frame_name(frame.index), buffer.getvalue())


def open_sink(
    out: str | None, clip: VideoReader, *, overwrite: bool
) -> tuple[AbstractContextManager[object], Sink | None]:
    """What to enter and leave, and where pictures go.

    Raises:
        click.BadParameter: nothing can be written there, or what is there would be lost.
        MissingExtraError: for an MP4 file, without ``pip install 'diptych[video]'``.
    """
    # An address may lead to a file, too.
    source = Path(str(clip.path).removeprefix("file:"))
    sources = list_images(source) if source.is_dir() else [source]
    if out is not None and out.lower().endswith(".mp4") and not is_folder(out):
        check_files([Path(out)], sources, overwrite=overwrite)
        fps = min(1000.0, clip.fps / clip.indexes.step)
        with refused("--out"):
            writer = VideoWriter(out, fps=fps, sound=clip, overwrite=overwrite)
        return _told(writer), _Clip(writer)
    folder = out_folder(out, "FILE.mp4 or a folder", overwrite)
    if folder is None:
        return nullcontext(), None
    if folder.resolve() == clip.path.resolve():
        raise click.BadParameter(f"{out!r} is the source itself.", param_hint="--out")
    names = {_frame_name(clip.indexes.start), *_names_there(folder, clip.indexes)}
    paths = [folder / name for name in sorted(names)]
    files = check_files(paths, sources, overwrite=overwrite, make_folders=True)
    return nullcontext(), _Folder(folder, files)


def _frame_name(index: int) -> str:
    return f"{index:06d}.png"


def _names_there(folder: Path, indexes: range) -> list[str]:
    """Names of frames that are there already: clips do not always know how long they are."""
    names = os.listdir(folder) if folder.is_dir() else []
    numbers = (re.fullmatch(r"(\d{6,18})\.png", name, re.ASCII) for name in names)
    found = (int(number[1]) for number in numbers if number)
    return [_frame_name(index) for index in found if index in indexes]


@contextmanager
def _told(writer: VideoWriter) -> Iterator[None]:
    """The writer, and at its end why the file is without the clip's sound, if it is."""
    with writer:
        yield
    if writer.sound_left_out:
        click.echo(f"diptych: {writer.path}: without the sound: {writer.sound_left_out}", err=True)


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
) -> VideoFrameDocument | FailureDocument:
    """A model's last word on a frame; masks as COCO RLE."""
    place = {"model_id": model_id, "frame_index": frame.index, "time_s": round(frame.time_s, 6)}
    if answer.result is None:
        failure = failure_document(answer.error or RuntimeError("no answer"), source)
        return cast(FailureDocument, failure | place)
    head = {"source": source, **place}
    return cast(VideoFrameDocument, head | {**video_frame_document(answer.result)})


def _fitted(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    if pixels.shape[:2] == size:
        return pixels
    canvas = np.zeros((*size, 3), np.uint8)
    part = pixels[: size[0], : size[1]]
    canvas[: part.shape[0], : part.shape[1]] = part
    return canvas

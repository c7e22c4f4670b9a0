"""Cameras and streams of ``diptych video``."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import click

from ..._live.camera import Camera
from ..._video.read import VideoReader

LIVE_IN_FLIGHT = 2
"""Frames of a camera on their way at a time: the next is there when the model is free, and none
waits longer."""


def opened_stream(
    address: str,
    start: int,
    stride: int,
    max_frames: int | None,
    duration: float | None,
    fps: float | None,
    direction: str,
) -> VideoReader:
    """The camera or stream behind an address.

    Raises:
        click.BadParameter: an option is for files.
        VideoFileError: it cannot be opened.
    """
    if fps is not None:
        raise click.BadParameter(
            "expected only with a folder of frames; a stream has its own.", param_hint="--fps"
        )
    if direction != "forward":
        raise click.BadParameter(
            "expected forward: a stream has no end to go back from.", param_hint="--direction"
        )
    chosen = range(start, sys.maxsize, stride)[:max_frames]
    return Camera(address, chosen=chosen, duration_s=duration, tell=_tell)


def end(camera: Camera) -> None:
    """Lets a camera end, and says how to end it at once; for a handler of signals."""
    camera.stop()
    # Not by stderr's buffer, in the middle of which the signal may have come.
    with suppress(OSError, ValueError):
        text = "diptych: ending with the frames on their way; Ctrl-C once more ends it at once\n"
        os.write(sys.stderr.fileno(), text.encode())


def tell_of(camera: Camera) -> None:
    """Prints to stderr how many frames came and were dropped, and how often it was lost."""
    dropped = camera.come - camera.taken
    if dropped and not camera.waits:
        _tell(
            f"{camera.come} frames came, {camera.taken} were followed, and {dropped} dropped while "
            "the models were busy"
        )
    if camera.lost:
        _tell(f"the stream was lost {camera.lost} time{'' if camera.lost == 1 else 's'}")


def _tell(sentence: str) -> None:
    click.echo(f"diptych: {sentence}", err=True)

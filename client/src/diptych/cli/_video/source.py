"""What ``diptych video`` is asked to follow objects through."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import click

from ... import VideoReader, read_video
from ..._live.places import camera_address

SAMPLE = "sample"


class Source(click.Path):
    """A file, folder, address or camera; ``sample`` is the clip that comes with this package."""

    def __init__(self) -> None:
        super().__init__(exists=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and "://" in value:
            return value
        if isinstance(value, str) and not Path(value).exists():
            try:
                address = camera_address(value)
            except ValueError as error:
                self.fail(str(error), param, ctx)
            if address is not None:
                return address
        if value == SAMPLE and not Path(SAMPLE).exists():
            return Path(str(files("diptych") / "samples" / "clip.mp4"))
        return super().convert(value, param, ctx)


def opened_clip(source: Path, *, fps: float | None, **chosen: Any) -> VideoReader:
    """The chosen frames of a file or folder.

    Raises:
        click.BadParameter: an option does not fit it.
    """
    if fps is not None and not source.is_dir():
        raise click.BadParameter(
            "expected only with a folder of frames; a video file has its own.", param_hint="--fps"
        )
    clip = read_video(source, fps=fps, **chosen)
    if clip.frame_count == 0:
        raise click.BadParameter(
            f"expected the number of a frame that is there, got {clip.indexes.start}.",
            param_hint="--start",
        )
    return clip

"""Files for other tools: ``--format``, and what is written into the folder ``--out``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from .. import Client, DiptychError
from .._files import FileWriter
from ..formats import FORMATS, Options, Picture, format_of, names_of
from ._options import Number
from ._outputs import check_files, out_folder
from ._pipes import STDOUT, check_stdout, print_only

_F = TypeVar("_F", bound=Callable[..., Any])


def format_options(function: _F) -> _F:
    """``--format`` and ``--tolerance``."""
    formats = click.option(
        "--format",
        "formats",
        multiple=True,
        type=click.Choice(list(FORMATS)),
        help="Files for other tools in the folder --out, instead of figures; may be repeated.",
    )
    tolerance = click.option(
        "--tolerance",
        type=Number(min=0),
        default=0.0,
        metavar="PX",
        help="How far polygons may be from the outlines; 0 follows pixels. [0]",
    )
    return formats(tolerance(function))


class FormatFiles:
    """What one command writes for other tools, when all pictures are answered; without a writer it
    is one file, for stdout."""

    def __init__(
        self, formats: Sequence[str], tolerance: float, folder: Path, writer: FileWriter | None
    ) -> None:
        self._formats = list(dict.fromkeys(formats))
        self._tolerance = tolerance
        self._folder = folder
        self._writer = writer

    def write(
        self, pictures: Sequence[Picture], client: Client | None = None, *, below: str = ""
    ) -> None:
        """Write every format of these pictures, in a folder of its own if there are several.

        Raises:
            OSError: it cannot be written.
            click.ClickException: stdout is to have one file, and these are several.
        """
        categories, skeleton = _known(client, pictures)
        options = Options(self._tolerance, categories, skeleton)
        if self._writer is None:
            (name,) = self._formats
            print_only(name, FORMATS[name].write(pictures, options))
            return
        for name in self._formats:
            folder = _place(self._folder / below, self._formats, name)
            for file, data in FORMATS[name].write(pictures, options):
                self._writer.write(folder / file, data)


def format_files(
    formats: Sequence[str],
    tolerance: float,
    out: str | None,
    images: Sequence[Path],
    *,
    overwrite: bool,
    below: Sequence[str] = ("",),
) -> FormatFiles | None:
    """Make what writes the formats, ``None`` without any; what cannot be written is said now."""
    if not formats:
        if tolerance:
            raise click.UsageError("--tolerance: expected only with --format.")
        return None
    if out == STDOUT:
        if len(set(formats)) > 1 or (below != ("",) and len(below) != 1):
            what = "--format" if len(set(formats)) > 1 else "--model"
            raise click.UsageError(f"--out -: expected one {what} for one file on stdout.")
        check_stdout(f"--format {formats[0]}", binary=formats[0] in ("masks", "indexed"))
        return FormatFiles(formats, tolerance, Path(), None)
    folder = out_folder(out, "a folder for the files of --format", overwrite)
    if folder is None:
        raise click.UsageError(
            "--format: expected --out FOLDER beside it, or --out - for one file."
        )
    nothing = [Picture(name, 1, 1, ()) for name in names_of(images)]
    paths = [
        _place(folder / part, formats, name) / file
        for part in below
        for name in formats
        for file, _ in format_of(name).write(nothing)
    ]
    writer = check_files(paths, images, overwrite=overwrite, make_folders=True)
    return FormatFiles(formats, tolerance, folder, writer)


def _place(folder: Path, formats: Sequence[str], name: str) -> Path:
    return folder / name if len(set(formats)) > 1 else folder


def _known(
    client: Client | None, pictures: Sequence[Picture]
) -> tuple[dict[int, str], Sequence[tuple[int, int]]]:
    """Classes and bodies of the models that answered: numbers are then the same in every export."""
    categories: dict[int, str] = {}
    skeleton: Sequence[tuple[int, int]] = ()
    for model_id in dict.fromkeys(picture.model_id for picture in pictures):
        try:
            card = client.model_card(model_id) if client else None
        except DiptychError:  # gone meanwhile: what was found is written all the same
            continue
        if card is not None:
            categories |= {one.id: one.name for one in card.categories}
            skeleton = card.keypoint_schema.edges if card.keypoint_schema else skeleton
    return categories, skeleton

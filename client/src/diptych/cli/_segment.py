"""``diptych segment``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import click

from .. import Client, ManyItem, SegmentResult
from .._many.again import DEFAULT_PATIENCE_S
from .._pictures.images import list_images
from ..documents.results import failure_document, result_document
from ..formats import Picture, names_of
from ._asking import ask_options, asked
from ._completion import model_option
from ._exits import FAILED, exit_code_of_many, report
from ._formats import FormatFiles, format_files, format_options
from ._json import print_json
from ._options import Number, connect, connection_options, jobs_option
from ._outputs import SEGMENTS, Figures, is_drawn, many_figures, one_figure, out_options
from ._pipes import PICTURES, as_given, shown_where
from ._progress import is_quiet, note, quiet_option, with_progress


@click.command()
@click.argument(
    "images",
    metavar="IMAGE...",
    nargs=-1,
    required=True,
    type=PICTURES,
)
@model_option
@ask_options
@click.option("--json", "as_json", is_flag=True, help="JSON with COCO RLE; a line per picture.")
@out_options(
    "Picture of the result, or for many and with --format a folder; - is stdout, for one file.",
    stdout=True,
)
@format_options
@jobs_option
@click.option(
    "--patience",
    type=Number(min=0),
    default=DEFAULT_PATIENCE_S,
    show_default=True,
    metavar="SECONDS",
    help="Of many pictures: wait for room or a model until nothing was answered for so long.",
)
@quiet_option
@connection_options
def segment(
    images: tuple[Path, ...],
    model: str | None,
    as_json: bool,
    out: str | None,
    overwrite: bool,
    formats: tuple[str, ...],
    tolerance: float,
    jobs: int,
    patience: float,
    address: str | None,
    timeout: float,
    **ask: Any,
) -> None:
    """Segment pictures, or all pictures of a folder, with one model.

    An IMAGE is a file, a folder, or - for a picture from stdin.
    """
    wanted = asked(**ask)
    out, as_json, shown = shown_where(out, as_json, formats)
    paths = [images[0]] if len(images) == 1 and images[0].is_file() else _expanded(images)
    files = format_files(formats, tolerance, out, paths, overwrite=overwrite)
    if len(images) == 1 and images[0].is_file():
        figures = None if files else one_figure(out, images[0], SEGMENTS, overwrite=overwrite)
        with connect(address, timeout) as client:
            arguments = wanted.of_model(client, model)
            result = as_given(client.segment(images[0], model=model, **arguments))
            if files:
                files.write([Picture.of(images[0].name, result)], client)
        # Before it is shown: who reads only the first lines still gets the figure.
        unsaved = figures.save(0, result, images[0]) if figures else None
        if shown:
            _show_one(result, as_json)
        if unsaved is not None:
            report(unsaved)
            click.get_current_context().exit(FAILED)
        return
    figures = None if files else many_figures(out, paths, SEGMENTS, overwrite=overwrite)
    with connect(address, timeout) as client:
        arguments = wanted.of_model(client, model) | {"model": model}
        arguments |= {"concurrency": jobs, "patience": patience}
        show = partial(_show_item, as_json=as_json) if shown else None
        _segment_all(client, paths, arguments, show, figures, files)


def _segment_all(
    client: Client,
    paths: list[Path],
    arguments: dict[str, Any],
    show: Callable[[Path, ManyItem], None] | None,
    figures: Figures | None,
    files: FormatFiles | None,
) -> None:
    errors: list[Exception] = []
    pictures: list[Picture] = []
    names = names_of(paths)
    items = client.segment_many(paths, **arguments)
    for number, item in enumerate(with_progress(items, len(paths), "Segmenting")):
        path = paths[number]
        error = item.error
        if item.result is not None and figures is not None:
            error = figures.save(number, item.result, path)
        if item.result is not None and files is not None:
            pictures.append(Picture.of(names[number], item.result))
        if show is not None:
            show(path, item)
        if error is not None:
            report(error, name=str(path))
            errors.append(error)
    if files is not None and pictures:
        files.write(pictures, client)
    note(f"{len(paths) - len(errors)} ok, {len(errors)} failed")
    click.get_current_context().exit(exit_code_of_many(errors, len(paths)))


def _show_one(result: SegmentResult, as_json: bool) -> None:
    if as_json:
        print_json(result_document(result))
        return
    if is_quiet():
        return
    from ._tables import headline, segment_table, stdout

    console = stdout()
    console.print(headline(result, result.timings.total_s))
    if result.segments:
        console.print(segment_table(result.segments))


def _show_item(path: Path, item: ManyItem, as_json: bool) -> None:
    if as_json:
        error = item.error or RuntimeError("no answer")
        found = result_document(item.result) if item.result else failure_document(error, str(path))
        print_json(found, indent=None)
    elif item.result is not None and not is_quiet():
        from ._tables import headline

        click.echo(f"{path}: {headline(item.result, item.result.timings.total_s)}")


def _tell_left_out(folder: Path, taken: int) -> None:
    """Say what a folder has besides: a person may have meant the folders in it, too."""
    seen = [one for one in folder.iterdir() if not one.name.startswith(".")]
    folders = sum(one.is_dir() for one in seen)
    others = len(seen) - folders - taken
    parts = [
        f"{count} {noun}{'' if count == 1 else 's'}"
        for count, noun in ((folders, "folder"), (others, "other file"))
        if count
    ]
    if parts:
        note(f"{folder}: {' and '.join(parts)} left out")


def _expanded(images: Iterable[Path]) -> list[Path]:
    """Every picture, those of folders without the figures that earlier commands drew of them."""
    paths: list[Path] = []
    for path in images:
        found = list_images(path) if path.is_dir() else [path]
        if not found:
            raise click.UsageError(f"{path}: no pictures in this folder")
        if path.is_dir():
            _tell_left_out(path, len(found))
        drawn = [one for one in found if is_drawn(one)] if path.is_dir() else []
        if drawn:
            noun = "figure" if len(drawn) == 1 else "figures"
            note(f"{path}: {len(drawn)} {noun} of pictures left out")
        paths += [one for one in found if one not in drawn]
    return paths

"""``diptych segment``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from .. import Client, ManyItem, SegmentResult
from .._images import list_images
from ..documents.results import error_document, result_document
from ._exits import FAILED, exit_code_of_all, report
from ._json import print_json
from ._options import ask_arguments, ask_options, check_figure_path, connect, connection_options
from ._progress import with_progress


@click.command()
@click.argument(
    "images",
    metavar="IMAGE...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, path_type=Path),
)
@click.option("--model", help="Id of the model; a model service knows its own.")
@ask_options
@click.option("--json", "as_json", is_flag=True, help="JSON with COCO RLE; a line per picture.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Picture of the result; for many, a folder."
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Pictures asked at a time.",
)
@connection_options
def segment(
    images: tuple[Path, ...],
    model: str | None,
    as_json: bool,
    out: Path | None,
    jobs: int,
    address: str | None,
    timeout: float,
    **ask: Any,
) -> None:
    """Segment pictures, or all pictures of a folder, with one model."""
    arguments = ask_arguments(**ask) | {"model": model}
    if len(images) == 1 and images[0].is_file():
        figure = None if out is None else _figure_path(images[0], out)
        with connect(address, timeout) as client:
            result = client.segment(images[0], **arguments)
        _show_one(images[0], result, as_json)
        if figure is not None:
            result.save(figure, image=images[0])
        return
    folder = None if out is None else _folder(out)
    paths = _expanded(images)
    with connect(address, timeout) as client:
        _segment_all(client, paths, arguments, jobs, as_json, folder)


def _segment_all(
    client: Client,
    paths: list[Path],
    arguments: dict[str, Any],
    jobs: int,
    as_json: bool,
    folder: Path | None,
) -> None:
    names = _figure_names(paths)
    errors: list[Exception] = []
    items = client.segment_many(paths, concurrency=jobs, **arguments)
    for number, item in enumerate(with_progress(items, len(paths), "Segmenting")):
        path = paths[number]
        _show_item(path, item, as_json)
        if item.error is not None:
            errors.append(item.error)
        elif item.result is not None and folder is not None:
            item.result.save(folder / names[number], image=path)
    if errors:
        failed_all = len(errors) == len(paths)
        click.get_current_context().exit(exit_code_of_all(errors) if failed_all else FAILED)


def _show_one(path: Path, result: SegmentResult, as_json: bool) -> None:
    if as_json:
        print_json({"source": str(path), **result_document(result)})
        return
    from ._tables import headline, segment_table, stdout

    console = stdout()
    console.print(headline(result, result.timings.total_s))
    if result.segments:
        console.print(segment_table(result.segments))


def _show_item(path: Path, item: ManyItem, as_json: bool) -> None:
    if as_json:
        found = (
            result_document(item.result)
            if item.result
            else {"error": error_document(item.error or RuntimeError("no answer"))}
        )
        print_json({"source": str(path), **found}, indent=None)
    elif item.result is not None:
        from ._tables import headline

        click.echo(f"{path}: {headline(item.result, item.result.timings.total_s)}")
    if item.error is not None:
        report(item.error, name=str(path))


def _expanded(images: Iterable[Path]) -> list[Path]:
    paths: list[Path] = []
    for path in images:
        found = list_images(path) if path.is_dir() else [path]
        if not found:
            raise click.UsageError(f"{path}: no JPEG, PNG or WebP files in this folder")
        paths += found
    return paths


def _figure_path(image: Path, out: Path) -> Path:
    path = out / f"{image.stem}.png" if out.is_dir() else check_figure_path(out)
    if path.resolve() == image.resolve():
        raise click.BadParameter(f"{path} is the picture itself.", param_hint="--out")
    return path


def _figure_names(paths: list[Path]) -> list[str]:
    """One file name each, told apart by a number where stems repeat."""
    seen: dict[str, int] = {}
    names = []
    for path in paths:
        count = seen[path.stem] = seen.get(path.stem, 0) + 1
        names.append(f"{path.stem}.segments{f'-{count}' if count > 1 else ''}.png")
    return names


def _folder(out: Path) -> Path:
    if out.exists() and not out.is_dir():
        raise click.BadParameter(
            f"{str(out)!r} is a file; many pictures need a folder.", param_hint="--out"
        )
    out.mkdir(parents=True, exist_ok=True)
    return out

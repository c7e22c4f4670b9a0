"""``diptych eval check``."""

from __future__ import annotations

from pathlib import Path

import click

from diptych.commands import FAILED

from ..model import EvaluationTask
from ._options import dataset_options


@click.command(short_help="Say what is wrong or strange in a data set.")
@dataset_options
def check(
    dataset: Path,
    images: Path | None,
    format: str,
    mapping: tuple[tuple[str, str], ...],
    crowd: str,
    exif: str,
) -> None:
    """Read a data set without asking any model; say all that is wrong or strange in it.

    Ends with 1 if it cannot be used as it is.
    """
    from ..data.check import inspect_dataset

    found = inspect_dataset(
        dataset, images=images, format=format, mapping=dict(mapping), crowd=crowd, exif=exif
    )
    for problem in found.problems:
        click.echo(f"diptych: {problem}", err=True)
    for warning in found.warnings:
        click.echo(f"note: {warning}")
    if found.dataset is None:
        count = len(found.problems)
        click.echo(f"{dataset}: {count} {'problem' if count == 1 else 'problems'}", err=True)
        click.get_current_context().exit(FAILED)
    read = found.dataset
    tasks = ", ".join(task.value for task in EvaluationTask if task in read.tasks)
    objects = sum(len(picture.truths) for picture in read.pictures)
    parts = [f"{len(read.pictures)} pictures", f"{objects} objects"] if read.pictures else []
    parts += [f"{len(read.clips)} clips"] if read.clips else []
    parts += [f"{len(read.categories)} classes"] if read.categories else []
    click.echo(f"{read.name}: {read.format}, {', '.join(parts)}; labels for {tasks or 'no task'}")

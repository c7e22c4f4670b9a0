"""``diptych eval DATASET``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from diptych.commands import (
    FAILED,
    Number,
    connect,
    connection_options,
    is_quiet,
    models_option,
    progress,
    quiet_option,
)

from ..asking.watching import Watcher
from ._options import ClicksType, Floor, FloorType, dataset_options, task_option

if TYPE_CHECKING:
    from ..evaluation import Run

_SHOWN_LINES = 20


class _DatasetCommand(click.Command):
    """Shows its usage without the word that is left out."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See ``click.Command``."""
        parent = ctx.parent or ctx
        formatter.write_usage(parent.command_path, " ".join(self.collect_usage_pieces(ctx)))


@click.command(name="run", cls=_DatasetCommand, hidden=True)
@dataset_options
@task_option
@models_option("Only these, in this order.", metavar="ID")
@click.option("--class-agnostic", is_flag=True, help="Ignore classes on both sides.")
@click.option(
    "--clicks",
    type=ClicksType(),
    default="1,3,5",
    show_default=True,
    help="After how many clicks mean IoU is wanted, in prompted.",
)
@click.option(
    "--max-clicks",
    type=click.IntRange(1, 100),
    default=20,
    show_default=True,
    help="No more clicks on an object, in prompted.",
)
@click.option(
    "--bootstrap",
    type=click.IntRange(0, 100_000),
    default=1000,
    show_default=True,
    help="Resamples of an interval; 0 for no intervals.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the resamples.")
@click.option("--limit", type=click.IntRange(1), help="Only so many pictures, the first by name.")
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    help="Pictures asked at a time.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="RESULTS",
    help="Folder for answers, figures and the report.",
)
@click.option(
    "--fail-under",
    "floors",
    type=FloorType(),
    multiple=True,
    help="End with 1 if the figure is lower.",
)
@click.option(
    "--dry-run", is_flag=True, help="Only say what would be asked, and how long it takes."
)
@click.option(
    "--patience",
    type=Number(min=0),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="Give up when nothing was answered for so long.",
)
@quiet_option
@connection_options
def evaluate_command(
    dataset: Path,
    images: Path | None,
    format: str,
    mapping: tuple[tuple[str, str], ...],
    crowd: str,
    exif: str,
    tasks: tuple[str, ...],
    models: tuple[str, ...],
    class_agnostic: bool,
    clicks: tuple[int, ...],
    max_clicks: int,
    bootstrap: int,
    seed: int,
    limit: int | None,
    jobs: int,
    out: Path,
    floors: tuple[Floor, ...],
    dry_run: bool,
    patience: float,
    address: str | None,
    timeout: float,
) -> None:
    """Ask all models about DATASET and say which is better, by how much, and how sure that is.

    A picture that a model refuses leaves the figures of all models, and is named. A gateway that is
    gone is waited for.
    """
    from ..data.opening import open_dataset
    from ..evaluation import evaluate
    from ._tables import print_estimates, print_run

    try:
        read = open_dataset(
            dataset, images=images, format=format, mapping=dict(mapping), crowd=crowd, exif=exif
        )
        with connect(address, timeout) as client:
            if dry_run:
                from ..asking.estimate import estimates

                print_estimates(
                    estimates(
                        client,
                        read,
                        models=models or None,
                        tasks=tasks or None,
                        results=out,
                        limit=limit,
                        class_agnostic=class_agnostic,
                        clicks=clicks,
                        max_clicks=max_clicks,
                    )
                )
                return
            with _Shown() as shown:
                run = evaluate(
                    client,
                    read,
                    models=models or None,
                    tasks=tasks or None,
                    out=out,
                    clicks=clicks,
                    max_clicks=max_clicks,
                    bootstrap=bootstrap,
                    seed=seed,
                    limit=limit,
                    jobs=jobs,
                    class_agnostic=class_agnostic,
                    patience=patience,
                    watcher=shown,
                )
    except ValueError as error:
        raise click.UsageError(f"{error}.") from error
    if not is_quiet():
        print_run(run)
    if missed := missed_floors(run, floors):
        for line in missed:
            click.echo(f"diptych: {line}", err=True)
    if missed or run.figures.refused:
        click.get_current_context().exit(FAILED)


def missed_floors(run: Run, floors: Sequence[Floor]) -> list[str]:
    """Say each figure that is below its floor, or is not there at all."""
    missed = []
    for floor in floors:
        try:
            found = run[floor.model_id][floor.figure]
        except KeyError as error:
            missed.append(f"--fail-under: {error.args[0]}")
            continue
        name = f"{floor.model_id}: {floor.figure}"
        if found.value is None:
            missed.append(f"{name} has no value, expected at least {floor.least:g}: {found.why}")
        elif found.value < floor.least:
            missed.append(f"{name} is {found.value:.4f}, expected at least {floor.least:g}")
    return missed


class _Shown(Watcher):
    """A bar, and lines on stderr."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._lines = 0

    def __enter__(self) -> _Shown:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def planned(self, calls: int) -> None:
        """See ``Watcher``."""
        self._bar = self._stack.enter_context(progress(calls, "Asking", unit="pictures"))

    def advanced(self) -> None:
        """See ``Watcher``."""
        self._bar.advance()

    def computing(self) -> None:
        """See ``Watcher``."""
        self._stack.close()
        self._stack.enter_context(progress(None, "Computing"))

    def said(self, line: str) -> None:
        """See ``Watcher``."""
        self._lines += 1
        if self._lines <= _SHOWN_LINES:
            click.echo(f"diptych: {line}", err=True)
        elif self._lines == _SHOWN_LINES + 1:
            click.echo("diptych: more is in the report only", err=True)

"""``diptych verify record`` and ``replay``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diptych import Box, ModelCard, Point, Task
from diptych.commands import (
    FAILED,
    REFUSED,
    BoxType,
    Number,
    PointType,
    connect,
    connection_options,
    exit_code_of_many,
    is_quiet,
    models_option,
    progress,
    quiet_option,
    report,
)

if TYPE_CHECKING:
    from ..verify.drift import Replay
    from ..verify.requests import Request

_MAX_ROWS, _MAX_CHANGES = 40, 5
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("out", type=_FOLDER)
@click.argument(
    "pictures",
    metavar="PICTURE...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, path_type=Path),
)
@models_option("Ask only this one. [all]")
@click.option(
    "--task",
    "tasks",
    multiple=True,
    type=click.Choice([task.value for task in Task if task is not Task.VIDEO_SEGMENTATION]),
    help="Only this one. [all that a model does]",
)
@click.option(
    "--point",
    "points",
    type=PointType(),
    multiple=True,
    help="Of the prompt of points. [the centre, if there is no --box]",
)
@click.option(
    "--box",
    "boxes",
    type=BoxType(),
    multiple=True,
    help="A prompt of its own. [the middle half, if there is no --point]",
)
@click.option("--min-score", type=Number(0, 1), help="Drop what scores lower.")
@click.option("--max-segments", type=click.IntRange(1, 100_000), help="Keep the best.")
@click.option("--copy", is_flag=True, help="Keep copies of the pictures in the record.")
@click.option("--overwrite", is_flag=True, help="Replace a record that is there.")
@quiet_option
@connection_options
@click.pass_context
def record(
    context: click.Context,
    out: Path,
    pictures: tuple[Path, ...],
    models: tuple[str, ...],
    tasks: tuple[str, ...],
    points: tuple[Point, ...],
    boxes: tuple[Box, ...],
    min_score: float | None,
    max_segments: int | None,
    copy: bool,
    overwrite: bool,
    address: str | None,
    timeout: float,
) -> None:
    """Save what models answer about your own pictures, in the folder OUT.

    Each is asked for all that it does: objects, boxes, key points, and an object by a point and by
    a box. `diptych verify replay OUT` asks the same again.
    """
    from ..verify.recording import cards_to_ask
    from ..verify.recording import record as recorded
    from ..verify.requests import usual_requests

    def choose(card: ModelCard, size: tuple[int, int]) -> Sequence[Request]:
        return usual_requests(
            card,
            size,
            tasks=[Task(task) for task in tasks],
            points=points,
            boxes=boxes,
            min_score=min_score,
            max_segments=max_segments,
        )

    paths = _expanded(pictures)
    answers = 0
    errors: list[Exception] = []
    with connect(address, timeout) as client:
        cards = cards_to_ask(client, models)
        if not any(choose(card, (1, 1)) for card in cards):
            raise click.UsageError("no model does what is asked for")
        run = recorded(
            client, paths, out, cards=cards, choose=choose, copy=copy, overwrite=overwrite
        )
        with progress(None, "Recording") as bar:
            for asked in run:
                bar.advance()
                if asked.error is None:
                    answers += 1
                    continue
                errors.append(asked.error)
                names = [asked.picture, asked.model_id, asked.request]
                report(asked.error, name=", ".join(filter(None, names)))
    if not is_quiet():
        click.echo(
            f"{out}: {answers} answers of {len(cards)} models about {len(paths)} pictures"
            + (f"; {len(errors)} could not be had and are left out" if errors else "")
        )
    context.exit(exit_code_of_many(errors, answers + len(errors)))


@click.command()
@click.argument("out", type=_FOLDER)
@click.option("--model", help="Ask this one in place of the recorded one.")
@click.option(
    "--min-iou",
    type=Number(0, 1),
    default=0.995,
    show_default=True,
    help="Of a segment with what it was.",
)
@click.option(
    "--score-tolerance",
    type=Number(0, 1),
    default=0.005,
    show_default=True,
    help="Difference of a score that is none.",
)
@click.option("--drawn", type=_FOLDER, help="Pictures of what moved. [OUT/moved]")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@quiet_option
@connection_options
@click.pass_context
def replay(
    context: click.Context,
    out: Path,
    model: str | None,
    min_iou: float,
    score_tolerance: float,
    drawn: Path | None,
    as_json: bool,
    address: str | None,
    timeout: float,
) -> None:
    """Ask again what OUT records, and say what came out otherwise.

    Ends with 1 if anything did: a segment that overlaps less, vanished or appeared, another class,
    score or key point; and if a picture is missing or another file. Pictures are drawn of it.
    """
    from ..verify.changes import Tolerance
    from ..verify.drift import replay_record
    from ..verify.fields import RecordError

    tolerance = Tolerance(min_iou, score_tolerance)
    try:
        with connect(address, timeout) as client, progress(None, "Replaying") as bar:
            found = replay_record(
                client, out, tolerance, model=model, drawings=drawn, advance=bar.advance
            )
    except RecordError as error:
        report(error)
        context.exit(REFUSED)
    if as_json:
        click.echo(json.dumps(_document(found), indent=2, allow_nan=False))
    elif not is_quiet():
        _print(found)
    if found.drifts:
        context.exit(FAILED)


def _document(found: Replay) -> dict[str, Any]:
    return {
        "asked": found.asked,
        "same": found.same,
        "drifts": [
            asdict(drift) | {"drawn": None if drift.drawn is None else str(drift.drawn)}
            for drift in found.drifts
        ],
        "provenance": [
            {"model_id": model, "what": what, "then": then, "now": now}
            for model, what, then, now in found.provenance
        ],
        "not_drawn": found.not_drawn,
    }


def _print(found: Replay) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from diptych.commands import stdout

    from ..verify.drift import MAX_DRAWN

    console = stdout()
    origins = Table(box=SIMPLE_HEAD)
    for column in ("model", "", "then", "now"):
        origins.add_column(column, overflow="fold")
    for model, what, then, now in found.provenance:
        origins.add_row(model, what, then, "the same" if then == now else now)
    console.print(origins)
    if found.drifts:
        table = Table(box=SIMPLE_HEAD)
        for column in ("picture", "model", "request", "what changed", "drawn"):
            table.add_column(column, overflow="fold")
        for drift in found.drifts[:_MAX_ROWS]:
            more = len(drift.changes) - _MAX_CHANGES
            texts = [*drift.changes[:_MAX_CHANGES], *([f"and {more} more"] if more > 0 else [])]
            name = "" if drift.drawn is None else str(drift.drawn)
            table.add_row(drift.picture, drift.model_id, drift.request, "\n".join(texts), name)
        console.print(table)
    if len(found.drifts) > _MAX_ROWS:
        console.print(f"and {len(found.drifts) - _MAX_ROWS} more requests; --json has all")
    if found.not_drawn:
        console.print(f"{found.not_drawn} were not drawn, after the first {MAX_DRAWN}")
    moved = sum(drift.compared for drift in found.drifts)
    console.print(
        f"{found.asked} requests: {found.same} as recorded, {moved} otherwise, "
        f"{len(found.drifts) - moved} could not be compared"
    )


def _expanded(given: Sequence[Path]) -> list[Path]:
    """Every picture, those of folders by name."""
    from ..data.pictures import SUFFIXES

    paths: list[Path] = []
    for path in given:
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        found = [one for one in inside if one.suffix.lower() in SUFFIXES or one == path]
        if not found:
            raise click.UsageError(f"{path}: no pictures in this folder")
        paths += found
    return paths

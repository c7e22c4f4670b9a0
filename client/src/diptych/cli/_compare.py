"""``diptych compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .. import Comparison
from ..documents.results import comparison_document
from ._exits import exit_code_of_all, report
from ._json import print_json
from ._options import (
    Number,
    ask_arguments,
    ask_options,
    check_figure_path,
    connect,
    connection_options,
)


@click.command(short_help="Compare what all models see in a picture.")
@click.argument("image", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--model", "models", multiple=True, help="Ask only these, in this order.")
@click.option("--match-iou", type=Number(0, 1, min_open=True), help="Overlap of a match. [0.5]")
@ask_options
@click.option("--json", "as_json", is_flag=True, help="One JSON document with COCO RLE.")
@click.option("--out", type=click.Path(path_type=Path), help="Picture, models side by side.")
@connection_options
def compare(
    image: Path,
    models: tuple[str, ...],
    match_iou: float | None,
    as_json: bool,
    out: Path | None,
    address: str | None,
    timeout: float,
    **ask: Any,
) -> None:
    """Segment a picture with every model that does the task, and see how far they agree.

    Ends with an error if no model answered.
    """
    figure = None if out is None else check_figure_path(out)
    with connect(address, timeout) as client:
        comparison = client.compare(
            image, models=models, match_iou=match_iou, **ask_arguments(**ask)
        )
    if as_json:
        print_json({"source": str(image), **comparison_document(comparison)})
    else:
        _print_tables(comparison)
    errors = [outcome.error for outcome in comparison.results if outcome.error]
    for outcome in comparison.results:
        if outcome.error:
            report(outcome.error, name=outcome.model_id)
    if figure is not None and comparison.results:
        comparison.save(figure, image=image)
    if not comparison.results:
        click.echo("diptych: no model does this task", err=True)
    if len(errors) == len(comparison.results):
        click.get_current_context().exit(exit_code_of_all(list(errors)))


def _print_tables(comparison: Comparison) -> None:
    from ._tables import agreement_table, headline, segment_table, stdout, timing_table

    console = stdout()
    for outcome in comparison.results:
        if outcome.result is None:
            continue
        title = headline(outcome.result, outcome.elapsed_s)
        if outcome.result.segments:
            console.print(segment_table(outcome.result.segments, title=title))
        else:
            console.print(title, style="bold")
    if comparison.agreements:
        console.print(agreement_table(comparison.agreements))
    if any(outcome.result for outcome in comparison.results):
        console.print(timing_table(comparison.results))

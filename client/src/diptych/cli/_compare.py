"""``diptych compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .. import Comparison
from ..documents.results import comparison_document
from ..formats import Picture, one_step
from ._asking import ask_options, asked
from ._completion import models_option
from ._exits import FAILED, exit_code_of_all, report
from ._formats import format_files, format_options
from ._json import print_json
from ._options import Number, connect, connection_options
from ._outputs import COMPARE, one_figure, out_options
from ._pipes import PICTURE, as_given, shown_where
from ._progress import is_quiet, quiet_option


@click.command(short_help="Compare what all models see in a picture.")
@click.argument("image", type=PICTURE)
@models_option("Ask only these, in this order.")
@click.option("--match-iou", type=Number(0, 1, min_open=True), help="Overlap of a match. [0.5]")
@ask_options
@click.option("--json", "as_json", is_flag=True, help="One JSON document with COCO RLE.")
@out_options(
    "Picture, models side by side; with --format a folder, with one for each model; - is stdout.",
    stdout=True,
)
@format_options
@quiet_option
@connection_options
def compare(
    image: Path,
    models: tuple[str, ...],
    match_iou: float | None,
    as_json: bool,
    out: str | None,
    overwrite: bool,
    formats: tuple[str, ...],
    tolerance: float,
    address: str | None,
    timeout: float,
    **ask: Any,
) -> None:
    """Segment a picture with every model that does the task, and see how far they agree.

    IMAGE is a file, or - for a picture from stdin. Ends with 1 if a model did not answer, with
    its error if none did.
    """
    wanted = asked(**ask)
    out, as_json, shown = shown_where(out, as_json, formats)
    files = format_files(formats, tolerance, out, [image], overwrite=overwrite, below=models)
    figures = None if files else one_figure(out, image, COMPARE, overwrite=overwrite)
    with connect(address, timeout) as client:
        arguments = wanted.of_models(client, models) | {"match_iou": match_iou}
        comparison = as_given(client.compare(image, models=models, **arguments))
        for outcome in comparison.results if files else ():
            if files and outcome.result:
                found = [Picture.of(image.name, outcome.result)]
                files.write(found, client, below=one_step(outcome.model_id))
    # Before it is shown: who reads only the first lines still gets the figure.
    unsaved = figures.save(0, comparison, image) if figures and comparison.results else None
    if as_json:
        print_json(comparison_document(comparison))
    elif shown and not is_quiet():
        _print_tables(comparison)
    errors = [outcome.error for outcome in comparison.results if outcome.error]
    for outcome in comparison.results:
        if outcome.error:
            report(outcome.error, name=outcome.model_id)
    if unsaved is not None:
        report(unsaved)
    if not comparison.results:
        click.echo("diptych: no model does this task", err=True)
    if len(errors) == len(comparison.results):
        click.get_current_context().exit(exit_code_of_all(list(errors)))
    if errors or unsaved is not None:
        click.get_current_context().exit(FAILED)


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

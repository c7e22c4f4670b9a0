"""``diptych warm``."""

from __future__ import annotations

from pathlib import Path

import click

from ... import MaskEncoding, OutputOptions, Task
from ..._batch.sources import open_source
from ..._many.again import DEFAULT_PATIENCE_S
from .._completion import complete_paths, model_option
from .._exits import exit_code_of_many, report
from .._options import connect, connection_options, jobs_option
from .._outputs import is_drawn
from .._progress import is_quiet, quiet_option, with_progress

_CORNER = [(0.0, 0.0)]
"""A point that every picture has: the least that a model is asked once it has encoded one."""


@click.command(short_help="Encode a folder of pictures before anybody clicks.")
@click.argument("source", metavar="SOURCE", shell_complete=complete_paths)
@model_option
@jobs_option
@quiet_option
@connection_options
def warm(source: str, model: str | None, jobs: int, address: str | None, timeout: float) -> None:
    """Encode all pictures of a folder, a list or a pattern, so that clicks on them are quick.

    The model keeps what it encoded in memory, as much as it has room for, and with
    DIPTYCH_FEATURES_DIR on its disk, also over a restart. SOURCE is as in "diptych batch", but on
    this machine.
    """
    try:
        pictures = open_source(source, left_out=is_drawn).pictures
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{error}.") from error
    if any(picture.fs is not None for picture in pictures):
        raise click.UsageError(f"{source}: expected pictures on this machine.")
    encoded, errors = 0, list[Exception]()
    with connect(address, timeout) as client:
        items = client.segment_many(
            [Path(picture.place) for picture in pictures],
            model=model,
            task=Task.PROMPTED_SEGMENTATION,
            points=_CORNER,
            output=OutputOptions(mask_encoding=MaskEncoding.NONE),
            concurrency=jobs,
            patience=DEFAULT_PATIENCE_S,
        )
        for item in with_progress(items, len(pictures), "Encoding", unit="pictures"):
            if item.error is not None:
                report(item.error, name=str(item.source))
                errors.append(item.error)
            elif item.result is not None:
                encoded += not item.result.provenance[0].image_cache_hit
    kept = len(pictures) - encoded - len(errors)
    if not is_quiet():
        click.echo(f"{encoded} encoded, {kept} kept from before, {len(errors)} failed")
    click.get_current_context().exit(exit_code_of_many(errors, len(pictures)))

"""``diptych cards``."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import Client, DiptychError, KnownModel, ModelStats, UnsupportedCallError
from .._export.card_markdown import card_file, cards_table
from .._export.card_rows import CardItem, CardRow, card_rows
from ..documents.results import model_document
from ._exits import FAILED
from ._json import print_json
from ._options import connect, connection_options
from ._outputs import check_files, overwrite_option

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_DIGEST_SHOWN = 12
_NAME_WIDTH = 24
_MODEL_WIDTH = 18
"""Of one model's column, at least; models that do not fit get a table of their own."""
_PROSE_WIDTH = 100
_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="All fields of all cards as JSON.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown"]),
    default="table",
    show_default=True,
    help="How to print the comparison.",
)
@click.option(
    "--write",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write DIR/MODEL/README.md for each model instead, as Hugging Face has cards.",
    metavar="DIR",
)
@overwrite_option
@connection_options
def cards(
    as_json: bool,
    form: str,
    folder: Path | None,
    overwrite: bool,
    address: str | None,
    timeout: float,
) -> None:
    """Compare the cards of all models, row by row."""
    if overwrite and folder is None:
        raise click.UsageError("--overwrite: expected only with --write.")
    with connect(address, timeout) as client:
        models = known_models(client)
        stats = {} if as_json else _stats(client, models)
    if folder is not None:
        if not _write(folder, models, stats, overwrite):
            click.get_current_context().exit(FAILED)
    elif as_json:
        print_json([model_document(model) for model in models])
    elif form == "markdown":
        click.echo(cards_table(models, stats))
    else:
        _print_table(models, stats)


def known_models(client: Client) -> tuple[KnownModel, ...]:
    """What the gateway knows, or the one model of a model service."""
    try:
        return client.model_cards()
    except UnsupportedCallError:
        card = client.model_card()
        return (KnownModel(card.id, card, None),)


def _stats(client: Client, models: Sequence[KnownModel]) -> dict[str, ModelStats]:
    """What each model measured; one that is gone by now has no figures, but still a card."""
    found = {}
    for model in models:
        if model.error is not None:
            continue
        try:
            found[model.model_id] = client.model_stats(model.model_id)
        except DiptychError:
            continue
    return found


def _print_table(models: Sequence[KnownModel], stats: Mapping[str, ModelStats]) -> None:
    """What fits a cell side by side, then lists and prose one below the other."""
    from ._tables import stdout

    console = stdout()
    rows = card_rows(models, stats)
    short = [row for row in rows if row.kind in ("text", "flag")]
    beside = max(1, (console.width - _NAME_WIDTH) // _MODEL_WIDTH)
    for first in range(0, len(models), beside):
        columns = range(len(models))[first : first + beside]
        console.print(_table(models, short, columns, console.width))
    for row in rows:
        if row not in short and any(row.cells):
            _print_texts(console, models, row)


def _table(
    models: Sequence[KnownModel], rows: Sequence[CardRow], columns: range, width: int
) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(box=SIMPLE)
    cell_width = (width - _NAME_WIDTH) // len(columns) - 2
    table.add_column("", style="bold", max_width=_NAME_WIDTH)
    for column in columns:
        table.add_column(models[column].model_id, overflow="fold", ratio=1)
    for row in rows:
        cells = ["\n".join(map(_plain, row.cells[column])) or "-" for column in columns]
        # Only what takes several lines needs a gap before what is below it.
        folds = any("\n" in cell or len(cell) > cell_width for cell in cells)
        table.add_row(row.name, *cells, end_section=folds)
    return table


def _print_texts(console: Console, models: Sequence[KnownModel], row: CardRow) -> None:
    """One row, for each model that has something to say."""
    width = max(_MODEL_WIDTH, min(console.width, _PROSE_WIDTH))
    console.print(row.name, style="bold")
    for model, cell in zip(models, row.cells, strict=True):
        if cell:
            console.print(f"  {model.model_id}", style="bold")
        alone = row.kind == "prose" and len(cell) == 1
        for item in cell:
            console.print(_paragraphs(_plain(item), width, bullet="" if alone else "- "))
    console.print()


def _paragraphs(text: str, width: int, *, bullet: str) -> str:
    """Text of a card without its few marks, wrapped and indented."""
    rest = " " * (4 + len(bullet))
    paragraphs = [" ".join(part.replace("**", "").split()) for part in text.split("\n\n")]
    wrapped = [
        textwrap.fill(
            paragraph,
            width,
            initial_indent=rest if number else f"    {bullet}",
            subsequent_indent=rest,
            break_on_hyphens=False,
        )
        for number, paragraph in enumerate(paragraphs)
    ]
    return "\n\n".join(wrapped)


def _plain(item: CardItem) -> str:
    digest = f" sha256 {item.digest[:_DIGEST_SHOWN]}…" if item.digest else ""
    return f"{item.text}{digest}{f' ({item.note})' if item.note else ''}"


def _write(
    folder: Path, models: Sequence[KnownModel], stats: Mapping[str, ModelStats], overwrite: bool
) -> bool:
    """Whether every model has a card now."""
    texts: dict[Path, str] = {}
    for model in models:
        # Ids come from a server: none may lead out of the folder.
        if not _FOLDER_NAME.fullmatch(model.model_id):
            raise click.ClickException(f"model id {model.model_id!r} cannot be a folder's name")
        if model.card is None:
            click.echo(f"diptych: {model.model_id}: no card was seen yet; left out", err=True)
            continue
        path = folder / model.model_id / "README.md"
        texts[path] = card_file(model, stats.get(model.model_id))
    # All are looked at before the first is written.
    files = check_files(texts, overwrite=overwrite, make_folders=True, hint="--write")
    for path, text in texts.items():
        files.write(path, text.encode())
        click.echo(path)
    return len(texts) == len(models)

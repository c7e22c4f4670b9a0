"""``diptych cards``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from .. import Client, KnownModel, ModelCard, UnsupportedCallError
from .._documents import model_document
from ._exits import describe
from ._json import print_json
from ._options import connect, connection_options


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
@connection_options
def cards(as_json: bool, form: str, address: str | None, timeout: float) -> None:
    """Compare the cards of all models, row by row."""
    with connect(address, timeout) as client:
        models = known_models(client)
    if as_json:
        print_json([model_document(model) for model in models])
    elif form == "markdown":
        _print_markdown(models)
    else:
        _print_table(models)


def known_models(client: Client) -> tuple[KnownModel, ...]:
    """What the gateway knows, or the one model of a model service."""
    try:
        return client.model_cards()
    except UnsupportedCallError:
        card = client.model_card()
        return (KnownModel(card.id, card, None),)


_ROWS: tuple[tuple[str, Callable[[ModelCard], Sequence[str]]], ...] = (
    ("Name", lambda card: [card.display_name]),
    ("Organisation", lambda card: [card.organization]),
    ("Category", lambda card: [card.category]),
    ("Modality", lambda card: [card.modality]),
    ("Release date", lambda card: [card.release_date]),
    ("Context window", lambda card: [_tokens(card.context_window)]),
    ("Parameters", lambda card: [f"{card.parameter_count:,}"]),
    ("Foundation model", lambda card: ["yes" if card.foundation else "no"]),
    ("Licence of the code", lambda card: [card.licenses.code]),
    ("Licence of the weights", lambda card: [card.licenses.weights]),
    ("Licence as published", lambda card: [card.licenses.published]),
    ("Tasks", lambda card: [task.value for task in card.tasks]),
    ("Prompts", lambda card: [kind.value for kind in card.prompt_kinds] or ["none"]),
    ("Categories", lambda card: [str(len(card.categories) or "class-agnostic")]),
    ("Features", lambda card: card.features),
    ("Weights", lambda card: [_weights(w.name, w.sha256) for w in card.weights]),
    ("Weights made", lambda card: [card.weights_date]),
    ("Tier", lambda card: [card.tier]),
    ("Metrics", lambda card: [_metric(card, i) for i in range(len(card.metrics))]),
    ("Intended uses", lambda card: card.intended_uses),
    ("Limitations", lambda card: card.limitations),
    ("References", lambda card: card.references),
)


def _print_table(models: Sequence[KnownModel]) -> None:
    from rich.box import SIMPLE
    from rich.table import Table

    from ._tables import stdout

    table = Table(box=SIMPLE, show_lines=True)
    table.add_column("", style="bold", no_wrap=True)
    for model in models:
        table.add_column(model.model_id, overflow="fold", ratio=1)
    for name, cells in _rows(models):
        table.add_row(name, *("\n".join(cell) for cell in cells))
    stdout().print(table)


def _print_markdown(models: Sequence[KnownModel]) -> None:
    click.echo(f"| | {' | '.join(model.model_id for model in models)} |")
    click.echo(f"|---|{'---|' * len(models)}")
    for name, cells in _rows(models):
        shown = ["<br>".join(part.replace("|", "\\|") for part in cell) for cell in cells]
        click.echo(f"| {name} | {' | '.join(shown)} |")


def _rows(models: Sequence[KnownModel]) -> list[tuple[str, list[Sequence[str]]]]:
    rows: list[tuple[str, list[Sequence[str]]]] = [
        (name, [read(model.card) if model.card else [] for model in models]) for name, read in _ROWS
    ]
    rows.append(("Status", [[_status(model)] for model in models]))
    return [
        (name, [[part for part in cell if part] or ["-"] for cell in cells]) for name, cells in rows
    ]


def _status(model: KnownModel) -> str:
    if model.error is None:
        return "reachable"
    seen = "last seen card; " if model.card else ""
    return f"{seen}{describe(model.error)}"


def _tokens(tokens: int | None) -> str:
    return "not applicable" if tokens is None else f"{tokens:,} tokens"


def _weights(name: str, sha256: str) -> str:
    return f"{name} (sha256 {sha256[:12]})" if sha256 else name


def _metric(card: ModelCard, index: int) -> str:
    metric = card.metrics[index]
    on = f" on {metric.dataset}" if metric.dataset else ""
    source = metric.source or "measured here"
    return f"{metric.name} {metric.value:g} {metric.unit}{on} [{source}]"

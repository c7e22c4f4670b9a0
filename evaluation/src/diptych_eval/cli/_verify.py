"""``diptych verify``: published outputs, and what a saved run gave."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from diptych import Client
from diptych.commands import FAILED, connect, connection_options

from ._record import record, replay

if TYPE_CHECKING:
    from ..verify.asking import Line
    from ..verify.published import Published

OTHER_WEIGHTS = 6
"""Exit code: the weights are not those that outputs were published of, so nothing was compared."""
EPILOG = f"""\b
Exit codes, besides those of diptych:
    0  all is as published, or as it was
    1  something differs; of many pictures: some could not be asked
    {OTHER_WEIGHTS}  the weights are others than the published outputs belong to
"""


@click.group(
    name="verify",
    invoke_without_command=True,
    epilog=EPILOG,
    short_help="Check answers against published or recorded ones.",
)
@click.option("--published", is_flag=True, help="Ask what others published the answers of.")
@click.option("--model", help="Its id. [that of the published outputs]")
@click.option("--anyway", is_flag=True, help="Compare whatever weights are loaded.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@connection_options
@click.pass_context
def verify(
    context: click.Context,
    published: bool,
    model: str | None,
    anyway: bool,
    as_json: bool,
    address: str | None,
    timeout: float,
) -> None:
    """Tell whether weights answer as published, or as they did before.

    `--published` asks the running services the questions of public tests, on the same pictures,
    and compares. `record` saves the answers to questions of your own, with any weights; `replay`
    asks them again, after an upgrade for example, and shows what moved.
    """
    if context.invoked_subcommand is not None:
        _refuse_options_before(context, context.invoked_subcommand)
        return
    if not published:
        raise click.UsageError("expected --published, or one of the commands record and replay")
    from ..verify.published import OtherWeightsError, read_published

    known = read_published()
    with connect(address, timeout) as client:
        asked = model or known.model
        card = client.model_card(asked)
        try:
            known.check(asked, card)
        except OtherWeightsError as error:
            click.echo(f"diptych: {error}", err=True)
            if not anyway:
                context.exit(OTHER_WEIGHTS)
        if not as_json:
            weights = ", ".join(f"{one.name} (sha256 {one.sha256})" for one in card.weights)
            click.echo(f"{asked}: {weights}, tier {card.tier}")
        lines = _asked(client, asked, known)
    if as_json:
        _print_json(asked, known, lines)
    else:
        _print_table(known, lines)
    if any(line.verdict == "different" for line in lines):
        context.exit(FAILED)


def _asked(client: Client, model: str, known: Published) -> list[Line]:
    from ..verify.asking import ask_published

    return list(ask_published(client, model, known))


def _refuse_options_before(context: click.Context, command: str) -> None:
    """Options of ``--published`` would be lost on a further command."""
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "")
        if given is ParameterSource.COMMANDLINE:
            name = parameter.opts[0]
            raise click.UsageError(f"{name}: expected after {command!r}, or without it")


def _print_json(model: str, known: Published, lines: list[Line]) -> None:
    document = {
        "model_id": model,
        "published": {"weights": known.weights, "file": known.file, "sha256": known.sha256},
        "lines": [asdict(line) | {"difference": line.difference} for line in lines],
    }
    click.echo(json.dumps(document, indent=2, allow_nan=False))


def _print_table(known: Published, lines: list[Line]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from diptych.commands import stdout

    table = Table(box=SIMPLE_HEAD)
    for column in ("question", "figure"):
        table.add_column(column, overflow="fold")
    for column in ("published", "measured", "difference"):
        table.add_column(column, justify="right")
    table.add_column("verdict", overflow="fold")
    for line in lines:
        table.add_row(
            line.question,
            line.figure,
            f"{line.published:.3f}",
            "-" if line.measured is None else f"{line.measured:.3f}",
            "-" if line.difference is None else f"{round(line.difference, 3) + 0.0:+.3f}",
            f"{line.verdict.value}{f' ({line.note})' if line.note else ''}",
        )
    console = stdout()
    console.print(table)
    counts = {word: sum(line.verdict == word for line in lines) for word in ("same", "different")}
    console.print(
        f"{counts['same']} same, {counts['different']} different, "
        f"{len(lines) - sum(counts.values())} not asked; same is within {known.iou_tolerance:g} of "
        f"predicted IoU, and within a factor of {known.logit_factor:g} of a logit"
    )
    for source in sorted({line.source for line in lines}):
        console.print(f"published in {source}")


for _command in (record, replay):
    verify.add_command(_command)

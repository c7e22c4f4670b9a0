"""``diptych stats``: what models have done since they were started."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from ... import Client, DiptychError, ModelStats
from ..._export.card_figures import answers, measured_on, megabytes, memory
from ...documents.results import error_document, plain
from .._cards import known_models
from .._completion import models_option
from .._exits import exit_code_of_many, report
from .._json import print_json
from .._options import connect, connection_options


@click.command(short_help="Show what models did: requests, times, held pictures, memory.")
@models_option("Only this one; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="All figures as JSON.")
@connection_options
def stats(models: tuple[str, ...], as_json: bool, address: str | None, timeout: float) -> None:
    """Show what each model has done since its service was started.

    Ends with 1 if one of them does not say, with its error if none does. With several services of
    one model a gateway asks one of them.
    """
    found: dict[str, ModelStats | DiptychError] = {}
    with connect(address, timeout) as client:
        for name in models or [one.model_id for one in known_models(client)]:
            found[name] = _asked(client, name)
    if as_json:
        print_json([_document(name, one) for name, one in found.items()])
    else:
        _print_table({name: one for name, one in found.items() if isinstance(one, ModelStats)})
    errors: list[Exception] = []
    for name, one in found.items():
        if isinstance(one, DiptychError):
            report(one, name=name)
            errors.append(one)
    click.get_current_context().exit(exit_code_of_many(errors, len(found)))


def _asked(client: Client, name: str) -> ModelStats | DiptychError:
    try:
        return client.model_stats(name)
    except DiptychError as error:
        return error


def _document(name: str, found: ModelStats | DiptychError) -> dict[str, object]:
    failed = isinstance(found, DiptychError)
    return {
        "model_id": name,
        "stats": None if failed else plain(found),
        "error": error_document(found) if isinstance(found, DiptychError) else None,
    }


def _print_table(found: dict[str, ModelStats]) -> None:
    from .._tables import simple_table, stdout

    table = simple_table("", *found)
    rows = zip(*(_lines(one) for one in found.values()), strict=True)
    for cells in rows:
        if any(text for _, text in cells):
            table.add_row(cells[0][0], *(text or "-" for _, text in cells))
    stdout().print(table)


def _lines(one: ModelStats) -> Iterator[tuple[str, str]]:
    """Names of figures, the same for every model, and what they are."""
    yield "measured on", _several(measured_on(one))
    failed = [f"{count:,} {name}" for name, count in one.outcomes.items() if name != "OK"]
    yield "not answered", _several(failed)
    yield "answers", _several(answers(one))
    stages = [f"{name} {_mean(time.total_s, time.count)}" for name, time in one.stages.items()]
    yield "time a request", _several(stages)
    yield "now", f"{one.running_count} running, {one.queue_length} waiting"
    yield "wait for the model", f"{one.queue_wait_s:.1f} s" if one.queue_wait_s else ""
    yield "video sessions", str(one.session_count or "")
    held = f"{one.held_image_count:,}, {megabytes(one.held_bytes)}"
    yield "held pictures", held if one.held_image_count else ""
    yield "encoder runs", f"{one.encoder_run_count:,}" if one.encoder_run_count else ""
    yield (
        "saved by held ones",
        f"{one.image_cache_hit_count:,}" if one.image_cache_hit_count else "",
    )
    sizes = [f"{count:,} of {size}" for size, count in sorted(one.batch_sizes.items()) if size > 1]
    yield "answered together", _several(sizes)
    yield "memory", _several(memory(one))
    yield "engine restarts", str(one.engine_restart_count or "")


def _several(lines: Sequence[str]) -> str:
    return "\n".join(lines)


def _mean(total_s: float, count: int) -> str:
    from .._tables import milliseconds

    return f"{milliseconds(total_s / count)} ms" if count else "-"

"""``diptych health``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from .. import KnownModel, Replica, ServingStatus
from ..documents.results import error_document, plain
from ._cards import known_models
from ._exits import FAILED, UNAVAILABLE, describe
from ._json import print_json
from ._options import connect, connection_options_within
from ._progress import is_quiet, quiet_option

_TIMEOUT_S = 5.0  # for those who ask again and again, such as container health checks
_DIGEST_SHOWN = 12


@click.command(short_help="Ask the server and its models whether they serve.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--server-only", is_flag=True, help="Not its models; needs no token.")
@quiet_option
@connection_options_within(_TIMEOUT_S)
def health(as_json: bool, server_only: bool, address: str | None, timeout: float) -> None:
    """Ask the gateway, or a model service, and each model whether they serve.

    Of a gateway's models it lists the replicas: where each is (with a token for everything), its
    calls and video sessions from that gateway, and its weights.

    Ends with 3 if the server does not serve, with 1 if one of its models cannot be reached.
    """
    with connect(address, timeout) as client:
        status = client.health()
        serves = status is ServingStatus.SERVING
        models = known_models(client) if serves and not server_only else ()
        address = client.address
    if as_json:
        print_json(
            {
                "address": address,
                "status": status.value,
                "models": [_document(model) for model in models],
            }
        )
    elif not is_quiet():
        click.echo(f"{address}: {status.value}")
        for model in models:
            for line in _lines(model):
                click.echo(f"  {line}")
    if not serves:
        click.get_current_context().exit(UNAVAILABLE)
    if any(model.error for model in models):
        click.get_current_context().exit(FAILED)


def _document(model: KnownModel) -> dict[str, object]:
    return {
        "model_id": model.model_id,
        "error": error_document(model.error) if model.error else None,
        "replicas": plain(model.replicas),
        "warnings": list(model.warnings),
    }


def _lines(model: KnownModel) -> Iterator[str]:
    """One line of a model, one for each warning, and one for each of its replicas."""
    yield f"{model.model_id}: {describe(model.error) if model.error else _reachable(model)}"
    for warning in model.warnings:
        yield f"  warning: {warning}"
    yield from _replica_lines(model.replicas)


def _reachable(model: KnownModel) -> str:
    listed = [replica for replica in model.replicas if not replica.leaving]
    if len(listed) < 2:
        return "reachable"
    return f"reachable, {sum(not each.error for each in listed)} of {len(listed)} replicas"


def _replica_lines(replicas: Sequence[Replica]) -> Iterator[str]:
    rows = [_row(replica) for replica in replicas]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row, replica in zip(rows, replicas, strict=True):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True) if width)
        notes = [describe(replica.error) if replica.error else "", replica.difference]
        yield "    " + "  ".join((*cells, *(note for note in notes if note))).rstrip()


def _row(replica: Replica) -> tuple[str, ...]:
    serves = "leaving" if replica.leaving else "down" if replica.error else "serving"
    weights = ", ".join(digest[:_DIGEST_SHOWN] for digest in replica.weights_sha256)
    return (
        replica.name,
        replica.address,
        serves,
        _count(replica.in_flight, "call"),
        _count(replica.sessions, "session"),
        f"weights {weights}" if weights else "",
        f"since {replica.since:%Y-%m-%d %H:%M:%S} UTC" if replica.since else "",
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

"""``diptych health``."""

from __future__ import annotations

import click

from .. import Client, DiptychError, ServingStatus
from ..documents.results import error_document
from ._cards import known_models
from ._exits import FAILED, UNAVAILABLE, describe
from ._json import print_json
from ._options import connect, connection_options_within

_TIMEOUT_S = 5.0  # for those who ask again and again, such as container health checks


@click.command(short_help="Ask the server and its models whether they serve.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--server-only", is_flag=True, help="Not its models; needs no token.")
@connection_options_within(_TIMEOUT_S)
def health(as_json: bool, server_only: bool, address: str | None, timeout: float) -> None:
    """Ask the gateway, or a model service, and each model whether they serve.

    Ends with 3 if the server does not serve, with 1 if one of its models cannot be reached.
    """
    with connect(address, timeout) as client:
        status = client.health()
        serves = status is ServingStatus.SERVING
        models = _models(client) if serves and not server_only else {}
        address = client.address
    if as_json:
        print_json(
            {
                "address": address,
                "status": status.value,
                "models": [
                    {"model_id": model, "error": error_document(error) if error else None}
                    for model, error in models.items()
                ],
            }
        )
    else:
        click.echo(f"{address}: {status.value}")
        for model, error in models.items():
            click.echo(f"  {model}: {describe(error) if error else 'reachable'}")
    if not serves:
        click.get_current_context().exit(UNAVAILABLE)
    if any(models.values()):
        click.get_current_context().exit(FAILED)


def _models(client: Client) -> dict[str, DiptychError | None]:
    return {model.model_id: model.error for model in known_models(client)}

"""``--model``, completed with what the server has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from .values import complete_models

_F = TypeVar("_F", bound=Callable[..., Any])

model_option = click.option(
    "--model",
    shell_complete=complete_models,
    help="Id of the model; a model service knows its own.",
)


def models_option(text: str, metavar: str | None = None) -> Callable[[_F], _F]:
    """``--model`` that may be repeated, with its help."""
    return click.option(
        "--model",
        "models",
        multiple=True,
        shell_complete=complete_models,
        metavar=metavar,
        help=text,
    )

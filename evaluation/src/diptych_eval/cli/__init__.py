"""The commands ``diptych eval`` and ``diptych verify``."""

from __future__ import annotations

import click


@click.group(name="eval")
def evaluation() -> None:
    """Compare models with ground truth."""


@click.group(name="verify")
def verify() -> None:
    """Tell whether weights answer as published, or as they did before."""

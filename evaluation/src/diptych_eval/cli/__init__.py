"""The commands ``diptych eval`` and ``diptych verify``."""

from __future__ import annotations

import click

from ._group import evaluation

__all__ = ["evaluation", "verify"]


@click.group(name="verify")
def verify() -> None:
    """Tell whether weights answer as published, or as they did before."""

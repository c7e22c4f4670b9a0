"""The commands ``diptych eval`` and ``diptych verify``."""

from __future__ import annotations

import click

from ._verify import verify

__all__ = ["evaluation", "verify"]


@click.group(name="eval")
def evaluation() -> None:
    """Compare models with ground truth."""

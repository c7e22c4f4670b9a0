"""Figures as JSON: ``metrics.json``."""

from __future__ import annotations

from typing import Any

from ..results import Figures


def to_json(figures: Figures) -> dict[str, Any]:
    """Make the object of ``metrics.json``: what ``from_json`` makes the same figures of.

    Raises ``ValueError`` that names the place of a number that is not finite: such a figure is
    ``None`` with a reason.
    """
    raise NotImplementedError


def from_json(document: dict[str, Any]) -> Figures:
    """Read what ``to_json`` made, or the JSON text of it gives.

    Raises ``ValueError`` that names the place, what was expected there and what came.
    """
    raise NotImplementedError

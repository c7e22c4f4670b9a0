"""The static part of the model card, and the defaults of the automatic mode that stand in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diptych import AutomaticOptions
from diptych_torch import card


@dataclass(frozen=True)
class StaticCard:
    """What ``model_card.toml`` says about one set of weights."""

    fields: Mapping[str, Any]
    """Fields of ``ModelCard`` by their names in the contract."""
    automatic: AutomaticOptions
    """Every option set."""


def read_card(section: str) -> StaticCard:
    """Read the card for weights of a name, or for ``file``."""
    fields = card.read_card("diptych_sam2", [section])
    automatic = fields.pop("automatic")
    return StaticCard(fields, AutomaticOptions(**automatic))

"""The static part of the model card, and the defaults of the automatic mode that stand in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import tomllib

from diptych import AutomaticOptions

_OVERRIDES = "weights"
_AUTOMATIC = "automatic"


@dataclass(frozen=True)
class StaticCard:
    """What ``model_card.toml`` says about one set of weights."""

    fields: Mapping[str, Any]
    """Fields of ``ModelCard`` by their names in the contract."""
    automatic: AutomaticOptions
    """Every option set."""


def read_card(section: str) -> StaticCard:
    """The card for weights of a name, or ``file``: the common part with the section
    ``[weights.<name>]`` laid over it, tables merged, everything else replaced."""
    text = (resources.files("diptych_sam2") / "model_card.toml").read_text("utf-8")
    common = tomllib.loads(text)
    overrides = common.pop(_OVERRIDES)
    fields = _merged(common, overrides.get(section, {}))
    return StaticCard(fields, AutomaticOptions(**fields.pop(_AUTOMATIC)))


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in over.items():
        old = merged.get(name)
        merged[name] = {**old, **value} if isinstance(old, dict) else value
    return merged

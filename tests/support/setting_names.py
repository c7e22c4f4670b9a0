"""Variables that each of our processes reads, by its settings classes."""

from __future__ import annotations

import importlib

from pydantic_settings import BaseSettings
from service_list import MODELS

from diptych_gateway.settings import Settings as GatewaySettings
from diptych_runtime.settings import RuntimeSettings


def names(settings: type[BaseSettings]) -> set[str]:
    """The variables of a settings class."""
    return {f"DIPTYCH_{name.upper()}" for name in settings.model_fields}


def engine_settings(model_id: str) -> type[BaseSettings]:
    """The settings class of a listed model's engine."""
    module = importlib.import_module(f"{MODELS[model_id].package}.settings")
    found: type[BaseSettings] = module.EngineSettings
    return found


ALL = {
    "gateway": names(GatewaySettings),
    **{name: names(RuntimeSettings) | names(engine_settings(name)) for name in MODELS},
}
"""By the name of the process: the gateway, or the id of a listed model."""

"""Makes an engine and loads its model, in whichever process it is to work."""

from __future__ import annotations

import importlib
from typing import Any

from diptych.segment import v1 as pb

from ..engine.protocol import Engine, LoadedModel, LoadError
from ..settings import RuntimeSettings, SettingsError
from ..weights.download import WeightsError
from ..wire.cards import CardError, build_card


def load_engine(
    engine: Engine | str, settings: RuntimeSettings
) -> tuple[Engine, LoadedModel, pb.ModelCard]:
    """Load a model and write its card; ``engine`` may be a factory, as ``module:function``.

    Raises:
        LoadError: a setting, a file or the card has to change first.
    """
    try:
        made = create_engine(engine) if isinstance(engine, str) else engine
        loaded = made.load()
        return made, loaded, build_card(loaded, settings)
    except (CardError, SettingsError, WeightsError) as error:
        raise LoadError(str(error)) from error


def create_engine(name: str) -> Engine:
    """Make the engine of the factory ``module:function``."""
    module, _, function = name.partition(":")
    made: Any = getattr(importlib.import_module(module), function)()
    engine: Engine = made
    return engine

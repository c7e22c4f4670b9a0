"""What a shell offers behind TAB: commands and options by click, ids and classes by the server."""

from __future__ import annotations

from .command import completion
from .options import model_option, models_option
from .values import complete_categories, complete_models, complete_paths

__all__ = [
    "complete_categories",
    "complete_models",
    "complete_paths",
    "completion",
    "model_option",
    "models_option",
]

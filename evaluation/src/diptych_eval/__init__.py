"""Compare models with ground truth: which is better on your own pictures, and how sure that is."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .model import Category, Clip, Dataset, EvaluationTask, Picture, Truth

if TYPE_CHECKING:
    from .data.opening import open_dataset
    from .evaluation import Run, evaluate

__all__ = [
    "Category",
    "Clip",
    "Dataset",
    "EvaluationTask",
    "Picture",
    "Run",
    "Truth",
    "evaluate",
    "open_dataset",
]
_LAZY = {"open_dataset": "data.opening", "evaluate": "evaluation", "Run": "evaluation"}
"""They need libraries that take long to import, which a command's help should not."""


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)

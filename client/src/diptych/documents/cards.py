"""The table that compares models as a JSON document, which the gateway's page shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict, cast

from .._export.card_rows import CardRow, card_rows
from .._types.cards import KnownModel
from .._types.stats import ModelStats
from .results import plain


class CardHead(TypedDict):
    """The head of one model's column."""

    model_id: str
    name: str
    problem: str
    """Why it cannot be reached; empty if it can."""


class CardsDocument(TypedDict):
    """The table as JSON."""

    models: list[CardHead]
    rows: list[CardRow]


def cards_document(models: Sequence[KnownModel], stats: Mapping[str, ModelStats]) -> CardsDocument:
    """The table as JSON: names and troubles of the models, and the rows."""
    heads: list[CardHead] = [
        {
            "model_id": model.model_id,
            "name": model.card.display_name if model.card else model.model_id,
            "problem": str(model.error) if model.error else "",
        }
        for model in models
    ]
    rows = cast("list[CardRow]", plain(card_rows(models, stats)))
    return {"models": heads, "rows": rows}

"""The static part of a model card, for the weights that are loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

import tomllib

from diptych_runtime.engine import Fact

FILE = "file"
"""The section for weights from a file of the operator's own."""


def read_card(package: str, sections: Sequence[str]) -> dict[str, Any]:
    """Read ``model_card.toml`` of a package for the loaded weights.

    What ``[weights.NAME]`` says for the first of ``sections`` is laid over the common part: tables
    are merged, everything else is replaced. What ``[weights.NAME.add]`` says, for each of them, is
    added instead: items go before the common ones of a list, paragraphs after a common text.

    Args:
        package: Import name of the model's package.
        sections: Those of the loaded weights, the main ones first; a card may lack any of them.

    Returns:
        Fields of ``ModelCard`` by their names in the contract, and tables of the model's own.
    """
    text = (resources.files(package) / "model_card.toml").read_text("utf-8")
    card = tomllib.loads(text)
    described: Mapping[str, Mapping[str, Any]] = card.pop("weights", {})
    chosen = [dict(described.get(name, {})) for name in dict.fromkeys(sections)]
    added = [section.pop("add", {}) for section in chosen]
    for field, value in chosen[0].items():
        merged = isinstance(value, dict) and field in card
        card[field] = {**card[field], **value} if merged else value
    for field in {field for further in added for field in further}:
        values = [further[field] for further in added if field in further]
        if isinstance(values[0], str):
            paragraphs = [card.get(field, ""), *values]
            card[field] = "\n\n".join(text.strip() for text in paragraphs if text)
        else:
            items = [item for value in values for item in value]
            card[field] = items + card.get(field, [])
    return card


def with_facts(card: Mapping[str, Any], facts: Iterable[Fact]) -> dict[str, Any]:
    """Add what is known of networks to a card whose weights their operator supplied.

    What the card says of the weights has all of it, the limitations what had to be assumed.
    Published weights, of which everything is known, leave a card as it is.
    """
    told = list(facts)
    if not any(fact.file for fact in told):
        return dict(card)
    origins = {"known": "", "told": " (told)", "assumed": " (assumed)"}
    said = "; ".join(f"{fact.name} {fact.value}{origins[fact.origin]}" for fact in told)
    about = [card.get("weights_overview", "").strip(), f"The loaded network: {said}."]
    made = {**card, "weights_overview": "\n\n".join(text for text in about if text)}
    assumed = [f"{fact.name} {fact.value}" for fact in told if fact.origin == "assumed"]
    if assumed:
        files = ", ".join(sorted({fact.file for fact in told if fact.origin == "assumed"}))
        made["limitations"] = [
            f"Its weights do not say, and nobody has said in {files}, what is assumed here: "
            f"{'; '.join(assumed)}. If it was trained otherwise, its answers are worse.",
            *card["limitations"],
        ]
    return made

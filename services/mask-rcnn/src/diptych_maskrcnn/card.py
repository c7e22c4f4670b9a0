"""The static part of the model card, for the weights that are loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import tomllib


def read_card(weights: Sequence[str]) -> dict[str, Any]:
    """``ModelCard`` fields by their names in the contract, for weights of these names.

    What ``[weights.NAME]`` says is merged in: ``overview`` as further paragraphs, ``limitations``
    before the common ones, ``metrics`` after them; ``display_name``, ``organization``, ``licence``
    and ``weights_date`` take the place of the common ones, and the first name counts for them. A
    name without a section is a file of the user's own.
    """
    text = resources.files("diptych_maskrcnn").joinpath("model_card.toml").read_text("utf-8")
    card = tomllib.loads(text)
    sections: Mapping[str, Mapping[str, Any]] = card.pop("weights")
    chosen = [sections.get(name, sections["file"]) for name in weights]
    paragraphs = [card["overview"], *(item["overview"] for item in chosen)]
    return {
        **card,
        "overview": "\n\n".join(paragraph.strip() for paragraph in paragraphs),
        "display_name": chosen[0].get("display_name", card["display_name"]),
        "organization": chosen[0].get("organization", card["organization"]),
        "limitations": _joined(chosen, "limitations") + card["limitations"],
        "metrics": _joined(chosen, "metrics"),
        "licenses": {**card["licenses"], "weights": chosen[0]["licence"]},
        "weights_date": chosen[0].get("weights_date", ""),
    }


def _joined(sections: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    return [item for section in sections for item in section.get(key, [])]

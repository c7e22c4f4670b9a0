"""The cards of the demo weights quote what was measured, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomllib

ROOT = Path(__file__).parents[2]
FIGURES = json.loads((ROOT / "demo-weights" / "figures.json").read_text())
SAM_2 = "services/sam-2/src/diptych_sam2/model_card.toml"
MASK_RCNN = "services/mask-rcnn/src/diptych_maskrcnn/model_card.toml"


def section(card: str, weights: str) -> dict[str, Any]:
    """What a card says of one set of weights."""
    found: dict[str, Any] = tomllib.loads((ROOT / card).read_text())["weights"][weights]
    return found


@pytest.mark.parametrize(
    ("card", "weights", "sections"),
    [
        (SAM_2, "demo", ("sam2", "automatic", "video", "clicks", "corrections")),
        (MASK_RCNN, "demo", ("mask", "tracking")),
        (MASK_RCNN, "keypoint-demo", ("keypoint",)),
    ],
)
def test_quoted_figures_were_measured(card: str, weights: str, sections: tuple[str, ...]) -> None:
    measured = {figure["name"]: figure for name in sections for figure in FIGURES[name]}
    said = section(card, weights)
    quoted = said["metrics"] if "metrics" in said else said["add"]["metrics"]
    assert quoted
    for metric in quoted:
        figure = measured[metric["name"]]
        assert metric["value"] == pytest.approx(figure["value"], abs=5e-4)
        assert (metric["unit"], metric["dataset"]) == (figure["unit"], figure["dataset"])


def test_automatic_defaults_are_those_that_were_measured() -> None:
    stock = tomllib.loads((ROOT / SAM_2).read_text())["automatic"]
    used = {**stock, **section(SAM_2, "demo")["automatic"]}
    for name, value in FIGURES["automatic_defaults"].items():
        assert used[name] == value, name

"""The cards of the demo weights quote what was measured, and nothing else."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import tomllib

ROOT = Path(__file__).parents[2]
FIGURES = json.loads((ROOT / "demo-weights" / "figures.json").read_text())
SAM_2 = "services/sam-2/src/diptych_sam2/model_card.toml"
CASCADE = "gateway/src/diptych_gateway/cascade/measured.json"
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


def test_figures_of_the_cascade_belong_to_the_weights_that_are_bundled() -> None:
    """After new weights: ``python demo-weights/evaluate_cascade.py --write``."""
    (entry,) = json.loads((ROOT / CASCADE).read_text())
    for name, file in (
        ("detector", "services/mask-rcnn/src/diptych_maskrcnn/weights/mask-demo.safetensors"),
        ("segmenter", "services/sam-2/src/diptych_sam2/weights/sam2-demo.safetensors"),
    ):
        assert entry[name] == hashlib.sha256((ROOT / file).read_bytes()).hexdigest(), file
    measured = {figure["name"]: figure for figure in FIGURES["cascade"]}
    for metric in entry["metrics"]:
        figure = measured[metric["name"]]
        same = ("value", "unit", "dataset")
        assert [metric[key] for key in same] == [figure[key] for key in same]
        assert metric["source"] == "demo-weights/figures.json"

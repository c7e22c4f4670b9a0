"""A whole run in Python: against a real server, with models that know the answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from judged import BLIND, COARSE, GOOD, judged, make_service

from diptych import Client, UnavailableError
from diptych.testing import FakeSegmentService
from diptych_eval import Run, evaluate, open_dataset

COUNT = 12
Judged = tuple[Path, FakeSegmentService]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Judged]:
    with judged(tmp_path / "data", COUNT) as running:
        yield running


def run(stage: Judged, out: Path, **options: Any) -> Run:
    dataset, service = stage
    options = {"tasks": ["instances"], "bootstrap": 50, **options}
    with Client(service.address) as client:
        return evaluate(client, open_dataset(dataset), out=out, **options)


def without_times(path: Path) -> Any:
    """``metrics.json`` but for what answers cost."""
    document = json.loads(path.read_text())
    for model in document["models"]:
        model["values"] = {k: v for k, v in model["values"].items() if not k.startswith("cost/")}
        model["tables"] = [table for table in model["tables"] if table["name"] != "cost"]
    return document


def test_the_better_model_is_better(stage: Judged, tmp_path: Path) -> None:
    found = run(stage, tmp_path / "out")
    assert found.models == (GOOD, COARSE)
    assert found[GOOD].segm.ap.value == pytest.approx(1.0)
    assert found[COARSE].segm.ap.value < 0.9
    assert set(found[GOOD].per_class) == {"thing", "other"}
    assert found[GOOD].per_class["thing"].segm.ap.value == pytest.approx(1.0)
    difference = found.difference(COARSE, GOOD).ap
    assert difference.value == pytest.approx(1.0 - found[COARSE].segm.ap.value)
    assert difference.ci[0] > 0
    assert found.difference(GOOD, COARSE).segm.ap.ci == (-difference.high, -difference.low)
    worst = found.worst(COARSE, 3)
    assert len(worst) == 3
    assert worst[0].value <= worst[1].value <= worst[2].value
    again = Run.load(tmp_path / "out")
    assert again.figures == found.figures
    assert again.save_html().read_bytes() == (tmp_path / "out" / "report.html").read_bytes()

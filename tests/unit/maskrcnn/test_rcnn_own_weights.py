"""What people train with torchvision answers here as it does there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from own_rcnn import CLASSES, ORIGINS, POINTS, TOLD, Origin, cut, make, plain, points
from rcnn_cases import ask, check_parity, stock

from diptych import Task
from diptych_maskrcnn.engine import MaskRcnnEngine
from diptych_maskrcnn.settings import EngineSettings
from diptych_torch import convert as convert_module
from diptych_torch import weights as weights_module
from diptych_torch.weights import CONVERTER


@pytest.fixture(autouse=True)
def _converted_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process for each file would load torch each time."""

    def convert(checkpoint: Path, output: Path, *, converter: Sequence[str]) -> None:
        assert tuple(converter) == CONVERTER
        assert convert_module.main([str(checkpoint), str(output)]) == 0

    monkeypatch.setattr(weights_module, "convert", convert)


@pytest.mark.parametrize("name", ORIGINS)
def test_a_trained_network_answers_as_it_did(name: str, tmp_path: Path) -> None:
    path = tmp_path / "tuned.v1.pth"
    module = make(ORIGINS[name], path)
    expected = stock(module, cut(1))
    assert len(expected["scores"]) > 3
    engine = MaskRcnnEngine(
        EngineSettings(device="cpu", threads=1, mask_rcnn_weights=str(path), keypoint_weights="off")
    )
    engine.load()
    segments = ask(engine, cut(1), Task.INSTANCE_SEGMENTATION, min_score=0.0)
    assert check_parity(segments, expected) >= 0.999


def test_a_trained_keypoint_network_answers_as_it_did(tmp_path: Path) -> None:
    path = tmp_path / "points.pth"
    told = f"{TOLD}keypoint_names = {list(POINTS)}\nkeypoint_edges = [[0, 1], [1, 2]]\n"
    module = make(Origin(points, plain, told), path, keypoints=len(POINTS))
    expected = stock(module, cut(1))
    engine = MaskRcnnEngine(EngineSettings(device="cpu", threads=1, keypoint_weights=str(path)))
    loaded = engine.load()
    assert (loaded.keypoint_names, loaded.keypoint_edges) == (POINTS, ((0, 1), (1, 2)))
    segments = ask(engine, cut(1), Task.KEYPOINT_DETECTION, min_score=0.0)
    assert len(segments) == len(expected["scores"]) > 3
    for segment, box, places, label in zip(
        segments, *(expected[name] for name in ("boxes", "keypoints", "labels")), strict=True
    ):
        assert segment.box is not None
        assert segment.box.xyxy == pytest.approx(box, abs=1e-3)
        assert (segment.label, segment.category_id) == (CLASSES[label - 1], 0)
        assert [point.name for point in segment.keypoints] == list(POINTS)
        given = [(point.x, point.y) for point in segment.keypoints]
        np.testing.assert_allclose(given, places[:, :2], atol=1e-3)

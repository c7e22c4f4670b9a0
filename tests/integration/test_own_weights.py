"""Weights of one's own behind a real service: its answers, its card and its log."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from own_rcnn import ORIGINS, cut, make
from PIL import Image
from rcnn_cases import check_parity, stock
from serving_helpers import running_service

from diptych import AsyncClient, OutputOptions, Task

pytestmark = pytest.mark.timeout(240)


async def test_a_service_answers_as_the_trained_network_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.pth"
    module = make(ORIGINS["reference script"], path)
    monkeypatch.setenv("DIPTYCH_WEIGHTS_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("DIPTYCH_MASK_RCNN_WEIGHTS", str(path))
    pixels = cut(1)
    picture = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(picture, "PNG")
    async with (
        running_service("diptych_maskrcnn.engine:create") as service,
        AsyncClient(f"127.0.0.1:{service.port}") as client,
    ):
        result = await client.segment(
            picture.getvalue(),
            task=Task.INSTANCE_SEGMENTATION,
            output=OutputOptions(min_score=0.0),
        )
        card = await client.model_card()
    assert check_parity(list(result.segments), stock(module, pixels)) >= 0.999
    assert "min_size 96 (told)" in card.overview
    assert "nobody has said in run.model.toml" in card.limitations[0]
    lines = capfd.readouterr().err.splitlines()
    (warning,) = (line for line in lines if "weights do not say this" in line)
    assert "anchor_sizes" in warning
    assert "run.model.toml" in warning

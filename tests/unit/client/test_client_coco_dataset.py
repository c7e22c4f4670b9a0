"""A whole COCO data set of many answers, read by pycocotools."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

import diptych
from diptych.testing import FakeSegmentService


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Three pictures of two folders with one name, and a file that is none."""
    for name, size in (("a.png", (60, 40)), ("below/a.png", (30, 50)), ("b.png", (8, 8))):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", size).save(tmp_path / name)
    (tmp_path / "c.png").write_bytes(b"no picture")
    return tmp_path


def read(data: dict[str, Any]) -> COCO:
    coco = COCO()
    coco.dataset = data
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


@pytest.mark.parametrize("polygons", [False, True])
def test_many_pictures_are_one_data_set(
    service: FakeSegmentService, album: Path, polygons: bool
) -> None:
    names = ["a.png", "below/a.png", "b.png", "c.png"]
    with diptych.Client(service.address) as client:
        items = list(client.segment_many([album / name for name in names], model="one"))
    data = diptych.coco_dataset(items, polygons=polygons)
    coco = read(data)
    assert [image["file_name"] for image in data["images"]] == names[:3]
    ids = [one["id"] for one in data["annotations"]]
    assert len(set(ids)) == len(ids)
    results = [item.result for item in items if item.result]
    assert len(ids) == sum(len(result.segments) for result in results)
    for image, result in zip(data["images"], results, strict=True):
        assert (image["height"], image["width"]) == result.image_size
        found = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        for one, segment in zip(found, result.segments, strict=True):
            assert segment.mask is not None
            assert isinstance(one["segmentation"], list) is polygons
            assert np.array_equal(coco.annToMask(one), segment.mask.to_array())
            assert coco.cats[one["category_id"]]["name"] == (segment.label or "object")


def test_results_by_name_and_categories_that_were_not_found(service: FakeSegmentService) -> None:
    with diptych.Client(service.address) as client:
        result = client.segment(np.zeros((20, 30, 3), np.uint8), model="one")
    data = diptych.coco_dataset({"x/y.jpg": result}, categories={77: "zebra"})
    assert [image["file_name"] for image in data["images"]] == ["x/y.jpg"]
    assert {"id": 77, "name": "zebra"}.items() <= data["categories"][-1].items()
    assert diptych.coco_dataset({})["annotations"] == []


def test_a_tolerance_below_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"tolerance: expected pixels from 0, got -1"):
        diptych.coco_dataset({}, tolerance=-1)

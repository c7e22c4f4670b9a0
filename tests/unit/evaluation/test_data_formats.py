"""Every format gives the same truths, made here from the labels of the scenes themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_dataset import (
    CLASSES,
    object_masks,
    stored,
    write_cityscapes,
    write_masklets,
    write_sa_v,
    write_squares,
    write_voc,
    write_yolo,
)
from PIL import Image

from diptych import Mask
from diptych_eval.data.errors import DatasetError
from diptych_eval.data.opening import open_dataset
from diptych_eval.model import Dataset, EvaluationTask

SCENES = stored()
Objects = list[tuple[str, Mask]]


def wanted(scene: Any) -> Objects:
    return [(CLASSES[c], Mask.from_array(mask)) for _, c, mask in object_masks(scene)]


def read(dataset: Dataset, index: int) -> Objects:
    names = {each.id: each.name for each in dataset.categories}
    objects = []
    for truth in dataset.pictures[index].truths:
        assert truth.mask is not None
        assert truth.area == truth.mask.area
        objects.append((names[truth.category_id], truth.mask))
    return objects


def test_voc_masks_are_those_of_the_scenes(tmp_path: Path) -> None:
    dataset = open_dataset(write_voc(SCENES, tmp_path))
    assert dataset.format == "voc"
    assert EvaluationTask.SEMANTIC in dataset.tasks
    assert dataset.semantic_classes == {value: value for value in range(9)}
    for index, (name, scene) in enumerate(SCENES):
        assert dataset.pictures[index].name == f"{name}.jpg"
        assert dataset.pictures[index].semantic is not None
        assert read(dataset, index) == wanted(scene)


def test_yolo_outlines_are_those_of_the_scenes_but_for_holes(tmp_path: Path) -> None:
    dataset = open_dataset(write_yolo(SCENES, tmp_path))
    rings = 0
    for index, (name, scene) in enumerate(SCENES):
        assert dataset.pictures[index].name == f"{name}.png"
        for (category, mask), (other, truth) in zip(
            read(dataset, index), wanted(scene), strict=True
        ):
            assert category == other
            if category == "ring":
                rings += 1
                assert mask.iou(truth) < 0.8
            else:
                assert mask.iou(truth) > 0.85
    assert rings
    assert any("a ring is labelled as a disc" in line for line in dataset.warnings)


def test_cityscapes_instances_are_those_of_the_scenes(tmp_path: Path) -> None:
    dataset = open_dataset(write_cityscapes(SCENES, tmp_path))
    assert dataset.semantic_classes[24] == 1
    assert dataset.semantic_classes[7] == 0
    for index, (_, scene) in enumerate(SCENES):
        as_cars = [("person" if name == "person" else "car", m) for name, m in wanted(scene)]
        order = {"person": 0, "car": 1}
        assert read(dataset, index) == sorted(as_cars, key=lambda each: order[each[0]])


def test_a_cityscapes_group_is_a_crowd_and_unknown_things_are_left_out(tmp_path: Path) -> None:
    root = write_cityscapes(SCENES[:1], tmp_path)
    file = next(root.rglob("*_instanceIds.png"))
    values = np.array(Image.open(file))
    present = [each for each in np.unique(values) if each >= 1000]
    values[values == present[0]] = 26
    values[values == present[1]] = 29_003  # a caravan
    Image.fromarray(values).save(file)
    dataset = open_dataset(root)
    crowds = [truth.crowd for truth in dataset.pictures[0].truths]
    assert crowds == [True] + [False] * (len(present) - 2)
    assert any("does not compare" in line for line in dataset.warnings)


def test_davis_and_both_forms_of_sa_v_give_the_same_clips(tmp_path: Path) -> None:
    davis = write_squares(tmp_path / "davis", clips=2)
    clips = open_dataset(davis).clips
    assert [each.name for each in clips] == ["c0", "c1"]
    assert clips[0].object_ids == (1, 2)
    assert sorted(clips[0].labels) == list(range(9))
    assert set(clips[0].labels[8]) == {1}  # the second has gone
    assert clips[0].labels[0][2].box == Mask.from_crop(np.ones((10, 10)), 30, 20, (36, 48)).box
    for writes in (write_sa_v, write_masklets):
        read = open_dataset(writes(davis, tmp_path / writes.__name__))
        assert read.format == "sa-v"
        assert read.tasks == {EvaluationTask.VIDEO}
        for mine, theirs in zip(read.clips, clips, strict=True):
            assert len(mine.frames) == 9
            assert (mine.height, mine.width) == (36, 48)
            assert {
                index: {number + 1: mask for number, mask in masks.items()}
                for index, masks in mine.labels.items()
            } == {index: theirs.labels[index] for index in (0, 4, 8)}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["voc"], ""),
        ([], "a data set of a known format"),
        (["voc", "yolo"], r"signs of yolo \(data.yaml\) and voc \(SegmentationObject\)"),
    ],
)
def test_the_format_is_found_or_asked_for(tmp_path: Path, names: list[str], said: str) -> None:
    writers = {"voc": write_voc, "yolo": write_yolo}
    for name in names:
        writers[name](SCENES[:1], tmp_path)
    if not said:
        assert open_dataset(tmp_path).format == names[0]
        return
    with pytest.raises(DatasetError, match=said):
        open_dataset(tmp_path)
    if names:
        assert open_dataset(tmp_path, format="voc").format == "voc"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"format": "pascal"}, "format: expected one of auto, coco"),
        ({"crowd": "yes"}, "crowd: expected one of"),
        ({"exif": "yes"}, "exif: expected one of"),
        ({"images": "nowhere"}, "nowhere: images: expected a folder"),
    ],
)
def test_options_are_checked(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        open_dataset(tmp_path, **options)


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nothing of that name"):
        open_dataset(tmp_path / "none")
    (tmp_path / "labels.csv").write_text("a,b")
    with pytest.raises(DatasetError, match="a json, a yaml or a folder"):
        open_dataset(tmp_path / "labels.csv")

"""COCO files as people have them: each oddity gives the right figure, or a line that names it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelled_pictures import (
    HEIGHT,
    SQUARE,
    TRIANGLE,
    WIDTH,
    Document,
    annotation,
    document,
    perfect_ap,
    write,
)
from pycocotools import mask as pycocotools_mask

from diptych import Mask
from diptych_eval.data.coco_form import rasterise, to_coco
from diptych_eval.data.errors import DatasetError, DatasetErrors
from diptych_eval.data.opening import open_dataset
from diptych_eval.model import EvaluationTask

Spoil = Callable[[Document], None]


def each(key: str, value: Any) -> Spoil:
    """Set a key of every annotation."""

    def spoil(labels: Document) -> None:
        for item in labels["annotations"]:
            item[key] = value

    return spoil


def drop(key: str) -> Spoil:
    def spoil(labels: Document) -> None:
        for item in labels["annotations"]:
            del item[key]

    return spoil


def one(key: str, value: Any) -> Spoil:
    def spoil(labels: Document) -> None:
        labels["annotations"][1][key] = value

    return spoil


def ids_from_0(labels: Document) -> None:
    for item in labels["annotations"]:
        item["id"] -= 1


def string_ids(labels: Document) -> None:
    for group, keys in (("images", ["id"]), ("annotations", ["id", "image_id", "category_id"])):
        for item in labels[group]:
            item.update({key: f"n-{item[key]}" for key in keys})
    for item in labels["categories"]:
        item["id"] = f"n-{item['id']}"


def text_for_numbers(labels: Document) -> None:
    for item in labels["annotations"]:
        item["image_id"], item["category_id"] = str(item["image_id"]), float(item["category_id"])


def no_ids(labels: Document) -> None:
    drop("id")(labels)


def one_id_twice(labels: Document) -> None:
    labels["annotations"][1]["id"] = 1


def extra_class(labels: Document) -> None:
    labels["categories"].append({"id": 3, "name": "unicorn"})


def class_twice(labels: Document) -> None:
    labels["categories"].append({"id": 3, "name": "Hot-Dog"})
    labels["annotations"][1]["category_id"] = 3


def unlisted_picture(labels: Document) -> None:
    labels["annotations"].append(annotation(9, 77, 1, SQUARE))


def picture_twice(labels: Document) -> None:
    labels["images"].append({**labels["images"][0], "id": 3})


def picture_twice_labelled_twice(labels: Document) -> None:
    picture_twice(labels)
    labels["annotations"] += [annotation(8, 3, 1, TRIANGLE), annotation(9, 3, 2, SQUARE)]


def entry_twice(labels: Document) -> None:
    labels["images"].append(dict(labels["images"][0]))


def flat_polygon(labels: Document) -> None:
    labels["annotations"][1]["segmentation"] = list(SQUARE)


def two_corners(labels: Document) -> None:
    labels["annotations"][1]["segmentation"].insert(0, [22, 8, 30, 10])


def degenerate_only(labels: Document) -> None:
    labels["annotations"][1]["segmentation"] = [[22, 8, 30, 10]]


def uncompressed(labels: Document) -> None:
    counts = [HEIGHT * 22, 5, HEIGHT * (WIDTH - 22) - 5]
    labels["annotations"][1]["segmentation"] = {"size": [HEIGHT, WIDTH], "counts": counts}


def negative_side(labels: Document) -> None:
    labels["annotations"][1]["bbox"][2] = -3


def no_box_no_mask(labels: Document) -> None:
    labels["annotations"].append({**annotation(4, 2, 1, SQUARE), "bbox": [], "segmentation": []})


def no_size(labels: Document) -> None:
    for item in labels["images"]:
        del item["height"], item["width"]


def outside_a_little(labels: Document) -> None:
    labels["annotations"][1]["bbox"] = [22, 8, 30, 12]


def nothing(labels: Document) -> None:
    """As it should be."""


@pytest.mark.parametrize(
    ("spoil", "objects", "said"),
    [
        (nothing, 3, ""),
        (ids_from_0, 3, "has the id 0"),
        (string_ids, 3, ""),
        (text_for_numbers, 3, ""),
        (no_ids, 3, "have no id"),
        (one_id_twice, 3, "an id that another one has"),
        (drop("area"), 3, "have no area"),
        (drop("iscrowd"), 3, "have no iscrowd"),
        (drop("bbox"), 3, ""),
        (one("ignore", 1), 3, "say ignore"),
        (one("iscrowd", 1), 3, "Some classes have crowds only"),
        (extra_class, 3, "no object and are in no mean: 1 (unicorn)"),
        (class_twice, 3, "differ only in spelling"),
        (unlisted_picture, 3, "pictures that the json does not list"),
        (picture_twice, 3, "listed twice"),
        (picture_twice_labelled_twice, 3, "listed twice"),
        (entry_twice, 3, "listed twice"),
        (flat_polygon, 3, "not in a list of polygons"),
        (two_corners, 3, "fewer than three corners"),
        (uncompressed, 3, ""),
        (negative_side, 3, "side of 0 or less"),
        (one("bbox", [22, 8, 0, 12]), 3, "side of 0 or less"),
        (no_box_no_mask, 3, "neither a box nor a mask"),
        (no_size, 3, "no height and width"),
        (outside_a_little, 3, "leave their picture"),
    ],
)
def test_an_oddity_gives_the_right_figure_and_is_named(
    tmp_path: Path, spoil: Spoil, objects: int, said: str
) -> None:
    labels = document()
    spoil(labels)
    dataset = open_dataset(write(tmp_path, labels))
    truths = [truth for picture in dataset.pictures for truth in picture.truths]
    assert len(truths) == objects
    assert [truth.id for truth in truths] == list(range(1, objects + 1))
    assert perfect_ap(dataset) == pytest.approx(1)
    assert EvaluationTask.INSTANCES in dataset.tasks
    if said:
        assert any(said in line for line in dataset.warnings), dataset.warnings
    else:
        assert dataset.warnings == ()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (each("iscrowd", 1), "iscrowd 1 on all 3.*--crowd instance"),
        (one("category_id", 5), r"annotation 2, category_id: expected one of 1, 2, got 5"),
        (one("bbox", [1, 2, float("nan"), 4]), "annotation 2, bbox: expected finite.*nan"),
        (one("bbox", [1, 2, float("inf"), 4]), "bbox: expected finite"),
        (one("bbox", [1, 2, 10**400, 4]), "bbox: expected finite"),
        (one("bbox", [1, 2, True, 4]), "bbox: expected numbers only, got True"),
        (one("bbox", [1, 2, 4]), "bbox: expected x, y, width and height"),
        (one("bbox", "1,2,3,4"), "bbox: expected a list of numbers"),
        (one("bbox", [900, 900, 5, 5]), "box: expected to touch its picture"),
        (one("segmentation", [[1, 2, float("nan"), 4, 5, 6]]), "segmentation: expected finite"),
        (one("segmentation", [[1, 2, "x", 4, 5, 6]]), "segmentation: expected numbers only"),
        (one("segmentation", [[1, 2, 3, 4, 5, 6, 7]]), "x and y in turn, got 7 numbers"),
        (one("segmentation", [[1, 2, 1e9, 4, 5, 6]]), r"x near 0 to 40, got 1e\+09"),
        (one("segmentation", "polygon"), "polygons or run lengths"),
        (one("segmentation", {"size": [WIDTH, HEIGHT], "counts": "a"}), r"size \[32, 40\]"),
        (one("segmentation", {"size": [HEIGHT, WIDTH], "counts": [5, 6]}), "run lengths of 32 x"),
        (one("segmentation", {"size": [HEIGHT, WIDTH], "counts": [1285, -5]}), "run lengths"),
        (one("segmentation", {"size": [HEIGHT, WIDTH], "counts": "~~~~~~~~~~~"}), "run lengths"),
        (one("segmentation", {"size": [HEIGHT, WIDTH]}), "a list of numbers, got None"),
        (one("keypoints", [1, 2]), "keypoints: expected x, y and visibility"),
        (one("keypoints", [1, 2, 7]), "visibility 0, 1 or 2"),
        (one("area", -4), "area: expected 0 or more"),
        (one("area", "big"), "area: expected numbers"),
        (one("iscrowd", 2), "iscrowd: expected 0 or 1"),
        (lambda labels: labels.update(annotations=[]), "at least one labelled object"),
        (lambda labels: labels.update(images=[], annotations=[]), "a data set with pictures"),
        (lambda labels: labels.pop("annotations"), "annotations: expected a list, got no such key"),
        (lambda labels: labels.update(annotations=[7]), r"annotations\[0\]: expected an object"),
        (lambda labels: labels["images"][0].update(id=2), "its own id, got id 2"),
        (lambda labels: labels["images"][0].pop("file_name"), "an id and a file_name"),
        (lambda labels: labels["images"][0].update(height=99), "labels are of a picture of anothe"),
        (lambda labels: labels["images"][0].update(file_name="c.png"), "1 missing in.*--images"),
        (lambda labels: labels["categories"][0].pop("name"), "an id and a name"),
        (lambda labels: labels["categories"][0].update(id=2), "an id of its own"),
    ],
)
def test_what_cannot_be_right_stops_with_file_thing_and_value(
    tmp_path: Path, spoil: Spoil, said: str
) -> None:
    labels = document()
    spoil(labels)
    with pytest.raises(DatasetError, match=said) as caught:
        open_dataset(write(tmp_path, labels))
    assert (
        "instances.json" in str(caught.value) or str(tmp_path) in str(caught.value) or "box" in said
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"images": [],\n "annotations": [}', "line 2, column 18: expected JSON"),
        ("", "an empty file"),
        ("[]", "expected an object with images"),
        ('{"images": ' + "[" * 100_000, "nested too deep"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        open_dataset(write(tmp_path, text) / "instances.json")


def test_a_byte_order_mark_is_no_trouble(tmp_path: Path) -> None:
    root = write(tmp_path, document())
    file = root / "instances.json"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert perfect_ap(open_dataset(root)) == 1


def test_crowds_can_be_read_as_objects(tmp_path: Path) -> None:
    labels = document()
    each("iscrowd", 1)(labels)
    dataset = open_dataset(write(tmp_path, labels), crowd="instance")
    assert perfect_ap(dataset) == 1


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    labels = document()
    each("area", -1)(labels)
    labels["annotations"].append({**annotation(4, 2, 1, SQUARE), "category_id": 9})
    with pytest.raises(DatasetErrors) as caught:
        open_dataset(write(tmp_path, labels))
    assert len(caught.value.problems) == 4
    assert "and 1 more; `diptych eval check` names them all" in str(caught.value)


def test_a_mask_without_a_corner_stays_and_can_never_be_found(tmp_path: Path) -> None:
    labels = document()
    degenerate_only(labels)
    dataset = open_dataset(write(tmp_path, labels))
    assert any("a mask without a pixel" in line for line in dataset.warnings)
    figure = perfect_ap(dataset)
    assert figure is not None
    assert figure < 1


def test_objects_without_masks_leave_boxes_only(tmp_path: Path) -> None:
    labels = document()
    one("segmentation", [])(labels)
    dataset = open_dataset(write(tmp_path, labels))
    assert EvaluationTask.INSTANCES not in dataset.tasks
    assert {EvaluationTask.BOXES, EvaluationTask.PROMPTED} <= dataset.tasks
    assert any("1 of 3 objects have no mask" in line for line in dataset.warnings)


def test_an_area_that_is_missing_is_that_of_the_mask(tmp_path: Path) -> None:
    labels = document()
    drop("area")(labels)
    dataset = open_dataset(write(tmp_path, labels))
    for picture in dataset.pictures:
        for truth in picture.truths:
            assert truth.mask is not None
            assert truth.area == truth.mask.area


def test_polygons_are_filled_as_pycocotools_fills_them() -> None:
    random = np.random.default_rng(5)
    for _ in range(200):
        height, width = random.integers(5, 80, 2).tolist()
        polygons = [
            (random.uniform(-0.2, 1.2, 2 * count) * max(height, width)).tolist()
            for count in random.integers(3, 9, random.integers(1, 4))
        ]
        wanted = pycocotools_mask.merge(pycocotools_mask.frPyObjects(polygons, height, width))
        made = rasterise(polygons, height, width)
        assert made.to_coco() == wanted["counts"]
    rings = [np.reshape(TRIANGLE, (-1, 2))]
    ours = Mask.from_polygons(rings, (HEIGHT, WIDTH))  # by pixel centres: the difference matters
    assert ours != rasterise([TRIANGLE], HEIGHT, WIDTH)


def test_coco_form_is_read_back_as_the_same(tmp_path: Path) -> None:
    first = open_dataset(write(tmp_path, document()))
    again = open_dataset(write(tmp_path, to_coco(first)))
    assert again.sha256 == first.sha256
    assert [p.truths for p in again.pictures] == [p.truths for p in first.pictures]
    only = to_coco(first, ["b.png"])
    assert [each["file_name"] for each in only["images"]] == ["b.png"]
    assert [each["image_id"] for each in only["annotations"]] == [2]
    assert len(only["categories"]) == 2


def test_the_sha256_is_of_truths_not_of_ids_or_order(tmp_path: Path) -> None:
    labels = document()
    first = open_dataset(write(tmp_path / "1", labels)).sha256
    string_ids(labels)
    for group in ("images", "annotations"):
        labels[group].reverse()
    assert open_dataset(write(tmp_path / "2", labels)).sha256 == first
    labels["annotations"][0]["bbox"][0] += 1
    assert open_dataset(write(tmp_path / "3", labels)).sha256 != first


def test_keypoints_without_names_are_numbered(tmp_path: Path) -> None:
    labels = document()
    one("keypoints", [1, 2, 2, 3, 4, 1])(labels)
    dataset = open_dataset(write(tmp_path, labels))
    assert EvaluationTask.KEYPOINTS in dataset.tasks
    assert dataset.categories[1].keypoints == ("point 0", "point 1")
    labels["annotations"][2].update(category_id=2, keypoints=[1, 2, 2])
    with pytest.raises(DatasetError, match="expected 2, as others of hot dog have, got 1"):
        open_dataset(write(tmp_path / "other", labels))


def test_keypoints_must_be_as_many_as_their_category_names(tmp_path: Path) -> None:
    labels = document()
    one("keypoints", [1, 2, 2, 3, 4, 1])(labels)
    labels["categories"][1]["keypoints"] = ["nose", "ear", "tail"]
    with pytest.raises(DatasetError, match="3 points, as the category has, got 2"):
        open_dataset(write(tmp_path, labels))


def test_a_folder_of_sa_1b_is_read_as_one_class(tmp_path: Path) -> None:
    root = write(tmp_path, document())
    dataset = open_dataset(root)
    (root / "instances.json").unlink()
    for picture in dataset.pictures:
        objects = [
            {k: v for k, v in item.items() if k not in ("image_id", "category_id", "iscrowd")}
            for item in to_coco(dataset, [picture.name])["annotations"]
        ]
        image = {"image_id": picture.id, "file_name": picture.name, "height": 32, "width": 40}
        (root / f"sa_{picture.id}.json").write_text(
            json.dumps({"image": image, "annotations": objects})
        )
    read = open_dataset(root)
    assert [each.name for each in read.categories] == ["object"]
    assert [len(each.truths) for each in read.pictures] == [2, 1]
    assert perfect_ap(read) == 1

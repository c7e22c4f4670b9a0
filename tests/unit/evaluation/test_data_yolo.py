"""YOLO folders as people have them."""

from __future__ import annotations

from pathlib import Path

import pytest
from labelled_pictures import HEIGHT, WIDTH, save

from diptych_eval.data.errors import DatasetError
from diptych_eval.data.opening import open_dataset
from diptych_eval.model import EvaluationTask

YAML = "path: .\nval: images/val\nnames: [cat, hot dog]\n"
BOX = "0 0.5 0.5 0.25 0.5\n"
OUTLINE = "1 0.1 0.1 0.9 0.1 0.5 0.9\n"


def write(root: Path, labels: str = BOX + OUTLINE, yaml: str = YAML) -> Path:
    save(root / "images" / "val" / "a.png")
    save(root / "images" / "val" / "b.png", seed=1)
    (root / "labels" / "val").mkdir(parents=True)
    (root / "labels" / "val" / "a.txt").write_text(labels)
    (root / "labels" / "val" / "b.txt").write_text(BOX)
    (root / "data.yaml").write_text(yaml)
    return root


def test_boxes_and_outlines_are_shares_of_the_picture(tmp_path: Path) -> None:
    dataset = open_dataset(write(tmp_path))
    box, outline = dataset.pictures[0].truths
    assert box.box == (WIDTH * 0.375, HEIGHT * 0.25, WIDTH * 0.25, HEIGHT * 0.5)
    assert box.mask is None
    assert box.area == box.box[2] * box.box[3]
    assert outline.box == pytest.approx((4, 3.2, 32, 25.6))
    assert outline.mask is not None
    assert outline.area == outline.mask.area > 300
    assert EvaluationTask.INSTANCES not in dataset.tasks
    assert any("2 of 3 objects have no mask" in line for line in dataset.warnings)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("7 .5 .5 .1 .1", "line 1: expected a class from 0 to 1, got 7"),
        ("0.5 .5 .5 .1 .1", "a class from 0 to 1, got 0.5"),
        ("-1 .5 .5 .1 .1", "a class from 0 to 1, got -1"),
        ("cat .5 .5 .1 .1", "numbers only"),
        ("0 .5 .5 .1", "3 numbers"),
        ("0 .5 .5 .1 .1 .9", "as predictions with a score have"),
        ("0 .5 .5 .1 .1 .2 .3 .4", "a class, then a box of 4 numbers or 3 corners or more"),
        ("0 nan .5 .1 .1", "finite numbers"),
        ("0 320 240 50 60", "shares of width and height, got 320"),
        ("0 .5 .5 .1 .1\n1 .1 .1 9 .1 .5 .9", "line 2: expected coordinates from 0 to 1"),
    ],
)
def test_a_line_that_cannot_be_right_is_named(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(DatasetError, match=said) as caught:
        open_dataset(write(tmp_path, line))
    assert "a.txt: line" in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "objects", "said"),
    [
        ("", 0, ""),
        ("\n" + BOX + "\n", 1, ""),
        (BOX + BOX, 1, "there twice"),
        ("0 .5 .5 0 .1", 0, "neither a box nor a mask"),
        ("0 .5 .5 -.005 .1", 0, "neither a box nor a mask"),
        ("0.0 .5 .5 1.004 .1", 1, ""),
    ],
)
def test_oddities_are_named(tmp_path: Path, labels: str, objects: int, said: str) -> None:
    dataset = open_dataset(write(tmp_path, labels))
    assert len(dataset.pictures[0].truths) == objects
    assert not said or any(said in line for line in dataset.warnings)


def test_a_picture_without_labels_has_no_objects_and_all_without_stop(tmp_path: Path) -> None:
    root = write(tmp_path)
    (root / "labels/val/b.txt").unlink()
    dataset = open_dataset(root)
    assert dataset.pictures[1].truths == ()
    assert any("no label file; read as without objects: 1 (b.png)" in w for w in dataset.warnings)
    (root / "labels/val/a.txt").unlink()
    with pytest.raises(DatasetError, match=r"a text file of labels.*none for 2 pictures"):
        open_dataset(root)


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("val: images/val\nnames: {0: cat, 1: hot dog}", ""),
        ("path: ../gone\nval: images/val\nnames: [cat, hot dog]", ""),
        ("val: ../images/val\nnames: [cat, hot dog]", ""),
        ("val: [images/val]\nnames: [cat, hot dog]", ""),
        ("val: list.txt\nnames: [cat, hot dog]", ""),
        ("train: images/val\nnames: [cat, hot dog]", ""),
        ("val: images\\val\nnames: [cat, hot dog]", ""),
        ("val: nowhere\nnames: [cat]", "val: expected pictures at one of"),
        ("names: [cat]", "a key val, test or train"),
        ("val: images/val\nnames: cat", "names: expected a list of classes"),
        ("val: images/val\nnames: {a: cat}", "a number from 0 and a name each"),
        ("val: [images/val\nnames: [cat]", r"line 2, column \d+: expected YAML"),
        ("names", "keys such as names"),
        ("val: images/val\nnames: [cat, dog]\nkpt_shape: [2]", "kpt_shape: expected"),
    ],
)
def test_the_yaml_is_read_as_exports_write_it(tmp_path: Path, yaml: str, said: str) -> None:
    root = write(tmp_path, yaml=yaml)
    (root / "list.txt").write_text("./images/val/a.png\nimages/val/b.png\n")
    if said:
        with pytest.raises(DatasetError, match=said) as caught:
            open_dataset(root, format="yolo")
        assert "data.yaml" in str(caught.value)
    else:
        dataset = open_dataset(root)
        assert [len(each.truths) for each in dataset.pictures] == [2, 1]


def test_without_a_yaml_classes_txt_names_the_classes(tmp_path: Path) -> None:
    root = write(tmp_path)
    (root / "data.yaml").unlink()
    with pytest.raises(DatasetError, match=r"data\.yaml or classes\.txt"):
        open_dataset(root)
    (root / "classes.txt").write_text("cat\nhot dog\n")
    assert [each.name for each in open_dataset(root).categories] == ["cat", "hot dog"]


def test_poses_have_keypoints(tmp_path: Path) -> None:
    line = "0 .5 .5 .5 .5 .25 .5 2 0 0 0\n"
    root = write(tmp_path, line, YAML + "kpt_shape: [2, 3]\n")
    (root / "labels/val/b.txt").write_text(line)
    dataset = open_dataset(root)
    assert EvaluationTask.KEYPOINTS in dataset.tasks
    assert dataset.pictures[0].truths[0].keypoints == (10, 16, 2, 0, 0, 0)
    assert len(dataset.categories[0].keypoints) == 2


def test_labels_of_turned_pictures_are_of_the_turned_as_ultralytics_reads_them(
    tmp_path: Path,
) -> None:
    root = write(tmp_path, BOX)
    save(root / "images/val/a.png", orientation=6)
    dataset = open_dataset(root)
    assert (dataset.pictures[0].height, dataset.pictures[0].width) == (WIDTH, HEIGHT)
    assert dataset.pictures[0].truths[0].box == (HEIGHT * 0.375, WIDTH * 0.25, 8, 20)
    assert any("read as of the turned" in line for line in dataset.warnings)
    stored = open_dataset(root, exif="stored").pictures[0].truths[0]
    assert stored.box == (8, 15, 16, 10)

"""Classes match by name, never by number; and what a check says."""

from __future__ import annotations

from pathlib import Path

import pytest
from labelled_pictures import document, perfect_ap, write

from diptych_eval.data.check import inspect_dataset
from diptych_eval.data.classes import labelled_names, match_classes
from diptych_eval.data.errors import DatasetError
from diptych_eval.data.formats.cityscapes import THINGS
from diptych_eval.data.formats.voc_masks import VOC_CLASSES
from diptych_eval.data.opening import open_dataset

COCO = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,"
    "fire hydrant,stop sign,parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,"
    "bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,skis,snowboard,"
    "sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,"
    "bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,"
    "carrot,hot dog,pizza,donut,cake,chair,couch,potted plant,bed,dining table,toilet,tv,"
    "laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,refrigerator,"
    "book,clock,vase,scissors,teddy bear,hair drier,toothbrush,"
)
MODEL = [name for name in COCO.split(",") if name]


@pytest.mark.parametrize("name", ["hot dog", "Hot-Dog", "HOT_DOG", "hotdog", " hot  dog "])
def test_spelling_does_not_count(name: str) -> None:
    assert match_classes([name], MODEL).to_model == {name: "hot dog"}
    assert match_classes([name], MODEL).to_dataset == {"hot dog": name}


def test_all_of_voc_is_in_coco_both_ways() -> None:
    matched = match_classes(VOC_CLASSES, MODEL)
    assert len(set(matched.to_model.values())) == 20
    assert matched.to_model["motorbike"] == "motorcycle"
    assert matched.to_model["tvmonitor"] == "tv"
    assert len(matched.unused) == 60
    back = match_classes(matched.to_model.values(), VOC_CLASSES)
    assert back.to_model == matched.to_dataset


def test_cityscapes_is_in_coco_but_for_riders() -> None:
    names = list(THINGS.values())
    with pytest.raises(DatasetError, match="'rider', perhaps --map 'rider=person'"):
        match_classes(names, MODEL)
    with pytest.raises(DatasetError, match="'person' and 'rider' for 'person'; --map"):
        match_classes(names, MODEL, {"rider": "person"})
    names.remove("rider")
    assert match_classes(names, MODEL).to_model["motorcycle"] == "motorcycle"


def test_names_without_a_counterpart_are_named_with_both_sides() -> None:
    with pytest.raises(DatasetError) as caught:
        match_classes(["cat", "bycicle", "unicorn"], ["cat", "bicycle", "__background__", "N/A"])
    text = str(caught.value)
    assert "one of the model's: bicycle, cat," in text
    assert "'bycicle', perhaps --map 'bycicle=bicycle'; 'unicorn'" in text
    assert "the data set has cat, bycicle, unicorn" in text


def test_a_mapping_goes_before_equal_names() -> None:
    matched = match_classes(["Cat"], ["cat", "lynx"], {"cat": "Lynx"})
    assert matched.to_model == {"Cat": "lynx"}
    assert matched.unused == ("cat",)
    with pytest.raises(DatasetError, match="'cat', perhaps --map 'cat=cat'"):
        match_classes(["cat"], ["cat"], {"cat": "tiger"})


def test_a_mapping_renames_and_joins_classes(tmp_path: Path) -> None:
    root = write(tmp_path, document())
    renamed = open_dataset(root, mapping={"Hot_Dog": "sausage"})
    assert labelled_names(renamed) == ("cat", "sausage")
    joined = open_dataset(root, mapping={"hot dog": "cat"})
    assert [(each.id, each.name) for each in joined.categories] == [(1, "cat")]
    assert perfect_ap(joined) == 1
    with pytest.raises(DatasetError, match=r"--map cat: expected a name that no other --map ren"):
        open_dataset(root, mapping={"cat": "hot dog", "hot dog": "cat"})
    with pytest.raises(DatasetError, match=r"--map dog: expected a class .*\(cat, hot dog\)"):
        open_dataset(root, mapping={"dog": "cat"})


def test_classes_without_objects_need_no_counterpart(tmp_path: Path) -> None:
    labels = document()
    labels["categories"].append({"id": 3, "name": "unicorn"})
    dataset = open_dataset(write(tmp_path, labels))
    assert len(dataset.categories) == 3
    assert labelled_names(dataset) == ("cat", "hot dog")


def test_a_check_tells_all_and_never_raises(tmp_path: Path) -> None:
    assert inspect_dataset(write(tmp_path / "good", document())).said == ()
    labels = document()
    labels["annotations"][0]["area"] = -1
    labels["annotations"][1]["category_id"] = 7
    del labels["annotations"][2]["iscrowd"]
    root = write(tmp_path / "bad", labels)
    told = inspect_dataset(root).said
    assert len(told) == 3
    assert "annotation 1, area" in told[0]
    assert "annotation 2, category_id" in told[1]
    assert "no iscrowd" in told[2]
    checked = inspect_dataset(root)
    assert checked.dataset is None
    assert (len(checked.problems), len(checked.warnings)) == (2, 1)
    assert "expected a file or folder" in inspect_dataset(tmp_path / "none").said[0]
    assert inspect_dataset(tmp_path / "good").dataset is not None

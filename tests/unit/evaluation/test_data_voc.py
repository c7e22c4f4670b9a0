"""Pascal VOC folders as people have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from labelled_pictures import HEIGHT, WIDTH, save
from PIL import Image

from diptych import Mask
from diptych_eval.data.errors import DatasetError
from diptych_eval.data.formats.voc_masks import voc_colour
from diptych_eval.data.opening import open_dataset
from diptych_eval.model import EvaluationTask

XML = """<annotation><filename>a.jpg</filename>
<size><width>40</width><height>32</height><depth>3</depth></size>
<object><name>motorbike</name><bndbox><xmin>1</xmin><ymin>3</ymin><xmax>10</xmax><ymax>12</ymax>
</bndbox><part><name>head</name><bndbox><xmin>9</xmin></bndbox></part></object>
<object><name>sofa</name><difficult>1</difficult>
<bndbox><xmin>20</xmin><ymin>20</ymin><xmax>30</xmax><ymax>30</ymax></bndbox></object>
</annotation>"""


def boxes(root: Path, xml: str = XML) -> Path:
    save(root / "JPEGImages" / "a.jpg")
    (root / "Annotations").mkdir()
    (root / "Annotations" / "a.xml").write_text(xml)
    return root


def masks(root: Path, *, void: bool = False) -> Path:
    """Two objects of the classes 14 and 18, and the XML that goes with them."""
    objects = np.zeros((HEIGHT, WIDTH), np.uint8)
    objects[2:12, 0:10], objects[19:30, 19:30] = 1, 2
    classes = np.select([objects == 1, objects == 2], [14, 18]).astype(np.uint8)
    if void:
        objects[2, 0:10] = classes[2, 0:10] = 255
    for name, values in (("SegmentationObject", objects), ("SegmentationClass", classes)):
        (root / name).mkdir()
        image = Image.fromarray(values)
        image.putpalette([channel for value in range(256) for channel in voc_colour(value)])
        image.save(root / name / "a.png")
    return boxes(root)


def test_boxes_count_from_1_and_take_the_last_pixel_in(tmp_path: Path) -> None:
    dataset = open_dataset(boxes(tmp_path))
    motorbike, sofa = dataset.pictures[0].truths
    assert motorbike.box == (0, 2, 10, 10)
    assert [each.name for each in dataset.categories] == ["motorbike", "sofa"]
    assert (motorbike.crowd, sofa.crowd) == (False, True)
    assert dataset.tasks == {EvaluationTask.BOXES}
    assert any("difficult, which VOC ignores" in line for line in dataset.warnings)


@pytest.mark.parametrize("void", [False, True])
def test_masks_have_the_class_of_their_pixels(tmp_path: Path, void: bool) -> None:
    dataset = open_dataset(masks(tmp_path, void=void))
    motorbike, sofa = dataset.pictures[0].truths
    names = {each.id: each.name for each in dataset.categories}
    assert names[motorbike.category_id] == "motorbike"
    assert names[sofa.category_id] == "sofa"
    assert sofa.crowd
    assert motorbike.mask == Mask.from_crop(np.ones((10 - void, 10)), 0, 2 + void, (HEIGHT, WIDTH))
    assert dataset.ignore_label == 255
    assert dataset.semantic_classes[14] == motorbike.category_id
    assert any("outlines of no class" in line for line in dataset.warnings) == void


def test_masks_in_colours_are_read_by_vocs_palette(tmp_path: Path) -> None:
    root = masks(tmp_path)
    wanted = open_dataset(root)
    for name in ("SegmentationObject", "SegmentationClass"):
        file = root / name / "a.png"
        Image.open(file).convert("RGB").save(file)
    dataset = open_dataset(root)
    assert dataset.pictures[0].truths == wanted.pictures[0].truths
    assert dataset.pictures[0].semantic is None
    assert any("hold colours" in line for line in dataset.warnings)


def test_a_labelmap_names_own_classes(tmp_path: Path) -> None:
    root = masks(tmp_path)
    lines = ["# label:color_rgb:parts:actions", "background:0,0,0::"]
    lines += [f"class {n}:{','.join(map(str, voc_colour(n)))}::" for n in range(1, 19)]
    (root / "labelmap.txt").write_text("\n".join(lines))
    dataset = open_dataset(root)
    assert [each.name for each in dataset.categories][13] == "class 14"
    (root / "labelmap.txt").write_text("\n".join(lines[:5]))
    with pytest.raises(DatasetError, match=r"object 1: expected a class from 1 to 3.*got 14"):
        open_dataset(root)


def test_lists_choose_the_pictures(tmp_path: Path) -> None:
    root = boxes(tmp_path)
    save(root / "JPEGImages" / "b.jpg", seed=1)
    (root / "Annotations" / "b.xml").write_text(XML)
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "ImageSets" / "Main" / "val.txt").write_text("b\nc\n")
    dataset = open_dataset(root)
    assert [each.name for each in dataset.pictures] == ["b.jpg"]
    assert any("lists 1 of 2 labelled pictures" in line for line in dataset.warnings)
    assert any("listed but not labelled; left out: 1 (c)" in line for line in dataset.warnings)


def test_a_year_inside_vocdevkit_is_found(tmp_path: Path) -> None:
    (tmp_path / "VOCdevkit" / "VOC2012").mkdir(parents=True)
    boxes(tmp_path / "VOCdevkit" / "VOC2012")
    assert open_dataset(tmp_path, format="voc").name == "VOC2012"
    assert open_dataset(tmp_path / "VOCdevkit").name == "VOC2012"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("<xmin>1</xmin>", "<xmin>one</xmin>"), "object 1, xmin: expected a number, got 'one'"),
        (("<xmin>1</xmin>", "<xmin>nan</xmin>"), "expected a number, got 'nan'"),
        (("<xmin>1</xmin>", ""), "object 1, bndbox: expected <xmin>"),
        (("<name>sofa</name>", ""), "object 2: expected a name"),
        (("<height>32<", "<height>99<"), "labels are of a picture of another size"),
        (("</annotation>", ""), "line 7, column 0: expected XML"),
        (("<annotation>", '<!DOCTYPE a [<!ENTITY b "c">]><annotation>'), "it defines entities"),
        (("annotation>", "nothing>"), "line 1: expected <annotation>"),
    ],
)
def test_a_broken_xml_is_named(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    with pytest.raises(DatasetError, match=said) as caught:
        open_dataset(boxes(tmp_path, XML.replace(*change)))
    assert "a.xml" in str(caught.value)


def test_a_box_turned_inside_out_is_left_out_and_named(tmp_path: Path) -> None:
    dataset = open_dataset(boxes(tmp_path, XML.replace("<xmax>10<", "<xmax>0<")), crowd="instance")
    assert len(dataset.pictures[0].truths) == 1
    assert any("neither a box nor a mask" in line for line in dataset.warnings)


def test_a_picture_of_another_size_than_its_masks_stops(tmp_path: Path) -> None:
    root = masks(tmp_path)
    save(root / "JPEGImages" / "a.jpg", size=(HEIGHT * 2, WIDTH * 2))
    with pytest.raises(DatasetError, match="the picture's 64 x 80, got 32 x 40"):
        open_dataset(root)


def test_the_two_pngs_must_fit(tmp_path: Path) -> None:
    root = masks(tmp_path)
    file = root / "SegmentationClass" / "a.png"
    Image.fromarray(np.full((8, 8), 14, np.uint8)).save(file)
    with pytest.raises(DatasetError, match=r"expected 32 x 40 as a.png, got 8 x 8"):
        open_dataset(root)
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(file)
    with pytest.raises(DatasetError, match=r"object 1: expected a class in Seg.*background"):
        open_dataset(root)
    file.write_bytes(b"no")
    with pytest.raises(DatasetError, match="a PNG of labels"):
        open_dataset(root)
    file.unlink()
    assert len(open_dataset(root).pictures[0].truths) == 2  # classes of the XML


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    root = boxes(tmp_path)
    (root / "JPEGImages" / "a.jpg").unlink()
    with pytest.raises(DatasetError, match=r"a\.xml: expected a picture a in .*JPEGImages"):
        open_dataset(root)


def test_a_picture_of_a_name_in_another_case_is_found(tmp_path: Path) -> None:
    root = boxes(tmp_path)
    (root / "JPEGImages" / "a.jpg").rename(root / "JPEGImages" / "A.JPG")
    dataset = open_dataset(root)
    assert dataset.pictures[0].path.name == "A.JPG"
    assert any("in case" in line for line in dataset.warnings)

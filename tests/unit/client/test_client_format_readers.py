"""Fifty hard masks in every format, read again by the readers that its users have."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import supervision
from fifty_masks import LABELS, SIZE, arrays, picture
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO

from diptych import Mask
from diptych.formats import FORMATS, Options, Picture
from diptych.masks.simplify import crosses

Array = NDArray[np.bool_]
WANTED = list(arrays())
TOLERANCE = 1.5


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the picture, as trainers want it."""
    folder = tmp_path_factory.mktemp("album")
    (folder / "images").mkdir()
    Image.new("RGB", SIZE[::-1]).save(folder / "images" / "fifty.png")
    return folder


def save(folder: Path, name: str, tolerance: float = 0.0) -> dict[str, Path]:
    found = {}
    for path, data in FORMATS[name].write([picture()], Options(tolerance)):
        file = folder / name / str(tolerance) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        found[path] = file
    return found


def iou(one: Array, other: Array) -> float:
    return float((one & other).sum() / (one | other).sum())


def exact(found: list[Array] | NDArray[np.bool_]) -> None:
    wrong = [n for n, (a, b) in enumerate(zip(found, WANTED, strict=True)) if not (a == b).all()]
    assert not wrong


def test_there_are_fifty() -> None:
    assert len(WANTED) == 50
    assert all(array.shape == SIZE and array.any() for array in WANTED)


@pytest.mark.parametrize("name", ["coco", "coco-polygons"])
def test_coco_for_pycocotools(album: Path, name: str) -> None:
    (file,) = save(album, name).values()
    coco = COCO(file)
    exact([coco.annToMask(coco.anns[n]).astype(bool) for n in sorted(coco.anns)])
    for annotation, array in zip(coco.anns.values(), WANTED, strict=True):
        assert annotation["area"] == array.sum()
        x, y, width, height = map(int, annotation["bbox"])
        assert array[y : y + height, x : x + width].sum() == array.sum()
    assert [one["name"] for one in coco.cats.values()] == [*LABELS]


def test_simplified_coco_states_how_near_it_is(album: Path) -> None:
    (file,) = save(album, "coco-polygons", TOLERANCE).values()
    coco = COCO(file)
    (exactly,) = save(album, "coco-polygons").values()
    corners = [file.read_text().count(",") for file in (file, exactly)]
    assert corners[0] < 0.8 * corners[1]  # half of them are noise, which keeps its corners
    for annotation, array in zip(coco.anns.values(), WANTED, strict=True):
        rings = [np.reshape(ring, (-1, 2)) for ring in annotation["segmentation"]]
        assert Mask.from_polygons(rings, SIZE).iou(Mask.from_array(array)) == pytest.approx(
            annotation["iou"], abs=1e-4
        )
        # pycocotools draws slanted edges up to half a pixel apart from where they are.
        read = coco.annToMask(annotation).astype(bool)
        assert (read ^ array).sum() <= perimeter(array) * TOLERANCE
    by_size = [a["iou"] for a in coco.anns.values() if a["area"] > 1500]
    assert np.median(by_size) > 0.9


def perimeter(array: Array) -> int:
    framed = np.pad(array, 1)
    return sum(int(np.diff(framed, axis=axis).sum()) for axis in (0, 1))


def test_coco_for_supervision(album: Path) -> None:
    (file,) = save(album, "coco").values()
    dataset = supervision.DetectionDataset.from_coco(
        str(album / "images"), str(file), force_masks=True
    )
    ((_, _, found),) = list(dataset)
    exact(found.mask)
    assert [dataset.classes[n] for n in found.class_id[:4]] == [*LABELS]


def test_yolo_polygons_for_supervision(album: Path) -> None:
    files = save(album, "yolo-seg")
    dataset = supervision.DetectionDataset.from_yolo(
        str(album / "images"),
        str(files["labels/fifty.txt"].parent),
        str(files["data.yaml"]),
        force_masks=True,
    )
    assert dataset.classes == [*LABELS]
    ((_, _, found),) = list(dataset)
    assert [dataset.classes[n] for n in found.class_id[:4]] == [*LABELS]
    for mask, wanted in zip(found.mask, WANTED, strict=True):
        assert not (wanted & ~mask).any()
        if len(parts_of(wanted)) == 1:
            assert (mask == wanted).all()  # holes and all
        else:
            assert (mask & ~wanted).sum() <= seams_at_most(wanted)


def parts_of(array: Array) -> list[Array]:
    from scipy import ndimage

    labels, count = ndimage.label(array)
    return [labels == number for number in range(1, count + 1)]


def seams_at_most(array: Array) -> int:
    """Pixels that lines between so many parts can have."""
    return len(parts_of(array)) * max(SIZE)


@pytest.mark.parametrize("tolerance", [0.0, TOLERANCE])
def test_yolo_polygons_as_trainers_draw_them(album: Path, tolerance: float) -> None:
    """Ultralytics cuts coordinates off and fills with OpenCV."""
    import cv2

    lines = save(album, "yolo-seg", tolerance)["labels/fifty.txt"].read_text().splitlines()
    for line, wanted in zip(lines, WANTED, strict=True):
        points = np.array(line.split()[1:], float).reshape(-1, 2)
        assert ((points >= 0) & (points <= 1)).all()
        canvas = np.zeros(SIZE, np.uint8)
        cv2.fillPoly(canvas, [(points * SIZE[::-1]).astype(np.int32)], 1)
        drawn = canvas.astype(bool)
        if len(parts_of(wanted)) > 1:
            continue
        if tolerance:
            assert (drawn ^ wanted).sum() <= perimeter(wanted) * (tolerance + 1)
        else:
            assert (drawn == wanted).all()


def test_yolo_boxes_for_supervision(album: Path) -> None:
    files = save(album, "yolo-detect")
    dataset = supervision.DetectionDataset.from_yolo(
        str(album / "images"), str(files["labels/fifty.txt"].parent), str(files["data.yaml"])
    )
    ((_, _, found),) = list(dataset)
    wanted = [segment.box.xyxy for segment in picture().segments]
    assert np.abs(found.xyxy - np.array(wanted)).max() < 0.001


def test_voc_for_supervision(album: Path) -> None:
    files = save(album, "voc")
    dataset = supervision.DetectionDataset.from_pascal_voc(
        str(album / "images"), str(files["fifty.xml"].parent), force_masks=True
    )
    ((_, _, found),) = list(dataset)
    exact(found.mask)
    assert (found.xyxy == [segment.box.xyxy for segment in picture().segments]).all()
    assert [dataset.classes[n] for n in found.class_id[:4]] == [*LABELS]


def test_labelme_for_supervision(album: Path) -> None:
    """It makes one object of what is a group, and draws as LabelMe does: polygons with border."""
    from supervision.dataset.formats.labelme import labelme_shapes_to_detections

    content = json.loads(save(album, "labelme")["fifty.json"].read_text())
    found = labelme_shapes_to_detections(
        content["shapes"], {label: n for n, label in enumerate(LABELS)}, SIZE[::-1], with_masks=True
    )
    exact(found.mask)


@pytest.mark.parametrize("tolerance", [0.0, TOLERANCE])
def test_labelme_as_it_draws_itself(album: Path, tolerance: float) -> None:
    """The rule of its ``utils.shape_to_mask``, whose package wants Qt: Pillow's polygon."""
    from PIL import ImageDraw

    content = json.loads(save(album, "labelme", tolerance)["fifty.json"].read_text())
    assert (content["imagePath"], content["imageData"]) == ("fifty.png", None)
    assert (content["imageHeight"], content["imageWidth"]) == SIZE
    drawn = [Image.new("1", SIZE[::-1]) for _ in WANTED]
    shapes = iter(content["shapes"])
    pens = [ImageDraw.Draw(image) for image in drawn]
    stated = [0.0] * 50
    for shape in shapes:
        # What its ``LabelFile`` checks of a shape.
        assert isinstance(shape["label"], str)
        assert (shape["shape_type"], shape["flags"], shape["mask"]) == ("polygon", {}, None)
        assert len(shape["points"]) > 2
        number = round(float(shape["description"].split()[1].rstrip(",")) * 64) - 1
        assert shape["group_id"] in (None, number + 1)
        pens[number].polygon([*map(tuple, shape["points"])], outline=1, fill=1)
        stated[number] = float(shape["description"].partition("IoU ")[2] or 1)
        assert not crosses([np.array(shape["points"], np.float32)])
    if not tolerance:
        exact([np.asarray(image) for image in drawn])
        return
    for image, wanted, said in zip(drawn, WANTED, stated, strict=True):
        assert (np.asarray(image) ^ wanted).sum() <= perimeter(wanted) * (tolerance + 1)
        assert said > 0


def decoded_brush(data: list[int]) -> Array:
    """``decode_rle`` of ``label_studio_sdk.converter.brush``, which pulls in 40 packages; bit by
    bit as it is there."""
    bits = "".join(f"{byte:08b}" for byte in data)
    at = 0

    def read(count: int) -> int:
        nonlocal at
        at += count
        return int(bits[at - count : at], 2)

    number, word = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    out = np.zeros(number, np.uint8)
    done = 0
    while done < number:
        is_run = read(1)
        end = done + 1 + read(sizes[read(2)])
        if is_run:
            out[done:end] = read(word)
            done = end
        else:
            while done < end:
                out[done] = read(word)
                done += 1
    return out.reshape(*SIZE, 4)[:, :, 3] > 127


def test_label_studio_brush(album: Path) -> None:
    files = save(album, "label-studio")
    (task,) = json.loads(files["tasks.json"].read_text())
    assert task["data"]["image"] == "/data/local-files/?d=fifty.png"
    (prediction,) = task["predictions"]
    assert prediction["model_version"] == "model"
    results = prediction["result"]
    exact([decoded_brush(result["value"]["rle"]) for result in results])
    assert len({result["id"] for result in results}) == 50
    config = ElementTree.fromstring(files["label-config.xml"].read_text())
    kinds = {tag.get("name"): tag for tag in config if tag.tag != "Image"}
    for result in results:
        assert (result["original_width"], result["original_height"]) == SIZE[::-1]
        tag = kinds[result["from_name"]]
        assert (tag.get("toName"), tag.tag.lower()) == (result["to_name"], result["type"])
        labels = [label.get("value") for label in tag]
        assert set(result["value"][result["type"]]) <= set(labels)


def test_label_studio_polygons(album: Path) -> None:
    (task,) = json.loads(save(album, "label-studio", TOLERANCE)["tasks.json"].read_text())
    drawn: dict[str, list[NDArray[np.float64]]] = {}
    stated = {}
    for result in task["predictions"][0]["result"]:
        assert result["type"] == "polygonlabels"
        points = np.array(result["value"]["points"]) * SIZE[::-1] / 100
        number = result["id"].partition("-")[0]
        drawn.setdefault(number, []).append(points)
        stated[number] = float(result["meta"]["text"][0].removeprefix("IoU "))
    for (number, rings), wanted in zip(drawn.items(), WANTED, strict=True):
        mask = Mask.from_polygons([ring.round(3) for ring in rings], SIZE)
        assert mask.iou(Mask.from_array(wanted)) == pytest.approx(stated[number], abs=0.002)


def test_cvat_masks(album: Path) -> None:
    """As CVAT's and datumaro's readers take them: runs within a box, row by row."""
    root = ElementTree.fromstring(save(album, "cvat")["annotations.cvat.xml"].read_bytes())
    assert [label.findtext("name") for label in root.iter("label")] == [*LABELS]
    (image,) = root.iter("image")
    assert (image.get("name"), image.get("width"), image.get("height")) == ("fifty.png", "96", "72")
    found = []
    for number, mask in enumerate(image):
        assert mask.get("label") == LABELS[number % 4]
        left, top, width, height = (
            int(mask.attrib[key]) for key in ("left", "top", "width", "height")
        )
        runs = [int(run) for run in mask.attrib["rle"].split(",")]
        assert sum(runs) == width * height
        values = np.repeat(np.arange(len(runs)) % 2, runs).reshape(height, width)
        found.append(np.zeros(SIZE, bool))
        found[-1][top : top + height, left : left + width] = values
    exact(found)


def test_cvat_polygons(album: Path) -> None:
    root = ElementTree.fromstring(
        save(album, "cvat", TOLERANCE)["annotations.cvat.xml"].read_bytes()
    )
    groups: dict[str, list[Array]] = {}
    for number, shape in enumerate(root.iter("polygon")):
        ring = np.array([pair.split(",") for pair in shape.attrib["points"].split(";")], float)
        assert not crosses([ring.astype(np.float32)])
        groups.setdefault(shape.get("group_id", f"alone {number}"), []).append(ring)
    assert len(groups) == 50
    for rings, wanted in zip(groups.values(), WANTED, strict=True):
        mask = Mask.from_polygons(rings, SIZE).to_array()
        assert (mask ^ wanted).sum() <= perimeter(wanted) * TOLERANCE


def test_pngs(album: Path) -> None:
    files = save(album, "masks")
    exact([np.asarray(Image.open(path)) > 0 for name, path in files.items() if ".png" in name])
    rows = list(csv.DictReader(io.StringIO(files["objects.csv"].read_text())))
    assert [float(row["score"]) for row in rows] == [(n + 1) / 64 for n in range(50)]
    assert [row["label"] for row in rows[:4]] == ["cat", "dog & <cat>", "'=1+1", "żółw"]


def test_a_table() -> None:
    ((_, data),) = FORMATS["csv"].write([picture("=a.png"), Picture("none.png", 8, 9, [])])
    *rows, last = csv.DictReader(io.StringIO(data.decode()))
    assert len(rows) == 50
    for row, segment in zip(rows, picture().segments, strict=True):
        assert row["picture"] == "'=a.png"
        assert [float(row[key]) for key in ("x", "y", "width", "height")] == [*segment.box.xywh]
        assert (int(row["area"]), float(row["score"])) == (segment.area, segment.score)
    assert (last["picture"], last["object"], last["area"]) == ("none.png", "", "")


@pytest.mark.parametrize("name", FORMATS)
def test_names_of_two_folders(name: str) -> None:
    files = [file for file, _ in FORMATS[name].write([picture("a/x.png"), picture("b/x.png")])]
    assert len(set(files)) == len(files)
    assert not [file for file in files if file.startswith("/") or ".." in file]

"""Files for other tools: names, categories, COCO and PNGs, read again by what others use."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from diptych import Box, Keypoint, Mask, Segment, SegmentResult
from diptych.formats import FORMATS, Options, Picture, TooLargeError, format_of, pack
from diptych.formats.categories import Categories
from diptych.formats.names import safe_path, unique_names

SIZE = (12, 16)


def mask(x: int, y: int, width: int = 4, height: int = 3) -> Mask:
    return Mask.from_crop(np.ones((height, width), bool), x, y, SIZE)


def found(at: Mask | None, label: str = "", category_id: int = 0, score: float = 0.5) -> Segment:
    area = at.area if at else 0
    return Segment(score, at.box if at else None, at, label, category_id, area)


def picture(name: str, *segments: Segment) -> Picture:
    return Picture(name, SIZE[1], SIZE[0], segments, "model")


def written(name: str, *pictures: Picture, **options: object) -> dict[str, bytes]:
    files = list(FORMATS[name].write(pictures, Options(**options)))  # type: ignore[arg-type]
    assert len(dict(files)) == len(files)
    return dict(files)


NASTY = [
    "../../etc/passwd",
    "/etc/passwd",
    "C:\\Users\\ann\\a.jpg",
    "a/../b/./c.png",
    "con.jpg",
    "a:b*c?.jpg",
    "ends with dots. . .",
    "",
    "...",
    "line\nbreak\x00\x1b.jpg",
    "\udcff.jpg",
    "é" * 300 + ".jpg",
    "a." + "x" * 300,
]


@pytest.mark.parametrize("name", NASTY)
def test_paths_stay_inside_and_are_names(name: str) -> None:
    path = safe_path(name)
    assert path == safe_path(path)
    assert path.encode().decode() == path
    for parts in (PurePosixPath(path).parts, PureWindowsPath(path).parts):
        assert parts
        assert not {"..", ".", "/", "\\"} & set(parts)
        assert all(part.isprintable() and len(part.encode()) <= 200 for part in parts)
    assert not PurePosixPath(path).is_absolute()
    assert not PureWindowsPath(path).drive
    assert not PureWindowsPath(path).is_reserved()


def test_names_come_once() -> None:
    names = ["a.jpg", "A.JPG", "b/a.jpg", "a.jpg", "a-2.jpg", "a.png", "café.jpg", "cafe\u0301.jpg"]
    once = unique_names(names)
    assert once[:4] == ["a.jpg", "A-2.JPG", "b/a.jpg", "a-3.jpg"]
    assert once[5] == "a.png"
    assert len({safe_path(name).casefold() for name in once}) == len(names)
    assert unique_names(["a.jpg", "a.png"], by_stem=True) == ["a.jpg", "a-2.png"]
    assert len(set(unique_names(["a.jpg"] * 3000))) == 3000


def test_a_name_is_one_category_with_one_number() -> None:
    of_one = picture("a.jpg", found(mask(0, 0), "cat", 17), found(mask(1, 1)))
    of_other = picture(
        "b.jpg",
        found(mask(0, 0), "dog", 17),
        found(mask(0, 0), "cat", 3),
        found(mask(0, 0), "", 40),
        found(mask(0, 0), "", 18),
    )
    categories = Categories([of_one, of_other], {18: "horse"})
    assert list(categories) == [
        (0, "object"),
        (17, "cat"),
        (18, "horse"),
        (40, "category 40"),
        (41, "dog"),
    ]
    assert [categories.id(one) for one in of_other.segments] == [41, 17, 40, 18]
    assert [categories.place(one) for one in of_other.segments] == [4, 1, 3, 2]


def test_a_coco_file_of_a_folder(tmp_path: Path) -> None:
    nose = Segment(0.25, Box(1, 1, 3, 2), None, "person", 1, 0, (Keypoint("nose", 1.5, 1.2, 4),))
    pictures = [
        picture("a.jpg", found(mask(0, 0), "cat", 17, 0.75), found(mask(3, 4))),
        picture("sub/a.jpg", nose),
        picture("empty.jpg"),
    ]
    options = {"categories": {1: "person", 18: "dog"}, "skeleton": [(0, 0)], "info": {"year": "1"}}
    ((name, data),) = written("coco", *pictures, **options).items()
    assert name.endswith(".json")
    (tmp_path / name).write_bytes(data)
    coco = COCO(tmp_path / name)
    assert [one["file_name"] for one in coco.imgs.values()] == ["a.jpg", "sub/a.jpg", "empty.jpg"]
    assert sorted(coco.anns) == [1, 2, 3]
    assert (coco.annToMask(coco.anns[1]) == mask(0, 0).to_array()).all()
    assert [coco.anns[n]["category_id"] for n in (1, 2, 3)] == [17, 0, 1]
    assert {one["id"]: one["name"] for one in coco.cats.values()} == {
        0: "object",
        1: "person",
        17: "cat",
        18: "dog",
    }
    assert coco.cats[1]["keypoints"] == ["nose"]
    assert coco.cats[1]["skeleton"] == [[1, 1]]
    assert coco.anns[1]["score"] == 0.75
    assert "segmentation" not in coco.anns[3]
    assert json.loads(data)["info"] == {"year": "1"}


def test_a_png_for_each_mask() -> None:
    whole = Mask.from_array(np.ones(SIZE, bool))
    boxed = Segment(0.5, Box(1, 1, 2, 2), None, "box", 5)
    files = written("masks", picture("a.jpg", found(mask(1, 2), "a/b", 3), boxed, found(whole)))
    assert list(files) == ["a/001-a_b.png", "a/003-object.png", "objects.csv"]
    for name, wanted in zip(files, (mask(1, 2), whole), strict=False):
        image = Image.open(io.BytesIO(files[name]))
        assert image.mode == "L"
        assert (np.asarray(image) == wanted.to_array() * 255).all()
        assert Mask.from_png(files[name]) == wanted
    rows = list(csv.DictReader(io.StringIO(files["objects.csv"].decode())))
    assert [(row["file"], row["label"], row["category_id"]) for row in rows] == [
        ("a/001-a_b.png", "a/b", "3"),
        ("a/003-object.png", "object", "0"),
    ]


@pytest.mark.parametrize("count", [3, 300])
def test_one_indexed_picture(count: int) -> None:
    rng = np.random.default_rng(7)
    masks = [mask(*rng.integers(0, (12, 9)).tolist()) for _ in range(count - 2)]
    masks += [Mask.from_array(np.ones(SIZE, bool)), Mask.from_array(np.zeros(SIZE, bool))]
    files = written("indexed", picture("a/b.jpg", *(found(one) for one in masks)))
    image = Image.open(io.BytesIO(files["a/b.png"]))
    assert image.mode == ("P" if count < 256 else "I;16")
    values = np.asarray(image)
    assert values.shape == SIZE
    assert not (values == 0).any()  # one is the whole picture, and is below the others
    assert (values != count - 1).sum() == Mask.union(masks[:-2], SIZE).area
    rows = list(csv.DictReader(io.StringIO(files["objects.csv"].decode())))
    assert [int(row["value"]) for row in rows] == [*range(1, count + 1)]


def test_a_spreadsheet_runs_nothing() -> None:
    files = written("masks", picture("=cmd.jpg", found(mask(0, 0), "@SUM(1)", 1)))
    _, row = csv.reader(io.StringIO(files["objects.csv"].decode()))
    assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@"))]


def test_files_of_one_zip() -> None:
    data = pack([("a/b.txt", b"1" * 1000), ("a/c.png", b"2")])
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.testzip() is None
    assert archive.namelist() == ["a/b.txt", "a/c.png"]
    assert data == pack([("a/b.txt", b"1" * 1000), ("a/c.png", b"2")])
    with pytest.raises(TooLargeError):
        pack([("a", np.random.default_rng(0).bytes(5000))], 4000)


def test_what_is_no_format_or_no_picture() -> None:
    with pytest.raises(ValueError, match=r"expected one of coco, .*, got 'cocoa'"):
        format_of("cocoa")
    with pytest.raises(ValueError, match=r"segments\[0\]\.mask: expected .* 8 x 9, got 16 x 12"):
        Picture("a", 8, 9, [found(mask(0, 0))])
    result = SegmentResult("m", (found(mask(0, 0)),), SIZE)
    assert Picture.of("a", result) == Picture("a", 16, 12, result.segments, "m")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_says_what_it_is(name: str) -> None:
    entry = FORMATS[name]
    assert entry.name == name
    assert entry.title
    assert entry.says.endswith(".")
    assert not entry.extension.startswith(".")


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_found_is_a_file_too(name: str) -> None:
    assert list(FORMATS[name].write([picture("a.jpg")]))

"""Picture files as people have them: turned by EXIF, under other names, missing, broken, twice."""

from __future__ import annotations

import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelled_pictures import HEIGHT, ORIENTATION, WIDTH, document, perfect_ap, save, write
from PIL import Image, ImageOps

from diptych import Mask
from diptych_eval.data.errors import DatasetError
from diptych_eval.data.opening import open_dataset
from diptych_eval.data.pictures import Frame, read_header
from diptych_eval.data.turning import turned_mask, turned_truth
from diptych_eval.model import Picture, Truth


def labelled(root: Path, orientation: int, suffix: str = "jpg") -> Path:
    """The small data set, its first picture with an orientation; labels of the stored pixels."""
    labels = document()
    labels["images"][0]["file_name"] = f"a.{suffix}"
    write(root, labels, ("b.png",))
    save(root / "images" / f"a.{suffix}", orientation=orientation, seed=9)
    return root


def first(root: Path, **options: Any) -> tuple[Picture, tuple[str, ...]]:
    dataset = open_dataset(root, **options)
    assert perfect_ap(dataset) == 1
    return dataset.pictures[0], dataset.warnings


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_mask_turns_as_pillow_turns_the_picture(turn: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(turn).random((HEIGHT, WIDTH)) > 0.5
    image = Image.fromarray(pixels.astype(np.uint8) * 255)
    exif = Image.Exif()
    exif[ORIENTATION] = turn
    image.save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as stored:
        wanted = np.asarray(ImageOps.exif_transpose(stored)) > 127
    assert np.array_equal(turned_mask(Mask.from_array(pixels), turn).to_array(), wanted)


@pytest.mark.parametrize("turn", range(2, 9))
def test_box_and_keypoints_turn_with_the_mask(turn: int) -> None:
    pixels = np.zeros((HEIGHT, WIDTH), bool)
    pixels[3:10, 5:22] = True
    truth = Truth(1, 1, (5, 3, 17, 7), 119, Mask.from_array(pixels), False, (5, 3, 2, 0, 0, 0))
    made = turned_truth(truth, Frame(HEIGHT, WIDTH, turn))
    assert made.mask is not None
    assert made.mask.box is not None
    assert made.box == made.mask.box.xywh
    x, y, seen = made.keypoints[:3]
    left, top, width, height = made.box
    assert (x, y) in {(a, b) for a in (left, left + width) for b in (top, top + height)}
    assert seen == 2
    assert made.keypoints[3:] == (0, 0, 0)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
def test_labels_of_stored_pixels_are_turned_with_the_picture(tmp_path: Path, suffix: str) -> None:
    picture, warnings = first(labelled(tmp_path, 6, suffix))
    assert (picture.height, picture.width) == (WIDTH, HEIGHT)
    for truth in picture.truths:
        assert truth.mask is not None
        assert truth.mask.size == (WIDTH, HEIGHT)
    assert any("labels are of the pixels as stored" in line for line in warnings)
    upright = labelled(tmp_path / "upright", 1, suffix)
    plain, none = first(upright)
    assert none == ()
    wanted = [turned_truth(truth, Frame(HEIGHT, WIDTH, 6)) for truth in plain.truths]
    assert list(picture.truths) == wanted


def test_labels_of_the_turned_picture_stay_as_they_are(tmp_path: Path) -> None:
    root = labelled(tmp_path, 6)
    save(root / "images" / "a.jpg", orientation=6, size=(WIDTH, HEIGHT))
    picture, warnings = first(root)
    assert (picture.height, picture.width) == (HEIGHT, WIDTH)
    assert picture.truths == first(labelled(tmp_path / "plain", 1))[0].truths
    assert any("read as of the turned" in line for line in warnings)


def test_where_the_size_cannot_tell_somebody_must(tmp_path: Path) -> None:
    root = labelled(tmp_path, 3)  # upside down: of the same size
    with pytest.raises(
        DatasetError, match=r"orientation 3 of EXIF.*--exif turned or --exif stored"
    ):
        open_dataset(root)
    turned = first(root, exif="turned")[0]
    stored = first(root, exif="stored")[0]
    assert turned.truths == first(labelled(tmp_path / "plain", 1))[0].truths
    assert stored.truths == tuple(
        turned_truth(truth, Frame(HEIGHT, WIDTH, 3)) for truth in turned.truths
    )


def test_what_somebody_says_of_exif_must_fit_the_size(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="expected 40 x 32 as turned, got 32 x 40"):
        open_dataset(labelled(tmp_path, 6), exif="turned")


def test_a_turned_picture_without_a_stated_size_cannot_be_read(tmp_path: Path) -> None:
    labels = document()
    del labels["images"][0]["height"]
    write(tmp_path, labels)
    save(tmp_path / "images" / "a.png", orientation=6)
    with pytest.raises(DatasetError, match="labels whose size tells"):
        open_dataset(tmp_path)


def test_an_orientation_after_the_pixels_of_a_png_counts(tmp_path: Path) -> None:
    save(tmp_path / "a.png", orientation=6)
    data = (tmp_path / "a.png").read_bytes()
    start = data.index(b"eXIf") - 4
    length = 12 + int.from_bytes(data[start : start + 4], "big")
    chunk, rest = data[start : start + length], data[:start] + data[start + length :]
    late = rest[:-12] + chunk + rest[-12:]
    (tmp_path / "late.png").write_bytes(late)
    assert read_header(tmp_path / "late.png") == read_header(tmp_path / "a.png")
    assert read_header(tmp_path / "late.png").orientation == 6
    assert read_header(tmp_path / "late.png").turned == (WIDTH, HEIGHT)


@pytest.mark.parametrize(
    ("written", "file", "said"),
    [
        ("A.PNG", "a.png", "differ from the labels' in case"),
        ("sub\\a.png", "sub/a.png", ""),
        ("C:\\data\\val\\a.png", "a.png", "in another folder than the labels say"),
        ("/home/somebody/val/a.png", "val/a.png", "in another folder than the labels say"),
        ("Straße 猫.png", "Straße 猫.png", ""),
        ("e\u0301t\u00e9.png", "\u00e9te\u0301.png", "the form of their letters"),
        ("./a.png", "a.png", ""),
        ("deep/er/a.png", "deep/er/a.png", ""),
    ],
)
def test_files_are_found_as_labels_call_them(
    tmp_path: Path, written: str, file: str, said: str
) -> None:
    labels = document()
    labels["images"][0]["file_name"] = written
    dataset = open_dataset(write(tmp_path, labels, (file, "b.png")))
    assert perfect_ap(dataset) == 1
    names = [each.name for each in dataset.pictures]
    assert written.replace("\\", "/").removeprefix("C:/").removeprefix("./") in names
    assert bool(dataset.warnings) == bool(said)
    assert all(said in line for line in dataset.warnings)


def test_a_name_that_two_files_could_mean_is_missing(tmp_path: Path) -> None:
    labels = document()
    labels["images"][0]["file_name"] = "A.png"
    with pytest.raises(DatasetError, match=r"1 missing in .*images.*A\.png"):
        open_dataset(write(tmp_path, labels, ("a.PNG", "a.png", "b.png")))


def test_the_same_bytes_under_two_names_are_told(tmp_path: Path) -> None:
    root = write(tmp_path, document())
    shutil.copy(root / "images" / "a.png", root / "images" / "b.png")
    dataset = open_dataset(root)
    assert len(dataset.pictures) == 2
    assert any("same bytes as another one" in line for line in dataset.warnings)


def test_a_picture_labelled_differently_twice_stops(tmp_path: Path) -> None:
    labels = document()
    labels["images"][1]["file_name"] = "a.png"
    with pytest.raises(DatasetError, match=r"one entry a picture.*two with 2 and 1 objects"):
        open_dataset(write(tmp_path, labels))


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"", "a file that is none"), (b"\x89PNG\r\n\x1a\n", "a file that is none"), (b"GIF", "none")],
)
def test_a_broken_picture_is_named(tmp_path: Path, data: bytes, said: str) -> None:
    root = write(tmp_path, document())
    (root / "images" / "b.png").write_bytes(data)
    with pytest.raises(DatasetError, match=rf"b\.png: expected a picture, got .*{said}"):
        open_dataset(root)


def test_a_header_that_claims_a_huge_picture_is_refused(tmp_path: Path) -> None:
    root = write(tmp_path, document())
    head = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    (root / "images" / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    with pytest.raises(DatasetError, match=r"b\.png"):
        open_dataset(root)


@pytest.mark.parametrize("place", ["images", "val2017", "annotations", "elsewhere"])
def test_pictures_are_looked_for_beside_the_json(tmp_path: Path, place: str) -> None:
    root = write(tmp_path, document())
    (root / "annotations").mkdir()
    (root / "instances.json").rename(root / "annotations" / "instances_val2017.json")
    (root / "images").rename(root / "pictures")
    target = tmp_path / "other" if place == "elsewhere" else root / place
    target.mkdir(exist_ok=True)
    for file in (root / "pictures").iterdir():
        file.rename(target / file.name)
    images = target if place == "elsewhere" else None
    assert perfect_ap(open_dataset(root, images=images)) == 1

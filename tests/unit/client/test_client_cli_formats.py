"""``--format`` of the command line: files for other tools, and what is told about pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from pycocotools.coco import COCO

from diptych.cli import main
from diptych.formats import FORMATS
from diptych.testing import FakeSegmentService

Run = Callable[..., Result]


@pytest.fixture
def run(service: FakeSegmentService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: object) -> Result:
        environment = {"DIPTYCH_ADDRESS": service.address}
        return CliRunner().invoke(main, [str(each) for each in arguments], env=environment)

    return invoke


@pytest.fixture
def album(tmp_path: Path, small_png: bytes) -> Path:
    (tmp_path / "album" / "more").mkdir(parents=True)
    for name in ("a.png", "b.jpg", "more/a.png", "._a.png", "notes.txt"):
        (tmp_path / "album" / name).write_bytes(small_png)
    (tmp_path / "album" / "broken.png").write_bytes(b"no picture")
    return tmp_path / "album"


def names(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def test_a_folder_as_coco(run: Run, album: Path) -> None:
    done = run("segment", album, "--model", "one", "--format", "coco", "--out", "found")
    assert done.exit_code == 1
    assert done.stderr.endswith("diptych: 2 ok, 1 failed\n")
    assert "1 folder and 1 other file left out" in done.stderr
    coco = COCO("found/annotations.coco.json")
    assert [one["file_name"] for one in coco.imgs.values()] == ["a.png", "b.jpg"]
    assert coco.loadCats([1]) == [{"id": 1, "name": "rectangle", "supercategory": ""}]
    assert coco.annToMask(coco.anns[1]).any()


def test_two_folders_in_two_formats(run: Run, album: Path) -> None:
    asked = ("segment", album / "a.png", album / "more", "--model", "one")
    done = run(*asked, "--format", "yolo-seg", "--format", "masks", "--out", "found")
    assert done.exit_code == 0, done.stderr
    assert names(Path("found")) == [
        "masks/a/001-rectangle.png",
        "masks/more/a/001-rectangle.png",
        "masks/objects.csv",
        "yolo-seg/data.yaml",
        "yolo-seg/labels/a.txt",
        "yolo-seg/labels/more/a.txt",
    ]
    assert np.asarray(Image.open("found/masks/a/001-rectangle.png")).max() == 255


@pytest.mark.parametrize("name", FORMATS)
def test_one_picture_in_each_format(run: Run, album: Path, name: str) -> None:
    asked = ("segment", album / "a.png", "--model", "one", "--format", name, "--out", "found")
    assert run(*asked).exit_code == 0
    assert names(Path("found"))
    again = run(*asked)
    assert again.exit_code == 2, "what is there stays"
    assert "is there already" in again.stderr
    assert run(*asked, "--overwrite").exit_code == 0


def test_models_that_are_compared(run: Run, album: Path) -> None:
    asked = ("compare", album / "a.png", "--format", "labelme", "--out", "found")
    assert run(*asked, "--tolerance", 2).exit_code == 0
    assert names(Path("found")) == ["one/a.json", "two/a.json"]
    (shape,) = json.loads(Path("found/one/a.json").read_text())["shapes"]
    assert "IoU 1.0000" in shape["description"]


def test_wrong_usage(run: Run, album: Path) -> None:
    picture = album / "a.png"
    assert "--out FOLDER" in run("segment", picture, "--format", "coco").stderr
    assert "with --format" in run("segment", picture, "--tolerance", 1).stderr
    assert (
        "expected a folder" in run("segment", picture, "--format", "coco", "--out", "a.json").stderr
    )
    assert run("segment", picture, "--format", "cocoa", "--out", "found").exit_code == 2
    assert not Path("found").exists()

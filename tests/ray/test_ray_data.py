"""A batch on Ray Data: every picture has one row, whatever is killed meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset
import pytest
from PIL import Image
from processes import children, gone
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

import diptych
from diptych.batch import schema
from diptych_ray.batch import Segmenter
from diptych_runtime.settings import SettingsError

pytestmark = pytest.mark.timeout(300)

SCENES = Path(__file__).parents[1] / "assets" / "scenes"
PROGRAM = Path(__file__).parents[1] / "support" / "ray_batch.py"
PICTURES = 60
ENOUGH_PARTS = 2


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty scenes, of which two have the same bytes, and two files that are no pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "inside").mkdir()
    for number in range(PICTURES - 1):
        pixels = np.asarray(Image.open(SCENES / f"{number % 4}.png").convert("RGB"))
        place = folder / "inside" if number % 3 else folder
        Image.fromarray(np.roll(pixels, 3 * number, axis=1)).save(place / f"{number:02}.png")
    shutil.copy(folder / "00.png", folder / "again.png")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("this is no picture")
    return folder


@contextmanager
def running(log: Path, *arguments: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The batch as a process; it and whatever it started are ended, however they came to be."""
    with log.open("ab") as out:
        command = [sys.executable, str(PROGRAM), *map(str, arguments)]
        process = subprocess.Popen(command, stdout=out, stderr=out)
    started: set[int] = set()
    try:
        yield process
        started |= set(below(process.pid))
    finally:
        process.kill()
        for pid in started:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(60)


def below(pid: int) -> list[int]:
    """A process and all that it and those have started."""
    found = [pid]
    with suppress(FileNotFoundError):
        found += [each for child in children(pid) for each in below(child)]
    return found


def actors(pid: int) -> list[int]:
    """Actors of the batch that have a model."""
    found = []
    for each in below(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            if "MapBatches(Segmenter)" in Path(f"/proc/{each}/cmdline").read_text():
                found.append(each)
    return found


def wait_until(condition: Callable[[], Any], log: Path) -> Any:
    """Wait until something is so; returns it."""
    until = time.monotonic() + 120
    while not (found := condition()):
        assert time.monotonic() < until, log.read_text()[-4000:]
        time.sleep(0.05)
    return found


def test_every_picture_has_one_row_after_two_kills(pictures: Path, tmp_path: Path) -> None:
    log, out = tmp_path / "log", tmp_path / "found"
    arguments = (log, pictures, tmp_path / "checkpoint", out)

    def parts() -> int:
        return len(list(out.glob("*.parquet")))

    with running(*arguments) as process:
        wait_until(lambda: parts() >= ENOUGH_PARTS, log)
        started = below(process.pid)
        process.kill()
        for pid in started:  # the machine is gone, not the program alone
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: all(map(gone, started)), log)
        before = parts()
        assert "done" not in log.read_text()
    with running(*arguments) as process:
        wait_until(lambda: parts() > before, log)
        (actor, *_) = wait_until(lambda: actors(process.pid), log)
        os.kill(actor, signal.SIGKILL)
        wait_until(lambda: gone(process.pid), log)
        assert process.wait() == 0, log.read_text()[-4000:]
    table = pyarrow.dataset.dataset(out, format="parquet").to_table()
    rows = {row["path"]: row for row in table.to_pylist()}
    wanted = {str(path) for path in pictures.rglob("*.*")}
    assert sorted(table["path"].to_pylist()) == sorted(wanted)
    failed = {Path(path).name: row["error_code"] for path, row in rows.items() if row["error_code"]}
    assert failed == {"empty.jpg": "IMAGE_UNREADABLE", "text.jpg": "IMAGE_UNREADABLE"}
    same = [rows[str(pictures / name)]["segments"] for name in ("00.png", "again.png")]
    assert same[0] == same[1]
    assert counted_by_coco(rows, tmp_path) == sum(
        len(row["segments"] or ()) for row in rows.values()
    )


def counted_by_coco(rows: dict[str, dict[str, Any]], folder: Path) -> int:
    """How many masks pycocotools finds, each of the area that its row says."""
    images, annotations = [], []
    for number, row in enumerate(rows.values(), 1):
        images.append({"id": number, "width": row["width"], "height": row["height"]})
        for found in row["segments"] or ():
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": found["category_id"],
                    "segmentation": found["rle"],
                    "bbox": found["bbox_xywh"],
                    "area": found["area"],
                    "iscrowd": 0,
                }
            )
    names = {
        found["category_id"]: found["label"] for r in rows.values() for found in r["segments"] or ()
    }
    categories = [{"id": number, "name": name} for number, name in names.items()]
    file = folder / "coco.json"
    file.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    read = COCO(str(file))
    for annotation in read.loadAnns(read.getAnnIds()):
        assert coco_mask.area(read.annToRLE(annotation)) == annotation["area"] > 0
    return len(read.getAnnIds())


def batch(*files: bytes) -> dict[str, Any]:
    paths = [f"{number}.png" for number in range(len(files))]
    return {"path": np.array(paths, object), "bytes": np.array([*files, b""], object)[:-1]}


def test_rows_are_those_of_the_batch_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIPTYCH_THREADS", "1")
    scene = (SCENES / "0.png").read_bytes()
    table = Segmenter("sam-2", points=[(70, 90)])(batch(scene, b"no picture", scene))
    assert table.schema == schema()
    first, bad, again = table.to_pylist()
    assert first["segments"] == again["segments"] != []
    assert first["image_sha256"]
    assert (bad["path"], bad["error_code"], bad["model"]) == ("1.png", "IMAGE_UNREADABLE", "sam-2")


@pytest.mark.parametrize(
    ("model", "ask", "error", "text"),
    [
        ("sam-9", {}, SettingsError, "sam-9"),
        ("mask-rcnn", {"task": "outlines"}, ValueError, "task: expected one of"),
        ("mask-rcnn", {"point": (1, 2)}, TypeError, "point"),
    ],
)
def test_what_no_picture_could_be_asked(
    model: str, ask: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        Segmenter(model, **ask)


def test_rows_without_paths_are_not_guessed_at() -> None:
    segmenter = Segmenter("mask-rcnn")
    with pytest.raises(ValueError, match=r"include_paths=True.*got bytes"):
        segmenter({"bytes": [b""]})


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        ({"task": "video-segmentation"}, diptych.UnsupportedTaskError),
        ({"output": diptych.OutputOptions(min_score=7.0)}, diptych.InvalidRequestError),
    ],
)
def test_what_every_picture_would_be_refused_ends_the_batch(
    ask: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        Segmenter("mask-rcnn", **ask)(batch((SCENES / "0.png").read_bytes()))

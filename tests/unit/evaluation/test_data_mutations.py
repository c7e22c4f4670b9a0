"""Whatever stands in the files of a data set, it is read, or refused with a sentence."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from drawn_dataset import stored, write_cityscapes, write_masklets, write_squares, write_voc
from labelled_pictures import document, write

from diptych_eval.data.check import inspect_dataset
from diptych_eval.data.errors import DatasetError
from diptych_eval.data.opening import open_dataset

ROUNDS, SEEDS = 25, 2
JUNK: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 7, 0.5, -0.0, 1e308, 10**400, float("nan"), float("inf")),
    *("", "a", "1", "a.png", "../a.png", "/", "\0", "\ud800", "x" * 5000, [], [[]], [[[]]], {}),
    *([1], [[1, 2, 3, 4, 5, 6]], [None] * 4, {"size": [32, 40], "counts": []}, {"counts": "0"}),
    *({"size": [32, 40], "counts": "0" * 50}, {"size": [32, 40], "counts": [10**12, 3]}),
    *({"size": [32, 40], "counts": [1280, 0.5]}, {"size": [2**31, 2**31], "counts": "1"}),
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container and key in a document."""
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from places(value[key])


def read_or_refused(root: Path, **options: Any) -> bool:
    """Whether it could be read; a problem has a text, and the check says the same."""
    checked = inspect_dataset(root, **options)
    if checked.dataset is not None:
        return True
    assert checked.problems
    assert all(checked.problems)
    with pytest.raises(DatasetError):
        open_dataset(root, **options)
    return False


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_json_with_junk_in_it(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    write(tmp_path, document())
    read = 0
    for _ in range(ROUNDS):
        labels = document()
        for container, key in rng.sample(list(places(labels)), rng.choice((1, 1, 2, 5))):
            container[key] = rng.choice(JUNK)
        (tmp_path / "instances.json").write_text(json.dumps(labels))
        read += read_or_refused(tmp_path / "instances.json")
    assert 0 < read < ROUNDS


def test_masklets_with_junk_in_them(tmp_path: Path) -> None:
    rng = random.Random(1)
    root = write_masklets(write_squares(tmp_path / "davis"), tmp_path / "json")
    file = root / "c0_manual.json"
    text = file.read_text()
    for _ in range(ROUNDS):
        labels = json.loads(text)
        for container, key in rng.sample(list(places(labels)), rng.choice((1, 2))):
            container[key] = rng.choice(JUNK)
        file.write_text(json.dumps(labels))
        read_or_refused(root, format="sa-v")


@pytest.mark.parametrize("name", ["voc", "cityscapes", "davis"])
def test_files_that_are_cut_or_hold_other_bytes(tmp_path: Path, name: str) -> None:
    rng = random.Random(2)
    root = tmp_path / name
    if name == "davis":
        write_squares(root)
    else:
        {"voc": write_voc, "cityscapes": write_cityscapes}[name](stored()[:1], root)
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    for file in files if len(files) < 6 else rng.sample(files, 6):
        data = file.read_bytes()
        for _ in range(6):
            broken = bytearray(data)
            for _ in range(rng.choice((1, 20))):
                broken[rng.randrange(len(broken))] = rng.randrange(256)
            file.write_bytes(broken[: rng.choice((0, 7, 40, len(data) // 2, len(data)))])
            read_or_refused(root, format=name)
        file.write_bytes(data)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_yolo_with_junk_in_it(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    yaml = "val: images\nnames: [cat, dog]\nkpt_shape: [2, 3]\n"
    words = ["0", "1", "-1", ".5", ".25", "1e309", "nan", "x", "\0", "٣", "", "0x1", "1_0", "\n"]
    write(tmp_path, document())
    (tmp_path / "labels").mkdir()
    for _ in range(ROUNDS):
        text = "".join(rng.choice(yaml) if rng.random() < 0.02 else each for each in yaml)
        (tmp_path / "data.yaml").write_text(rng.choice((yaml, text)))
        line = " ".join(rng.choice(words) for _ in range(rng.randrange(14)))
        (tmp_path / "labels" / "a.txt").write_text(line)
        (tmp_path / "labels" / "b.txt").write_text("0 .5 .5 .1 .1")
        read_or_refused(tmp_path, format="yolo")

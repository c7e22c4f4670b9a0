"""YOLO as Ultralytics reads it: data.yaml, pictures, and a text file of labels for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from ...model import Category, Dataset
from ..building import FoundPicture, Reading, build_pictures
from ..errors import DatasetError
from ..files import read_text
from ..geometry import short
from ..pictures import SUFFIXES, decide_frame, is_there, read_header
from .yolo_lines import KeypointShape, read_lines

SPLITS = ("val", "test", "train")
"""Keys of ``data.yaml`` in the order in which they are tried."""


@dataclass(frozen=True)
class _Config:
    file: Path
    names: Mapping[int, str]
    folders: tuple[Path, ...]
    """Folders of pictures, or text files that list them."""
    keypoints: KeypointShape | None = None
    keypoint_names: tuple[str, ...] = ()


def read_yolo(path: Path, reading: Reading) -> Dataset:
    """Read the split ``val`` of a ``data.yaml``, else ``test``, else ``train``.

    Raises:
        DatasetError: there is no list of classes, or there are no pictures.
    """
    config = _config(path, reading)
    root = config.file.parent
    pictures: list[FoundPicture] = []
    unlabelled: list[str] = []
    found = [(name, file) for place in config.folders for name, file in _pictures(place)]
    if not found:
        got = f"none in {', '.join(map(str, config.folders))}"
        raise DatasetError(config.file, "", "pictures", got)
    for name, file in found:
        try:
            header = read_header(file)
        except DatasetError as error:
            reading.findings.add(error)
            continue
        frame = decide_frame(
            header, None, reading.findings, file=file, name=name, exif=reading.exif, by_custom=True
        )
        if frame is None:
            continue
        picture = FoundPicture(name, file, frame)
        labels = _labels(file, root)
        if labels is None:
            unlabelled.append(name)
        else:
            picture.objects = read_lines(
                labels, config.names, config.keypoints, picture, reading.findings
            )
        pictures.append(picture)
    if len(unlabelled) == len(found):
        expected = "a text file of labels for each picture, in labels/ beside images/"
        raise DatasetError(config.file, "", expected, f"none for {len(found)} pictures")
    for name in unlabelled:
        reading.findings.warn("Some pictures have no label file; read as without objects.", name)
    points = config.keypoint_names
    return build_pictures(
        name=root.name if config.file.name in ("data.yaml", "classes.txt") else config.file.stem,
        format="yolo",
        root=root,
        categories=[Category(n, name, points) for n, name in sorted(config.names.items())],
        pictures=pictures,
        reading=reading,
    )


def _config(path: Path, reading: Reading) -> _Config:
    yamls = [path] if path.is_file() else sorted((*path.glob("*.yaml"), *path.glob("*.yml")))
    named = [each for each in yamls if "names" in read_text(each)]
    if len(named) > 1:
        got = ", ".join(each.name for each in named)
        raise DatasetError(path, "", "one yaml with names; name the one that is meant", got)
    if not named:
        return _darknet(path, reading)
    file = named[0]
    document = _yaml(file)
    classes = _names(document.get("names"), file)
    shape = _keypoint_shape(document, file)
    count = shape.count if shape else 0
    return _Config(
        file,
        classes,
        (reading.images,) if reading.images else _split(document, file),
        shape,
        tuple(f"point {number}" for number in range(count)),
    )


def _darknet(path: Path, reading: Reading) -> _Config:
    """Without a yaml: ``classes.txt`` or ``obj.names`` names the classes, ``images`` is there."""
    places = [path / each for each in ("classes.txt", "labels/classes.txt", "obj.names")]
    file = next((each for each in places if each.is_file()), None)
    if file is None:
        raise DatasetError(path, "", "data.yaml or classes.txt, which name the classes", "neither")
    names = [line.strip() for line in read_text(file).splitlines() if line.strip()]
    images = reading.images or path / "images"
    if not images.is_dir():
        raise DatasetError(images, "", "a folder of pictures", "none of that name")
    return _Config(file, dict(enumerate(names)), (images,))


def _yaml(file: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(read_text(file))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        got = str(getattr(error, "problem", None) or error)
        raise DatasetError(file, place, "YAML", got) from error
    if not isinstance(document, dict):
        raise DatasetError(file, "", "keys such as names and val", short(document))
    return document


def _names(value: Any, file: Path) -> dict[int, str]:
    pairs = dict(enumerate(value)) if isinstance(value, list) else value
    if not isinstance(pairs, dict) or not pairs:
        raise DatasetError(file, "names", "a list of classes, or numbers and classes", short(value))
    made = {}
    for number, name in pairs.items():
        if isinstance(number, bool) or not str(number).isdigit() or name is None:
            got = short({number: name})
            raise DatasetError(file, "names", "a number from 0 and a name each", got)
        made[int(number)] = str(name)
    return made


def _keypoint_shape(document: Mapping[str, Any], file: Path) -> KeypointShape | None:
    value = document.get("kpt_shape")
    if value is None:
        return None
    if not (
        isinstance(value, list)
        and len(value) == 2
        and all(type(each) is int for each in value)
        and value[0] > 0
        and value[1] in (2, 3)
    ):
        raise DatasetError(file, "kpt_shape", "a number of points, and 2 or 3", short(value))
    return KeypointShape(value[0], value[1])


def _split(document: Mapping[str, Any], file: Path) -> tuple[Path, ...]:
    key = next((each for each in SPLITS if document.get(each)), None)
    if key is None:
        raise DatasetError(file, "", "a key val, test or train", ", ".join(map(str, document)))
    value = document[key]
    places = value if isinstance(value, list) else [value]
    return tuple(_place(str(each), document, file, key) for each in places)


def _place(value: str, document: Mapping[str, Any], file: Path, key: str) -> Path:
    here = file.parent
    base = here / str(document.get("path") or "")
    relative = value.replace("\\", "/")
    # Exports name folders from where their training is started; the yaml's own folder is tried too.
    inner = relative.removeprefix("./").lstrip("/")
    while inner.startswith("../"):
        inner = inner.removeprefix("../")
    tried = dict.fromkeys([base / relative, here / relative, here / inner])
    for each in tried:
        if is_there(each):
            return each
    raise DatasetError(file, key, "pictures at one of " + ", ".join(map(str, tried)), "none")


def _pictures(place: Path) -> list[tuple[str, Path]]:
    """Names and files of a folder, or of a text file that lists them."""
    if place.is_file():
        lines = [line.strip() for line in read_text(place).splitlines() if line.strip()]
        files = [place.parent / line.replace("\\", "/") for line in lines]
        for each in files:
            if not is_there(each):
                raise DatasetError(place, str(each)[:200], "a picture file", "nothing of that name")
        return [
            (line.replace("\\", "/").removeprefix("./"), file)
            for line, file in zip(lines, files, strict=True)
        ]
    files = sorted(p for p in place.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    return [(each.relative_to(place).as_posix(), each) for each in files]


def _labels(picture: Path, root: Path) -> Path | None:
    """The label file of a picture: ``labels`` for the last ``images`` in its path, else beside."""
    places = [picture.with_suffix(".txt")]
    parts: Sequence[str] = picture.parts
    if "images" in parts:
        last = len(parts) - 1 - list(reversed(parts)).index("images")
        swapped = Path(*parts[:last], "labels", *parts[last + 1 :])
        places.insert(0, swapped.with_suffix(".txt"))
    places += [
        root / "labels" / f"{picture.stem}.txt",
        root / "labels" / picture.parent.name / f"{picture.stem}.txt",
    ]
    return next((each for each in places if each.is_file()), None)

"""Which format a data set has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from ..errors import DatasetError
from .coco import looks_like_coco, looks_like_sa_1b
from .voc import year_of

FORMATS = {
    "coco": "a json with images, annotations and categories",
    "yolo": "data.yaml, or images/ and labels/",
    "voc": "Annotations/*.xml or SegmentationObject/",
    "cityscapes": "gtFine/",
    "davis": "JPEGImages/ and Annotations/CLIP/*.png",
    "sa-v": "Annotations_6fps/, Annotations/CLIP/OBJECT/*.png or *_manual.json",
}
"""Formats, and by what each is known."""


def detect_format(path: Path) -> str:
    """The format that a file or folder has.

    Raises:
        DatasetError: it looks like none, or like several.
    """
    if path.is_file():
        return _of_file(path)
    if not path.is_dir():
        raise DatasetError(path, "", "a file or folder", "nothing of that name")
    found = {name: evidence for name, look in _LOOKS.items() if (evidence := look(path))}
    if len(found) == 1:
        return next(iter(found))
    if not found:
        known = "; ".join(f"{name}: {by}" for name, by in FORMATS.items())
        raise DatasetError(path, "", f"a data set of a known format ({known})", "none of them")
    seen = " and ".join(f"{name} ({evidence})" for name, evidence in found.items())
    raise DatasetError(path, "", "one format; say --format which is meant", f"signs of {seen}")


def _of_file(path: Path) -> str:
    if path.suffix.lower() in (".yaml", ".yml"):
        return "yolo"
    if path.suffix.lower() != ".json":
        raise DatasetError(path, "", "a json, a yaml or a folder", path.suffix or "another file")
    return "sa-v" if looks_like_masklets(path) else "coco"


def looks_like_masklets(file: Path) -> bool:
    """Whether a json seems to hold SA-V's masklets."""
    with file.open("rb") as opened:
        return b'"masklet' in opened.read(2_000) or file.stem.endswith(("_manual", "_auto"))


def _coco(folder: Path) -> str:
    files = [*sorted(folder.glob("*.json")), *sorted((folder / "annotations").glob("*.json"))]
    found = (each for each in files if looks_like_coco(each) or looks_like_sa_1b(each))
    return _first(each for each in found if not looks_like_masklets(each))


def _yolo(folder: Path) -> str:
    yamls = [*sorted(folder.glob("*.yaml")), *sorted(folder.glob("*.yml"))]
    named = _first(each for each in yamls if b"names" in each.read_bytes()[:100_000])
    both = (folder / "images").is_dir() and (folder / "labels").is_dir()
    return named or ("images and labels" if both else "")


def _voc(folder: Path) -> str:
    root = year_of(folder)
    objects = root / "SegmentationObject"
    return objects.name if objects.is_dir() else _first((root / "Annotations").glob("*.xml"))


def _cityscapes(folder: Path) -> str:
    found = (folder / "gtFine").is_dir() or folder.name == "gtFine"
    return "gtFine" if found else _first(folder.glob("*_gtFine_instanceIds.png"))


def _davis(folder: Path) -> str:
    labels = folder / "Annotations"
    shallow = any(labels.glob("*/*.png")) or any(labels.glob("480p/*/*.png"))
    shallow = shallow or any(labels.glob("Full-Resolution/*/*.png"))
    return "Annotations/CLIP/*.png" if shallow else ""


def _sa_v(folder: Path) -> str:
    if (folder / "Annotations_6fps").is_dir():
        return "Annotations_6fps"
    labels = folder / "Annotations"
    known = any((labels / each).is_dir() for each in ("480p", "Full-Resolution"))
    if not known and any(labels.glob("*/*/*.png")):
        return "Annotations/CLIP/OBJECT/*.png"
    return _first(each for each in sorted(folder.glob("*.json")) if looks_like_masklets(each))


def _first(paths: Iterable[Path]) -> str:
    return next((each.name for each in paths), "")


_LOOKS: dict[str, Callable[[Path], str]] = {
    "coco": _coco,
    "yolo": _yolo,
    "voc": _voc,
    "cityscapes": _cityscapes,
    "davis": _davis,
    "sa-v": _sa_v,
}

"""One XML file of Pascal VOC: the size of a picture and boxes."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from ..building import FoundObject
from ..errors import DatasetError
from ..files import read_xml
from ..geometry import Xywh


@dataclass(frozen=True)
class Annotation:
    """What an XML file says."""

    filename: str
    size: tuple[int, int] | None
    """Height and width; ``None`` where it states none, or 0 as some tools do."""
    objects: list[FoundObject]


def read_annotation(file: Path) -> Annotation:
    """Read one file.

    Raises:
        DatasetError: it is broken, or an object lacks its name or box.
    """
    root = read_xml(file)
    if root.tag != "annotation":
        raise DatasetError(file, "line 1", "<annotation>", f"<{root.tag}>")
    sides = [_side(root, each, file) for each in ("height", "width")]
    size = (sides[0], sides[1]) if all(sides) else None
    objects = [
        _object(each, f"object {number}", file)
        for number, each in enumerate(root.findall("object"), 1)
    ]
    return Annotation((root.findtext("filename") or "").strip(), size, objects)


def _side(root: ElementTree.Element, name: str, file: Path) -> int:
    text = root.findtext(f"size/{name}")
    return 0 if text is None else int(_number(text, f"size, {name}", file))


def _object(element: ElementTree.Element, label: str, file: Path) -> FoundObject:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise DatasetError(file, label, "a name", "none")
    difficult = (element.findtext("difficult") or "0").strip() not in ("0", "", "Unspecified")
    return FoundObject(label, name, _box(element, label, file), crowd=difficult)


def _box(element: ElementTree.Element, label: str, file: Path) -> Xywh:
    edges = []
    for key in ("xmin", "ymin", "xmax", "ymax"):
        text = element.findtext(f"bndbox/{key}")
        if text is None:
            raise DatasetError(file, f"{label}, bndbox", f"<{key}>", "none")
        edges.append(_number(text, f"{label}, {key}", file))
    # VOC counts pixels from 1 and takes the last one in.
    left, top = edges[0] - 1, edges[1] - 1
    return left, top, edges[2] - left, edges[3] - top


def _number(text: str, thing: str, file: Path) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DatasetError(file, thing, "a number", repr(text.strip()[:40]))
    return value

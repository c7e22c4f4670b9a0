"""The masks of Pascal VOC: PNGs of object numbers and of classes, as numbers or as colours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diptych import Mask

from ..building import FoundObject
from ..errors import DatasetError, Findings
from ..files import ColoursError, read_labels, read_text
from .voc_xml import Annotation

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
"""In the order of their numbers, from 1."""
VOID = 255
_VOID_COLOUR = (224, 224, 192)

Values = NDArray[np.integer[Any]]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Labelmap:
    """What the values of a PNG of classes mean."""

    names: Mapping[int, str]
    """Value to class, without background."""
    colours: Mapping[Colour, int]
    """Where the PNGs hold colours."""


def voc_colour(value: int) -> Colour:
    """The colour that VOC's palette gives to a number from 0 to 255."""
    rgb = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            rgb[channel] |= (value >> (3 * bit + channel) & 1) << (7 - bit)
    return rgb[0], rgb[1], rgb[2]


def read_labelmap(root: Path, findings: Findings) -> Labelmap:
    """``labelmap.txt`` as CVAT and Datumaro write it, else VOC's own classes.

    Raises:
        DatasetError: it cannot be read, or names none.
    """
    file = root / "labelmap.txt"
    if not file.is_file():
        colours = {voc_colour(value): value for value in range(256)}
        return Labelmap(dict(enumerate(VOC_CLASSES, 1)), colours)
    names: dict[int, str] = {}
    found: dict[Colour, int] = {_VOID_COLOUR: VOID}
    value = 0
    for number, line in enumerate(read_text(file).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        rgb = rest.partition(":")[0].split(",")
        if len(rgb) == 3 and all(each.strip().isdigit() for each in rgb):
            found[int(rgb[0]), int(rgb[1]), int(rgb[2])] = value
        elif rgb != [""]:
            findings.problem(file, f"line {number}", "name:red,green,blue::", line[:60])
        if name.strip() != "background":
            names[value] = name.strip()
        value += 1
    if not names:
        raise DatasetError(file, "", "names of classes, one a line", "none")
    return Labelmap(names, found)


def read_masks(
    file: Path, annotation: Annotation | None, labelmap: Labelmap, findings: Findings
) -> tuple[tuple[int, int], list[FoundObject], Path | None]:
    """Size, objects and PNG of classes of the picture with this PNG of objects.

    Raises:
        DatasetError: a PNG cannot be read, or the two do not fit.
    """
    objects = _values(file, {voc_colour(value): value for value in range(256)})[0]
    class_file = file.parent.parent / "SegmentationClass" / file.name
    classes: Values | None = None
    semantic: Path | None = None
    if class_file.is_file():
        classes, coloured = _values(class_file, labelmap.colours)
        if classes.shape != objects.shape:
            wanted, got = (f"{v.shape[0]} x {v.shape[1]}" for v in (objects, classes))
            raise DatasetError(class_file, "height x width", f"{wanted} as {file.name}", got)
        if coloured:
            text = "Some PNGs of classes hold colours; classes of pixels are not compared there."
            findings.warn(text, class_file.name)
        else:
            semantic = class_file
    found = []
    for value in (int(each) for each in np.unique(objects) if each not in (0, VOID)):
        pixels = objects == value
        name, difficult = _name(value, pixels, classes, annotation, labelmap, file)
        mask = Mask.from_array(pixels)
        found.append(FoundObject(f"object {value}", name, mask=mask, crowd=difficult))
    if (objects == VOID).any():
        text = "Some pictures have outlines of no class (255); they belong to no object's mask."
        findings.warn(text, file.stem)
    return (objects.shape[0], objects.shape[1]), found, semantic


def _name(
    value: int,
    pixels: NDArray[np.bool_],
    classes: Values | None,
    annotation: Annotation | None,
    labelmap: Labelmap,
    file: Path,
) -> tuple[str, bool]:
    """Class of an object, and whether it is difficult."""
    of_xml = None
    if annotation is not None and value <= len(annotation.objects):
        of_xml = annotation.objects[value - 1]
    if classes is None:
        if of_xml is None:
            expected = f"its class in SegmentationClass/{file.name} or in its XML"
            raise DatasetError(file, f"object {value}", expected, "neither")
        return of_xml.category, of_xml.crowd
    inside = classes[pixels]
    inside = inside[(inside != 0) & (inside != VOID)]
    if not inside.size:
        expected = f"a class in SegmentationClass/{file.name}"
        raise DatasetError(file, f"object {value}", expected, "background")
    number = int(np.bincount(inside.astype(np.int64)).argmax())
    if number not in labelmap.names:
        known = f"{min(labelmap.names)} to {max(labelmap.names)}"
        expected = f"a class from {known}; labelmap.txt names others"
        raise DatasetError(file, f"object {value}", expected, str(number))
    return labelmap.names[number], of_xml is not None and of_xml.crowd


def _values(file: Path, colours: Mapping[Colour, int]) -> tuple[Values, bool]:
    """Numbers of a PNG, and whether they were colours."""
    try:
        return read_labels(file), False
    except ColoursError:
        with Image.open(file) as image:
            if image.mode not in ("RGB", "RGBA"):
                raise
            rgb = np.asarray(image.convert("RGB"), np.uint32)
    packed = rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2]
    values = np.zeros(packed.shape, np.uint8)
    for colour in np.unique(packed):
        key = int(colour >> 16), int(colour >> 8 & 255), int(colour & 255)
        if key not in colours:
            raise DatasetError(file, f"colour {key}", "one of labelmap.txt or of VOC", "another")
        values[packed == colour] = colours[key]
    return values, True

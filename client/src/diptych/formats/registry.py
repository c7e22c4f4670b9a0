"""Which formats there are, and what each keeps and loses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from . import coco, cvat, label_studio, labelme, pngs, tables, voc, yolo
from .picture import Files, Options, Picture


@dataclass(frozen=True)
class Format:
    """A form in which other tools read what was found."""

    name: str
    title: str
    extension: str
    """Of its files, or of the main one."""
    says: str
    """What it holds and what it leaves out, in a sentence or two."""
    make: Callable[[Sequence[Picture], Options], Files]
    draws: Literal["nothing", "objects", "pictures"]
    """What is drawn pixel by pixel while it is written: nothing, each mask in its box, or each mask
    in the whole picture."""
    beside: tuple[str, ...] = ()
    """Names of its files that only say what the others mean."""
    polygons: bool = False
    """Whether it holds polygons, which a tolerance simplifies."""

    def write(self, pictures: Iterable[Picture], options: Options | None = None) -> Files:
        """Write the files one after the other: their names, with folders, and what is in them.

        The same pictures are the same bytes. Names are relative and safe on every file system.

        Raises:
            ValueError: a mask turns out to be broken.
        """
        return self.make(list(pictures), options or Options())


FORMATS: dict[str, Format] = {
    entry.name: entry
    for entry in (
        Format(
            "coco",
            "COCO",
            "json",
            "One JSON file of the whole. Masks are exact, as run lengths; with boxes, keypoints "
            "and scores.",
            coco.write,
            "nothing",
        ),
        Format(
            "coco-polygons",
            "COCO, polygons",
            "json",
            "One JSON file of the whole, for tools that read polygons only. Parts with holes are "
            "cut into pieces, so that nothing is lost; with boxes, keypoints and scores.",
            coco.write_polygons,
            "objects",
            polygons=True,
        ),
        Format(
            "yolo-seg",
            "YOLO, segmentation",
            "zip",
            "A text file per picture with a polygon per object, and data.yaml. Holes and parts are "
            "joined by seams; without scores, keypoints, and what has no mask.",
            yolo.write_segments,
            "objects",
            polygons=True,
            beside=("data.yaml",),
        ),
        Format(
            "yolo-detect",
            "YOLO, detection",
            "zip",
            "A text file per picture with a box per object, and data.yaml. Without masks, scores "
            "and keypoints.",
            yolo.write_boxes,
            "nothing",
            beside=("data.yaml",),
        ),
        Format(
            "voc",
            "Pascal VOC",
            "xml",
            "An XML file per picture, with whole-pixel boxes and polygons, which not all readers "
            "know. Without scores and keypoints.",
            voc.write,
            "objects",
            polygons=True,
        ),
        Format(
            "labelme",
            "LabelMe",
            "json",
            "A JSON file per picture, to lie beside it, with polygons, keypoints and scores. Parts "
            "with holes are cut into pieces, which are a group.",
            labelme.write,
            "objects",
            polygons=True,
        ),
        Format(
            "label-studio",
            "Label Studio",
            "zip",
            "Predictions to import, and the labelling configuration for them. Masks are exact, as "
            "brush strokes, or polygons with a tolerance; with keypoints and scores.",
            label_studio.write,
            "objects",
            polygons=True,
            beside=("label-config.xml",),
        ),
        Format(
            "cvat",
            "CVAT for images 1.1",
            "xml",
            "One XML file to upload. Masks are exact, or polygons with a tolerance; with "
            "keypoints, without scores.",
            cvat.write,
            "objects",
            polygons=True,
        ),
        Format(
            "masks",
            "Masks, a PNG per object",
            "zip",
            "A black and white PNG for each mask, exact, and a table with names and scores. "
            "Without boxes and keypoints.",
            pngs.write_masks,
            "pictures",
            beside=("objects.csv",),
        ),
        Format(
            "indexed",
            "Masks, one PNG per picture",
            "zip",
            "A PNG whose pixels have the number of their object, and a table with names and "
            "scores. Of masks that overlap the smaller is on top; without boxes and keypoints.",
            pngs.write_indexed,
            "pictures",
            beside=("objects.csv",),
        ),
        Format(
            "csv",
            "Table (CSV)",
            "csv",
            "A line per object, with its class, score, box and area. Without masks and keypoints.",
            tables.write,
            "nothing",
        ),
    )
}


def format_of(name: str) -> Format:
    """Look a format up.

    Raises:
        ValueError: there is none of that name; the text lists those that there are.
    """
    if name not in FORMATS:
        raise ValueError(f"format: expected one of {', '.join(FORMATS)}, got {name[:100]!r}")
    return FORMATS[name]

"""Which formats there are, and what each keeps and loses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from . import coco, pngs
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
            "masks",
            "Masks, a PNG per object",
            "zip",
            "A black and white PNG for each mask, exact, and a table with names and scores. "
            "Without boxes and keypoints.",
            pngs.write_masks,
            "pictures",
        ),
        Format(
            "indexed",
            "Masks, one PNG per picture",
            "zip",
            "A PNG whose pixels have the number of their object, and a table with names and "
            "scores. Of masks that overlap the smaller is on top; without boxes and keypoints.",
            pngs.write_indexed,
            "pictures",
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

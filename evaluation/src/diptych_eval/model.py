"""What a labelled data set is, whatever format it came in."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diptych import Mask


class EvaluationTask(str, enum.Enum):
    """What models are compared in."""

    INSTANCES = "instances"
    """Instance segmentation: mask AP and AR, and all that is made of matches."""
    BOXES = "boxes"
    """Object detection: box AP and AR."""
    KEYPOINTS = "keypoints"
    """Key points of people: OKS AP."""
    PROMPTED = "prompted"
    """A box, then clicks, for every object: mean IoU, number of clicks."""
    SEMANTIC = "semantic"
    """Classes of pixels, painted from the answers to ``INSTANCES``: mean IoU."""
    VIDEO = "video"
    """Objects followed through clips from the first frame's prompt: J, F, J&F."""


@dataclass(frozen=True)
class Category:
    """A class of objects, by the data set's own id and name."""

    id: int
    """Counts from 1, in the order of the file; not the file's own id."""
    name: str
    keypoints: tuple[str, ...] = ()
    """Names of the points of a body, where the data set has them."""


@dataclass(frozen=True)
class Truth:
    """One labelled object of a picture."""

    id: int
    """Counts from 1 over the whole data set; not the file's own id, which may be 0 or a string."""
    category_id: int
    """A ``Category.id``."""
    box: tuple[float, float, float, float]
    """Left, top, width and height in pixels, as the file says, else around the mask."""
    area: float
    """In pixels, as the file says, else of the mask, else of the box."""
    mask: Mask | None = None
    """Of the picture's size, rasterised as COCO does; ``None`` where only boxes are labelled."""
    crowd: bool = False
    """A group that matches any number of answers and is never missed (``iscrowd``)."""
    keypoints: tuple[float, ...] = ()
    """x, y and visibility (0, 1, 2) of each point in turn."""

    @property
    def visible_keypoints(self) -> int:
        """How many points are labelled (visibility over 0)."""
        return sum(value > 0 for value in self.keypoints[2::3])


@dataclass(frozen=True)
class Picture:
    """A picture and what is on it."""

    id: int
    """Counts from 1 in the order of names."""
    name: str
    """As the data set says, with ``/`` between folders; unique."""
    path: Path
    height: int
    """Of the pixels that truth and answers refer to: after turning by EXIF if the truth is."""
    width: int
    truths: tuple[Truth, ...] = ()
    semantic: Path | None = None
    """A PNG with the class of every pixel, where the data set has one."""


@dataclass(frozen=True)
class Clip:
    """A clip of frames, with objects labelled in some of them."""

    name: str
    frames: tuple[Path, ...]
    height: int
    width: int
    labels: Mapping[int, Mapping[int, Mask]]
    """Frame index to object id to mask. A frame without an entry is not labelled; a labelled frame
    lacks the objects that are not seen in it."""

    @property
    def object_ids(self) -> tuple[int, ...]:
        """All objects, in ascending order."""
        return tuple(sorted({each for frame in self.labels.values() for each in frame}))


@dataclass(frozen=True)
class Dataset:
    """Labelled pictures or clips."""

    name: str
    format: str
    """``"coco"``, ``"yolo"``, ``"voc"``, ``"cityscapes"``, ``"davis"`` or ``"sa-v"``."""
    root: Path
    tasks: frozenset[EvaluationTask]
    """What its labels can answer."""
    categories: tuple[Category, ...] = ()
    pictures: tuple[Picture, ...] = ()
    clips: tuple[Clip, ...] = ()
    ignore_label: int = 255
    """Value of pixels without a class in ``Picture.semantic``."""
    semantic_classes: Mapping[int, int] = field(default_factory=dict)
    """Value in ``Picture.semantic`` to ``Category.id``; 0 is the background where it is a class."""
    warnings: tuple[str, ...] = ()
    """What was strange in the files, and how it was read: a sentence each. They head the report."""
    sha256: str = ""
    """Of all truths in a canonical form, so that runs on the same labels can be told."""
    opened: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of ``open_dataset`` that read it, as JSON can hold them, to read it again."""

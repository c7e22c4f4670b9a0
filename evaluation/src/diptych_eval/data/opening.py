"""Opens a labelled data set, whatever its format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..model import Dataset
from .building import Reading
from .errors import DatasetError, Findings
from .formats.cityscapes import read_cityscapes
from .formats.coco import read_coco
from .formats.davis import read_davis
from .formats.detection import FORMATS, detect_format
from .formats.sa_v import read_sa_v
from .formats.voc import read_voc
from .formats.yolo import read_yolo

_READERS = {
    "coco": read_coco,
    "yolo": read_yolo,
    "voc": read_voc,
    "cityscapes": read_cityscapes,
    "davis": read_davis,
    "sa-v": read_sa_v,
}


def open_dataset(
    path: str | Path,
    *,
    images: str | Path | None = None,
    format: str = "auto",
    mapping: Mapping[str, str] = {},  # never written to
    crowd: str = "ignore",
    exif: str = "auto",
) -> Dataset:
    """Read the labels of a data set; of its pictures only sizes and orientation.

    Args:
        path: a folder, or the file that describes it (COCO's json, YOLO's ``data.yaml``).
        images: folder of the pictures, where it is not the usual one beside the labels.
        format: ``"coco"``, ``"yolo"``, ``"voc"``, ``"cityscapes"``, ``"davis"``, ``"sa-v"``, or
            ``"auto"`` to find out.
        mapping: a class's name in the data set to the name that it gets here, such as
            ``{"rider": "person"}``; classes of one name become one class.
        crowd: ``"ignore"`` reads ``iscrowd`` as COCO does; ``"instance"`` as single objects.
        exif: what the labels of pictures that EXIF turns refer to: ``"turned"`` pictures, pixels
            as ``"stored"``, or ``"auto"`` to tell by the size that the labels state.

    Raises:
        DatasetError: a file is missing or broken, or says what no picture can have.
    """
    findings = Findings()
    dataset = read_dataset(
        Path(path),
        findings,
        images=None if images is None else Path(images),
        format=format,
        mapping=mapping,
        crowd=crowd,
        exif=exif,
    )
    findings.stop()
    opened = {
        "path": str(Path(path).resolve()),
        "images": None if images is None else str(Path(images).resolve()),
        "format": dataset.format,
        "mapping": dict(mapping),
        "crowd": crowd,
        "exif": exif,
    }
    return replace(dataset, opened=opened)


def read_dataset(
    path: Path,
    findings: Findings,
    *,
    images: Path | None,
    format: str,
    mapping: Mapping[str, str],
    crowd: str,
    exif: str,
) -> Dataset:
    """Read as ``open_dataset``, but leave it to the caller to look at what was found.

    Raises:
        DatasetError: of the kind that leaves nothing to read; others are in ``findings``.
    """
    _one_of("crowd", crowd, ("ignore", "instance"))
    _one_of("exif", exif, ("auto", "turned", "stored"))
    _one_of("format", format, ("auto", *FORMATS))
    if not path.exists():
        raise DatasetError(path, "", "a file or folder", "nothing of that name")
    if images is not None and not images.is_dir():
        raise DatasetError(images, "images", "a folder", "none of that name")
    reading = Reading(findings, images, mapping, crowd, exif)
    dataset = _READERS[detect_format(path) if format == "auto" else format](path, reading)
    return replace(dataset, warnings=findings.warnings)


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")

"""Cityscapes: gtFine's PNGs of instance ids and label ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from diptych import Mask

from ...model import Category, Dataset
from ..building import FoundObject, FoundPicture, Reading, build_pictures
from ..errors import DatasetError
from ..files import read_labels
from ..pictures import PictureFolder, decide_frame, read_header

THINGS = {
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
"""Label ids of the classes whose instances Cityscapes compares."""
_SURROUNDINGS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23)
_INSTANCES = "_gtFine_instanceIds.png"
_SPLITS = ("val", "train", "test")


def read_cityscapes(path: Path, reading: Reading) -> Dataset:
    """Read the split ``val``, else ``train``: instances of eight classes, and classes of pixels.

    Raises:
        DatasetError: there are no PNGs of instance ids.
    """
    truths = path / "gtFine" if (path / "gtFine").is_dir() else path
    split = next((truths / each for each in _SPLITS if (truths / each).is_dir()), truths)
    files = sorted(split.rglob(f"*{_INSTANCES}"))
    if not files:
        raise DatasetError(split, "", f"files *{_INSTANCES}", "none")
    beside = truths.parent / "leftImg8bit"
    places = [reading.images] if reading.images else [beside / split.name, beside, split]
    folder = PictureFolder([each for each in places if each.is_dir()], reading.findings)
    pictures = []
    for file in files:
        try:
            picture = _picture(file, folder, reading)
        except DatasetError as error:
            reading.findings.add(error)
            continue
        if picture is not None:
            pictures.append(picture)
    semantic = {value: "" for value in _SURROUNDINGS} | THINGS
    if any(each.semantic for each in pictures):
        reading.findings.warn(
            "Cityscapes' eleven classes of surroundings, such as road, count as one background."
        )
    return build_pictures(
        name=path.name,
        format="cityscapes",
        root=path,
        categories=[Category(number, name) for number, name in enumerate(THINGS.values(), 1)],
        pictures=pictures,
        reading=reading,
        semantic_names=semantic,
    )


def _picture(file: Path, folder: PictureFolder, reading: Reading) -> FoundPicture | None:
    stem = file.name.removesuffix(_INSTANCES)
    name = f"{file.parent.name}/{stem}_leftImg8bit.png"
    path = folder.find(name) or folder.find(f"{stem}_leftImg8bit.png") or folder.find_stem(stem)
    if path is None:
        expected = f"a picture {name} in {folder.folders or 'leftImg8bit'}"
        raise DatasetError(file, "", expected, "none; --images says where they are")
    values = read_labels(file)
    frame = decide_frame(
        read_header(path),
        (values.shape[0], values.shape[1]),
        reading.findings,
        file=file,
        name=name,
        exif=reading.exif,
    )
    if frame is None:
        return None
    labels = file.with_name(f"{stem}_gtFine_labelIds.png")
    semantic = labels if labels.is_file() else None
    picture = FoundPicture(name, path, frame, semantic=semantic)
    for value in map(int, np.unique(values)):
        label_id = value // 1000 if value >= 1000 else value
        label = f"instance {value}"
        if label_id in THINGS:
            mask = Mask.from_array(values == value)
            crowd = value < 1000  # a group that was not taken apart
            picture.objects.append(FoundObject(label, THINGS[label_id], mask=mask, crowd=crowd))
        elif value >= 1000:
            text = "Some instances are of classes that Cityscapes does not compare; left out."
            reading.findings.warn(text, f"{name}, {label}")
    return picture

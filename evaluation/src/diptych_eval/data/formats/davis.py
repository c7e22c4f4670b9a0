"""DAVIS: clips of JPEG frames, with a PNG of object numbers for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diptych import Mask

from ...model import Dataset
from ..building import Reading
from ..clips import FoundClip, build_clips, list_frames, listed_names
from ..errors import DatasetError
from ..files import read_labels

_RESOLUTIONS = ("480p", "Full-Resolution")
_LISTS = ("2017/val.txt", "480p/val.txt", "2016/val.txt", "val.txt")
_VOID = 255


def read_davis(path: Path, reading: Reading) -> Dataset:
    """Read clips of ``ImageSets/2017/val.txt`` where there is one, else all.

    Raises:
        DatasetError: there are no frames or no labels.
    """
    frames = reading.images or below(path / "JPEGImages")
    labels = below(path / "Annotations")
    for folder, what in ((labels, "a folder of labels"), (frames, "a folder of frames")):
        if not folder.is_dir():
            raise DatasetError(folder, "", what, "none of that name")
    names = listed_names(path / "ImageSets" / each for each in _LISTS)
    folders = [each for each in sorted(labels.iterdir()) if each.is_dir()]
    for missing in sorted((names or set()) - {each.name for each in folders}):
        reading.findings.problem(labels / missing, "", "labels of a listed clip", "no such folder")
    clips = []
    for folder in folders:
        if names is None or folder.name in names:
            clip = read_clip(folder, frames / folder.name, reading)
            if clip is not None:
                clips.append(clip)
    return build_clips(name=path.name, format="davis", root=path, clips=clips, reading=reading)


def below(folder: Path) -> Path:
    """The folder of the first resolution in it, else the folder itself."""
    return next((folder / each for each in _RESOLUTIONS if (folder / each).is_dir()), folder)


def read_clip(labels: Path, frames: Path, reading: Reading) -> FoundClip | None:
    """One clip; ``None`` after noting that it has no frames."""
    if not frames.is_dir():
        reading.findings.problem(frames, "", f"frames of the clip {labels.name}", "no such folder")
        return None
    clip = FoundClip(labels.name, list_frames(frames))
    indexes = {path.stem: index for index, path in enumerate(clip.frames)}
    for file in sorted(labels.glob("*.png")):
        index = indexes.get(file.stem)
        if index is None:
            expected = f"a frame of that name in {frames}"
            reading.findings.problem(file, "", expected, "none")
            continue
        try:
            values = read_labels(file)
        except DatasetError as error:
            reading.findings.add(error)
            continue
        clip.sizes[index] = values.shape[0], values.shape[1]
        clip.labels[index] = {n: Mask.from_array(values == n) for n in _numbers(values) if n}
    _read_void(clip, reading)
    return clip


def _read_void(clip: FoundClip, reading: Reading) -> None:
    ids = {number for masks in clip.labels.values() for number in masks}
    if ids == {_VOID}:
        text = "Some clips have 255 as their only label, as DAVIS 2016 has; it is read as object 1."
        reading.findings.warn(text, clip.name)
    elif _VOID in ids:
        text = "Some clips have pixels of no known object (255); they are read as background."
        reading.findings.warn(text, clip.name)
    for masks in clip.labels.values():
        void = masks.pop(_VOID, None)
        if void is not None and ids == {_VOID}:
            masks[1] = void


def _numbers(values: NDArray[np.integer[Any]]) -> list[int]:
    """The numbers that occur."""
    if values.dtype == np.uint8:
        found = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
    else:
        found = np.unique(values)
    return [int(each) for each in found]

"""SA-V: a folder of PNGs for each object of a clip, or a json of masklets beside the frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from diptych import Mask

from ...model import Dataset
from ..building import Reading
from ..clips import FoundClip, build_clips, list_frames, listed_names
from ..errors import DatasetError
from ..files import read_labels, read_object
from ..geometry import short
from ..pictures import is_there

_EVERY = 4  # frames: clips have 24 a second and are labelled six times a second
_FRAMES = ("JPEGImages_24fps", "JPEGImages", "")


def read_sa_v(path: Path, reading: Reading) -> Dataset:
    """Read the folders of the sets val and test, else json files as those of the set train.

    Raises:
        DatasetError: there is neither.
    """
    root = path.parent if path.is_file() else path
    labels = next(
        (path / each for each in ("Annotations_6fps", "Annotations") if (path / each).is_dir()),
        None,
    )
    if labels is not None:
        clips = _of_folders(labels, root, reading)
    else:
        clips = _of_masklets(path, root, reading)
    return build_clips(name=path.stem, format="sa-v", root=root, clips=clips, reading=reading)


def _frames(name: str, root: Path, reading: Reading) -> list[Path] | None:
    """Frames of a clip; ``None`` after noting that there are none."""
    bases = [reading.images] if reading.images else [root / each for each in _FRAMES]
    folder = next((each / name for each in bases if is_there(each / name)), None)
    frames = list_frames(folder) if folder and folder.is_dir() else []
    if frames:
        return frames
    videos = [each / f"{name}.mp4" for each in bases]
    video = next((each for each in videos if is_there(each)), None)
    got = f"none in {', '.join(str(each / name)[:200] for each in bases)}"
    if video is not None:
        got += f"; take them out of the video: mkdir {video.with_suffix('')} && ffmpeg -i {video} "
        got += f"-q:v 2 -start_number 0 {video.with_suffix('')}/%05d.jpg"
    reading.findings.problem(folder or root, f"clip {name[:100]}", "a folder of frames", got)
    return None


def _of_folders(labels: Path, root: Path, reading: Reading) -> list[FoundClip]:
    names = listed_names(sorted(root.glob("*.txt")))
    clips = []
    for folder in sorted(each for each in labels.iterdir() if each.is_dir()):
        frames = _frames(folder.name, root, reading) if _chosen(folder.name, names) else None
        if frames is not None:
            clips.append(_of_objects(folder, frames, reading))
    for missing in sorted((names or set()) - {each.name for each in labels.iterdir()}):
        reading.findings.problem(labels / missing, "", "labels of a listed clip", "no such folder")
    return clips


def _chosen(name: str, names: set[str] | None) -> bool:
    return names is None or name in names


def _of_objects(folder: Path, frames: list[Path], reading: Reading) -> FoundClip:
    clip = FoundClip(folder.name, frames)
    indexes = {path.stem: index for index, path in enumerate(frames)}
    labelled: dict[int, int] = {}
    objects = [each for each in sorted(folder.iterdir()) if each.is_dir()]
    for each in objects:
        if not each.name.isdigit():
            reading.findings.problem(each, "", "a number as the name of an object", each.name)
            continue
        for file in sorted(each.glob("*.png")):
            index = indexes.get(file.stem)
            if index is None:
                expected = f"a frame of that name in {frames[0].parent}"
                reading.findings.problem(file, "", expected, "none")
                continue
            labelled[index] = labelled.get(index, 0) + 1
            _add_object(clip, index, int(each.name), file, reading)
    if len(set(labelled.values())) > 1:
        text = "Some clips have frames labelled for some objects only; the others count as unseen."
        reading.findings.warn(text, folder.name)
    return clip


def _add_object(clip: FoundClip, index: int, number: int, file: Path, reading: Reading) -> None:
    try:
        values = read_labels(file)
    except DatasetError as error:
        reading.findings.add(error)
        return
    size = values.shape[0], values.shape[1]
    if clip.sizes.setdefault(index, size) != size:
        wanted = f"{clip.sizes[index][0]} x {clip.sizes[index][1]}, as of other objects"
        reading.findings.problem(file, "height x width", wanted, f"{size[0]} x {size[1]}")
        return
    masks = clip.labels.setdefault(index, {})
    if len(kinds := np.unique(values)) > 2:
        got = f"{len(kinds)} values; SA-V has a PNG for each object"
        reading.findings.problem(file, "", "one object", got)
    elif values.any():
        masks[number] = Mask.from_array(values > 0)


def _of_masklets(path: Path, root: Path, reading: Reading) -> list[FoundClip]:
    files = [path] if path.is_file() else _manual_first(path, reading)
    if not files:
        expected = "Annotations_6fps/, Annotations/ or *_manual.json"
        raise DatasetError(path, "", expected, "none of them")
    clips = []
    for file in files:
        try:
            clip = _of_json(file, root, reading)
        except DatasetError as error:
            reading.findings.add(error)
            continue
        if clip is not None:
            clips.append(clip)
    return clips


def _manual_first(folder: Path, reading: Reading) -> list[Path]:
    manual = sorted(folder.glob("*_manual.json"))
    automatic = sorted(folder.glob("*_auto.json"))
    if manual and automatic:
        reading.findings.warn(
            "Some json files are of automatic masklets; left out.",
            automatic[0].name,
            count=len(automatic),
        )
    return manual or automatic


def _of_json(file: Path, root: Path, reading: Reading) -> FoundClip | None:
    document = read_object(file, "an object with masklet and masklet_id")
    rows, numbers = document.get("masklet"), document.get("masklet_id")
    if not isinstance(rows, list) or not rows:
        raise DatasetError(file, "masklet", "a list of frames", short(rows))
    if not isinstance(numbers, list) or not all(type(each) is int for each in numbers):
        raise DatasetError(file, "masklet_id", "a list of whole numbers", short(numbers))
    name = str(document.get("video_id") or file.stem.rpartition("_")[0])
    frames = _frames(name, root, reading)
    if frames is None:
        return None
    every = _step(len(frames), len(rows), file)
    clip = FoundClip(name, frames)
    for row_number, row in enumerate(rows):
        place = f"masklet[{row_number}]"
        if not isinstance(row, list) or len(row) != len(numbers):
            expected = f"{len(numbers)} objects, as masklet_id has"
            raise DatasetError(file, place, expected, short(row))
        index = row_number * every
        masks = {n: _mask(each, file, place) for n, each in zip(numbers, row, strict=True)}
        sizes = {each.size for each in masks.values()}
        if len(sizes) > 1:
            got = " and ".join(f"{height} x {width}" for height, width in sizes)
            raise DatasetError(file, place, "masks of one size", got)
        for size in sizes:
            clip.sizes[index] = size
            clip.labels[index] = {n: each for n, each in masks.items() if each.area}
    return clip


def _step(frames: int, rows: int, file: Path) -> int:
    if frames == rows:
        return 1
    if (rows - 1) * _EVERY < frames <= rows * _EVERY + _EVERY:
        return _EVERY
    expected = f"{rows} frames, or {rows * _EVERY - _EVERY + 1} to {rows * _EVERY + _EVERY}"
    raise DatasetError(file, "masklet", expected, f"{frames} frames")


def _mask(value: Any, file: Path, place: str) -> Mask:
    size = value.get("size") if isinstance(value, dict) else None
    counts = value.get("counts") if isinstance(value, dict) else None
    if not (
        isinstance(size, list)
        and len(size) == 2
        and all(type(each) is int and each > 0 for each in size)
        and isinstance(counts, str)
    ):
        raise DatasetError(file, place, "run lengths with size and counts", short(value))
    try:
        return Mask.from_coco(counts, (size[0], size[1]))
    except ValueError as error:
        raise DatasetError(
            file, place, f"run lengths of {size[0]} x {size[1]}", str(error)
        ) from error

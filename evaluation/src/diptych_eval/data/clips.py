"""From frames and labels that the readers found to a data set of clips."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from diptych import Mask

from ..model import Clip, Dataset, EvaluationTask
from .building import Reading
from .errors import DatasetError
from .pictures import decide_frame, list_pictures, read_header
from .turning import turned_mask


@dataclass
class FoundClip:
    """A clip as its files have it: masks in the pixels of the label files."""

    name: str
    frames: Sequence[Path]
    labels: dict[int, dict[int, Mask]] = field(default_factory=dict)
    """Frame index to object to mask."""
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Frame index to height and width of its labels."""


def build_clips(
    *, name: str, format: str, root: Path, clips: Iterable[FoundClip], reading: Reading
) -> Dataset:
    """A data set of clips; those in which nothing can be followed are left out."""
    findings = reading.findings
    if reading.mapping:
        got = ", ".join(f"{old}={new}" for old, new in reading.mapping.items())
        findings.problem(root, "--map", "no mapping: objects of clips have no class", got)
    made = []
    for each in sorted(clips, key=lambda clip: clip.name):
        labels = {index: masks for index, masks in each.labels.items() if masks}
        if not labels:
            findings.warn("Some clips have no labelled object; left out.", each.name)
        elif len(each.labels) < 2:
            text = (
                "Some clips are labelled in one frame only, so nothing can be followed; left out."
            )
            findings.warn(text, each.name)
        elif (clip := _clip(each, reading)) is not None:
            made.append(clip)
    if not made and not findings.problems:
        findings.problem(root, "", "a clip with objects in two frames or more", "none")
    return Dataset(
        name=name,
        format=format,
        root=root,
        tasks=frozenset({EvaluationTask.VIDEO}),
        clips=tuple(made),
        sha256=_sha256(made),
    )


def list_frames(folder: Path) -> list[Path]:
    """Pictures of a folder in the order of their numbers."""
    return sorted(list_pictures(folder), key=lambda path: (frame_number(path), path.name))


def frame_number(path: Path) -> int:
    """The last number in a file's name; -1 if it has none."""
    digits = re.findall(r"[0-9]+", path.stem)
    return int(digits[-1]) if digits else -1


def listed_names(files: Iterable[Path]) -> set[str] | None:
    """The clips that the first of these lists that is there names; ``None`` if none is."""
    for file in files:
        if file.is_file():
            lines = file.read_text("utf-8-sig").split("\n")
            return {Path(line.split()[0]).name for line in lines if line.strip()}
    return None


def _clip(found: FoundClip, reading: Reading) -> Clip | None:
    problems = len(reading.findings.problems)
    turned: dict[int, Mapping[int, Mask]] = {}
    sizes: dict[tuple[int, int], int] = {}
    for index, masks in sorted(found.labels.items()):
        path = found.frames[index]
        try:
            header = read_header(path)
        except DatasetError as error:
            reading.findings.add(error)
            continue
        frame = decide_frame(
            header,
            found.sizes[index],
            reading.findings,
            file=path,
            name=f"labels of frame {index}",
            exif=reading.exif,
        )
        if frame is None:
            continue
        swapped = frame.turn >= 5
        sizes[(frame.width, frame.height) if swapped else (frame.height, frame.width)] = index
        turned[index] = {
            number: mask if frame.turn == 1 else turned_mask(mask, frame.turn)
            for number, mask in masks.items()
        }
    if len(sizes) > 1:
        got = " and ".join(f"{height} x {width}" for height, width in sizes)
        reading.findings.problem(
            found.frames[0].parent, "frames, height x width", "one size in a clip", got
        )
    if len(reading.findings.problems) > problems:
        return None
    height, width = next(iter(sizes))
    return Clip(found.name, tuple(found.frames), height, width, turned)


def _sha256(clips: Sequence[Clip]) -> str:
    digest = hashlib.sha256()
    for clip in clips:
        labels = [
            [index, [[number, masks[number].to_coco().decode()] for number in sorted(masks)]]
            for index, masks in sorted(clip.labels.items())
        ]
        digest.update(json.dumps([clip.name, clip.height, clip.width, labels]).encode())
    return digest.hexdigest()

"""Held-out drawn scenes on disk, in the formats that people have.

All formats are written from the same scenes, so that what is read must be the same as well, but
for what a format cannot say: YOLO's polygons lose holes, VOC's pictures are JPEG. Drawing imports
torch, which takes seconds: tests of readers take ``stored`` and ``write_squares`` instead.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from diptych import Mask

SCRIPTS = Path(__file__).parents[2] / "demo-weights"
STORED = Path(__file__).parents[1] / "assets" / "scenes"
SEED = 70_000_100
CLASSES = ("background", "ball", "box", "triangle", "star", "ring", "ellipse", "cross", "person")
PERSON = 8
CITYSCAPES = {"person": 24, "car": 26}
"""Label ids that stand for drawn classes: people, and all else."""

Drawn = list[tuple[str, Any]]


def scripts(name: str) -> Any:
    """A module of ``demo-weights``, whose scripts are no package."""
    sys.path.insert(0, str(SCRIPTS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(SCRIPTS))


def draw(count: int, seed: int = SEED) -> Drawn:
    """Names and scenes; see ``demo-weights/dataset.py``."""
    return list(scripts("dataset").draw_scenes(count, seed))


def stored() -> Drawn:
    """The four scenes that lie in ``tests/assets``, without key points."""
    scenes: Drawn = []
    for file in sorted(STORED.glob("?.json")):
        objects = json.loads(file.read_text())["objects"]
        labels = np.asarray(Image.open(STORED / f"{file.stem}-labels.png"))
        assert [each["label"] for each in objects] == list(range(1, len(objects) + 1))
        image = np.asarray(Image.open(file.with_suffix(".png")).convert("RGB"))
        classes = [CLASSES.index(each["class"]) for each in objects]
        scenes.append((file.stem, SimpleNamespace(image=image, labels=labels, classes=classes)))
    return scenes


def object_masks(scene: Any) -> Iterator[tuple[int, int, Any]]:
    """Index, class and mask of every object that shows."""
    for index, category in enumerate(scene.classes):
        mask = scene.labels == index + 1
        if mask.any():
            yield index, category, mask


def write_coco(drawn: Drawn, root: Path) -> Path:
    """``instances.json`` and ``images/``."""
    scripts("dataset").write_coco(drawn, root)
    return root


def write_davis(root: Path, clips: int = 1, frames: int = 24, seed: int = SEED + 900) -> Path:
    """``JPEGImages/`` and ``Annotations/`` of crossing objects."""
    scripts("dataset").write_davis(root, clips, seed, frames)
    return root


def write_squares(root: Path, clips: int = 1, frames: int = 9) -> Path:
    """DAVIS's folders of two squares, of which the second is gone in the last frame."""
    for number in range(clips):
        pictures, labels = (root / each / f"c{number}" for each in ("JPEGImages", "Annotations"))
        pictures.mkdir(parents=True)
        labels.mkdir(parents=True)
        for index in range(frames):
            values = np.zeros((36, 48), np.uint8)
            values[4:14, 2 + 3 * index : 12 + 3 * index] = 1
            if index < frames - 1:
                values[20:30, 30 - 2 * index : 40 - 2 * index] = 2
            Image.fromarray(values * 90).save(pictures / f"{index:05d}.jpg")
            Image.fromarray(values).save(labels / f"{index:05d}.png")
    return root


def write_yolo(drawn: Drawn, root: Path) -> Path:
    """``data.yaml``, ``images/val`` and ``labels/val``; each object is its longest outline."""
    images, labels = root / "images" / "val", root / "labels" / "val"
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    for name, each in drawn:
        Image.fromarray(each.image).save(images / f"{name}.png")
        height, width = each.labels.shape
        lines = []
        for _, category, mask in object_masks(each):
            ring = max(Mask.from_array(mask).to_polygons(), key=len)
            points = " ".join(f"{x / width:.6f} {y / height:.6f}" for x, y in ring)
            lines.append(f"{category - 1} {points}")
        (labels / f"{name}.txt").write_text("\n".join(lines))
    names = "\n".join(f"  {n}: {name}" for n, name in enumerate(CLASSES[1:]))
    (root / "data.yaml").write_text(f"path: .\nval: images/val\nnames:\n{names}\n")
    return root


def write_voc(drawn: Drawn, root: Path) -> Path:
    """``JPEGImages``, ``SegmentationObject``, ``SegmentationClass`` and ``labelmap.txt``."""
    for folder in ("JPEGImages", "SegmentationObject", "SegmentationClass"):
        (root / folder).mkdir(parents=True)
    for name, each in drawn:
        classes = np.zeros_like(each.labels)
        for _, category, mask in object_masks(each):
            classes[mask] = category
        Image.fromarray(each.image).save(root / "JPEGImages" / f"{name}.jpg", quality=95)
        Image.fromarray(each.labels).save(root / "SegmentationObject" / f"{name}.png")
        Image.fromarray(classes).save(root / "SegmentationClass" / f"{name}.png")
    lines = ["# label:color_rgb:parts:actions", "background:0,0,0::"]
    lines += [f"{name}:{n},{n},{n}::" for n, name in enumerate(CLASSES) if n]
    (root / "labelmap.txt").write_text("\n".join(lines))
    return root


def write_cityscapes(drawn: Drawn, root: Path) -> Path:
    """``leftImg8bit`` and ``gtFine`` of one city: people are people, all else is cars."""
    pictures, truths = root / "leftImg8bit/val/town", root / "gtFine/val/town"
    pictures.mkdir(parents=True)
    truths.mkdir(parents=True)
    for name, each in drawn:
        stem = f"town_{name}_000019"
        instances = np.full(each.labels.shape, 7, np.uint16)  # road
        for index, category, mask in object_masks(each):
            label = CITYSCAPES["person" if category == PERSON else "car"]
            instances[mask] = label * 1000 + index
        labels = np.where(instances >= 1000, instances // 1000, instances).astype(np.uint8)
        Image.fromarray(each.image).save(pictures / f"{stem}_leftImg8bit.png")
        Image.fromarray(instances).save(truths / f"{stem}_gtFine_instanceIds.png")
        Image.fromarray(labels).save(truths / f"{stem}_gtFine_labelIds.png")
    return root


def write_sa_v(davis: Path, root: Path, every: int = 4) -> Path:
    """SA-V's folders from DAVIS's: a folder of PNGs for each object, every fourth frame."""
    for clip in sorted((davis / "Annotations").iterdir()):
        frames = root / "JPEGImages_24fps" / clip.name
        frames.mkdir(parents=True)
        for frame in (davis / "JPEGImages" / clip.name).iterdir():
            (frames / frame.name).write_bytes(frame.read_bytes())
        files = sorted(clip.glob("*.png"))
        values = {file.name: np.asarray(Image.open(file)) for file in files}
        for number in sorted({int(n) for each in values.values() for n in np.unique(each) if n}):
            folder = root / "Annotations_6fps" / clip.name / f"{number - 1:03d}"
            folder.mkdir(parents=True)
            for file in files[::every]:
                Image.fromarray(values[file.name] == number).save(folder / file.name)
    return root


def write_masklets(davis: Path, root: Path, every: int = 4) -> Path:
    """SA-V's json of masklets from DAVIS's folders, with the frames beside it."""
    for clip in sorted((davis / "Annotations").iterdir()):
        frames = root / clip.name
        frames.mkdir(parents=True)
        for frame in (davis / "JPEGImages" / clip.name).iterdir():
            (frames / frame.name).write_bytes(frame.read_bytes())
        values = [np.asarray(Image.open(file)) for file in sorted(clip.glob("*.png"))]
        numbers = sorted({int(n) for each in values for n in np.unique(each) if n})
        height, width = values[0].shape
        masklet = [
            [_run_lengths(Mask.from_array(each == number)) for number in numbers]
            for each in values[::every]
        ]
        document = {
            "video_id": clip.name,
            "video_frame_count": float(len(values)),
            "video_height": float(height),
            "video_width": float(width),
            "masklet": masklet,
            "masklet_id": [number - 1 for number in numbers],
        }
        (root / f"{clip.name}_manual.json").write_text(json.dumps(document))
    return root


def _run_lengths(mask: Mask) -> dict[str, Any]:
    return {"size": list(mask.size), "counts": mask.to_coco().decode()}

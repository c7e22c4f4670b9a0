"""Draw held-out scenes as a data set on disk: COCO, and clips as DAVIS has them.

    python demo-weights/dataset.py OUT [--scenes 50] [--clips 4] [--seed 70000100]

``OUT/coco`` has ``instances.json`` and ``images/``, ``OUT/davis`` has ``JPEGImages/`` and
``Annotations/``. The same arguments give the same files, byte for byte with the same Pillow.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scenes import CLASSES, KEYPOINTS, PERSON, Pixels, Scene, crossing_clip, scene

from diptych import Mask

SEED = 70_000_100
"""Of the first scene; training seeds stay far below. Clips begin 900 later."""
FRAMES = 24


def draw_scenes(count: int, seed: int = SEED) -> Iterator[tuple[str, Scene]]:
    """Names without a suffix, and scenes."""
    for number in range(count):
        yield f"{number:04d}", scene(seed + number)


def object_masks(drawn: Scene) -> Iterator[tuple[int, int, Pixels]]:
    """Index, class and ``(S, S)`` mask of every object that shows."""
    for index, category in enumerate(drawn.classes):
        mask = drawn.labels == index + 1
        if mask.any():
            yield index, category, mask


def coco_document(drawn: list[tuple[str, Scene]]) -> dict[str, Any]:
    """Truths of scenes as COCO has them, with the key points of people."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (name, each) in enumerate(drawn, 1):
        height, width = each.labels.shape
        images.append({"id": number, "file_name": f"{name}.png", "height": height, "width": width})
        for index, category, pixels in object_masks(each):
            mask = Mask.from_array(pixels)
            assert mask.box is not None
            made: dict[str, Any] = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": category,
                "iscrowd": 0,
                "area": mask.area,
                "bbox": list(mask.box.xywh),
                "segmentation": {"size": [height, width], "counts": mask.to_coco().decode()},
            }
            if category == PERSON:
                points = each.keypoints[index]
                made["keypoints"] = [v for x, y, s in points.tolist() for v in (x, y, int(s))]
                made["num_keypoints"] = int((points[:, 2] > 0).sum())
            annotations.append(made)
    return {
        "info": {"description": "drawn scenes"},
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": number, "name": name}
            | ({"keypoints": list(KEYPOINTS)} if number == PERSON else {})
            for number, name in enumerate(CLASSES)
            if number
        ],
    }


def write_coco(drawn: list[tuple[str, Scene]], root: Path) -> None:
    """``instances.json`` and ``images/``."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    for name, each in drawn:
        Image.fromarray(each.image).save(root / "images" / f"{name}.png")
    (root / "instances.json").write_text(json.dumps(coco_document(drawn)))


def write_davis(root: Path, count: int, seed: int, frames: int = FRAMES) -> None:
    """Clips in which objects cross, with every frame labelled."""
    for number in range(count):
        name = f"clip{number}"
        pictures, labels = root / "JPEGImages" / name, root / "Annotations" / name
        pictures.mkdir(parents=True, exist_ok=True)
        labels.mkdir(parents=True, exist_ok=True)
        for index, (picture, label) in enumerate(crossing_clip(seed + number, frames)):
            Image.fromarray(picture).save(pictures / f"{index:05d}.jpg", quality=95)
            Image.fromarray(np.asarray(label, np.uint8)).save(labels / f"{index:05d}.png")


def main() -> None:
    """Read the arguments and write the files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--scenes", type=int, default=50)
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = parser.parse_args()
    drawn = list(draw_scenes(arguments.scenes, arguments.seed))
    write_coco(drawn, arguments.out / "coco")
    write_davis(arguments.out / "davis", arguments.clips, arguments.seed + 900)
    objects = sum(len(list(object_masks(each))) for _, each in drawn)
    print(f"{len(drawn)} pictures, {objects} objects, {arguments.clips} clips in {arguments.out}")


if __name__ == "__main__":
    main()

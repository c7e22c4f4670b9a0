"""Write the samples: pictures with their truth for the tests, and what the product ships."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from common import box_of
from numpy.typing import NDArray
from PIL import Image
from scenes import CLASSES, HELD_OUT, KEYPOINTS, PERSON, Scene, crossing_clip, scene

from diptych import VideoWriter

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests" / "assets" / "scenes"
DEMO = ROOT / "client" / "src" / "diptych" / "samples" / "scene.png"
TEST_SEEDS = [HELD_OUT + n for n in (49, 183, 147, 165)]
DEMO_SEED = HELD_OUT + 289
CLIP = DEMO.with_name("clip.mp4")
PAGE_CLIP = ROOT / "gateway" / "src" / "diptych_gateway" / "page" / "samples" / "clip.webm"
CLIP_SEED, CLIP_FRAMES, CLIP_FPS = 40_000_034, 48, 12


def truth(one: Scene, seed: int) -> dict[str, Any]:
    """What a scene shows; the visible mask of an object is where the label map has its number."""
    objects = []
    for number, category in enumerate(one.classes, 1):
        mask = one.labels == number
        thing: dict[str, Any] = {
            "label": number,
            "class": CLASSES[category],
            "box": [int(side) for side in box_of(mask)],
            "area": int(mask.sum()),
        }
        if category == PERSON:
            points = one.keypoints[number - 1].tolist()
            thing["keypoints"] = {
                name: {"x": round(x, 2), "y": round(y, 2), "visibility": int(v)}
                for name, (x, y, v) in zip(KEYPOINTS, points, strict=True)
            }
        objects.append(thing)
    return {"seed": seed, "size": list(one.labels.shape), "objects": objects}


def write_webm(path: Path, pictures: Sequence[NDArray[np.uint8]], fps: int) -> None:
    """Write a clip as VP9, which every browser plays; H.264 some do not.

    ``pictures`` are RGB, (height, width, 3) each. The same pictures make the same file.
    """
    # Without bitexact the file has a random number in its head.
    with av.open(str(path), "w", container_options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libvpx-vp9", rate=fps, options={"crf": "24", "b": "0"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def main() -> None:
    """Draw and write everything."""
    TESTS.mkdir(parents=True, exist_ok=True)
    DEMO.parent.mkdir(parents=True, exist_ok=True)
    for index, seed in enumerate(TEST_SEEDS):
        one = scene(seed)
        Image.fromarray(one.image).save(TESTS / f"{index}.png", optimize=True)
        Image.fromarray(one.labels).save(TESTS / f"{index}-labels.png", optimize=True)
        text = json.dumps(truth(one, seed), indent=1)
        (TESTS / f"{index}.json").write_text(text + "\n")
    Image.fromarray(scene(DEMO_SEED).image).save(DEMO, optimize=True)
    pictures = [picture for picture, _ in crossing_clip(CLIP_SEED, CLIP_FRAMES)]
    with VideoWriter(CLIP, fps=CLIP_FPS) as writer:
        for picture in pictures:
            writer.write(picture)
    write_webm(PAGE_CLIP, pictures, CLIP_FPS)


if __name__ == "__main__":
    main()

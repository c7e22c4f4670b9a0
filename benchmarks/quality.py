"""The same masks: both tiers of both engines against the stock models, with the demo weights.

    python benchmarks/quality.py [--scenes 200] [--clips 10] [--tasks automatic video]
        [--threads N] [--device cpu]

Drawn scenes that no training has seen, and after them photographs. The demo weights know nothing of
photographs and are unsure everywhere, so there the fast tier stands beside without a floor. Masks
are matched one to one, greedily from the largest overlap, from an IoU of 0.5 on; recall is the
share of stock's masks that have a partner, precision the share of ours. No picture is left out.
Mask R-CNN is asked for scores from 0.5, SAM 2 for a point and a box on every object, for everything
in the picture, and to follow every object of a clip from a box on its first frame. Not run on a GPU
so far.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import clips
import devices
import machine
import numpy as np
import torch
from machine import Gate
from photographs import photographs
from PIL import Image
from quality_sides import (
    TIERS,
    Answers,
    Automatic,
    Clip,
    MaskRcnn,
    Picture,
    Prompted,
    Sam2,
    Video,
)

from diptych import Box, Point, Prompt

sys.path.append(str(clips.ROOT / "demo-weights"))
from agreement import FLOORS, SAME_COUNT, Agreement
from scenes import HELD_OUT, crossing_clip, scene

TITLES = {
    "mask-rcnn": "Mask R-CNN, instances",
    "prompted": "SAM 2, points and boxes",
    "automatic": "SAM 2, automatic mode",
    "video": "SAM 2, video",
}
CLIPS, FRAMES = 30_000_000, 24
SMALLEST = 300
"""Pixels that an object must show on the first frame to be followed, as in demo-weights."""
PHOTOGRAPHS = "photographs"
UNSURE = {(PHOTOGRAPHS, "fast")}
"""What has no floor."""
GRID = 4
"""Points of a side, and boxes, that stand for a person's prompts on a photograph."""


def drawn(count: int) -> Iterator[Picture]:
    """Scenes, with a point inside and the tight box of each visible object."""
    for seed in range(HELD_OUT, HELD_OUT + count):
        one = scene(seed)
        truth = Clip([one.image], [one.labels], Path())
        values = [value for value in range(1, len(one.classes) + 1) if (one.labels == value).any()]
        points = [Prompt(points=(truth.inside(0, value),)) for value in values]
        boxes = [Prompt(box=truth.box(0, value)) for value in values]
        yield Picture(one.image, [*points, *boxes])


def real() -> Iterator[Picture]:
    """Photographs, with a grid of points and of boxes."""
    for _, file in photographs():
        pixels = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))
        height, width = pixels.shape[0] / GRID, pixels.shape[1] / GRID
        prompts = []
        for x in range(GRID):
            for y in range(GRID):
                left, top = x * width, y * height
                prompts.append(Prompt(points=(Point(left + width / 2, top + height / 2),)))
                prompts.append(Prompt(box=Box(left, top, left + width, top + height)))
        yield Picture(pixels, prompts)


def over_pictures(
    answers: Callable[[Picture], Answers], pictures: Iterator[Picture]
) -> dict[str, Agreement]:
    """Each tier's agreement with stock."""
    return _agreements(answers(picture) for picture in pictures)


def over_clips(video: Video, count: int) -> dict[str, Agreement]:
    """The same on clips whose objects cross and hide each other."""
    return _agreements(_followed(video, seed) for seed in range(CLIPS, CLIPS + count))


def _followed(video: Video, seed: int) -> Answers:
    frames, labels = zip(*crossing_clip(seed, FRAMES), strict=True)
    sizes = np.bincount(labels[0].ravel())
    prompts = {
        int(value): Prompt(box=Box(*clips.box_of(labels[0], value)))
        for value in np.flatnonzero(sizes >= SMALLEST)
        if value
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stderr(io.StringIO()),  # stock draws progress bars
    ):
        for number, pixels in enumerate(frames):
            # Stock takes files of this name only; Pillow looks at the content.
            Image.fromarray(pixels).save(Path(folder) / f"{number:05d}.jpg", format="PNG")
        return video.answers(Path(folder), frames, prompts)


def _agreements(answers: Iterator[Answers]) -> dict[str, Agreement]:
    found = {tier: Agreement() for tier in TIERS}
    for sides in answers:
        for tier, agreement in found.items():
            agreement.add(sides[tier], sides["stock"])
    return found


def gates(task: str, what: str, found: dict[str, Agreement]) -> list[Gate]:
    """Lines of the page, by tier."""
    return [
        Gate(
            what=f"{TITLES[task]}, {what}",
            tier=tier,
            pictures=len(one.counts),
            ours=one.ours,
            theirs=one.theirs,
            matched_iou=one.matched_iou,
            recall=one.recall,
            precision=one.precision,
            same_count=one.same_count,
            count_difference=one.count_difference,
            least_iou=FLOORS[tier].matched_iou if (what, tier) not in UNSURE else None,
            least_share=FLOORS[tier].share if (what, tier) not in UNSURE else None,
            least_same_count=SAME_COUNT if (task, tier) == ("automatic", "exact") else None,
        )
        for tier, one in found.items()
    ]


def measured(args: argparse.Namespace, device: torch.device) -> Iterator[Gate]:
    """Every task that is asked for, on scenes and photographs, or on clips."""
    tasks = args.tasks
    sam2 = functools.cache(lambda: Sam2(device))
    if "mask-rcnn" in tasks:
        yield from _on_pictures("mask-rcnn", MaskRcnn(device).answers, args.scenes)
    if "prompted" in tasks:
        yield from _on_pictures("prompted", Prompted(sam2()).answers, args.scenes)
    if "automatic" in tasks:
        yield from _on_pictures("automatic", Automatic(sam2()).answers, args.scenes)
    if "video" in tasks:
        yield from gates("video", f"{args.clips} clips", over_clips(Video(sam2()), args.clips))


def _on_pictures(task: str, answers: Callable[[Picture], Answers], count: int) -> Iterator[Gate]:
    yield from gates(task, f"{count} scenes", over_pictures(answers, drawn(count)))
    yield from gates(task, PHOTOGRAPHS, over_pictures(answers, real()))


def main() -> None:
    """Measure, print and judge."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--clips", type=int, default=10)
    parser.add_argument("--tasks", nargs="+", choices=TITLES, default=list(TITLES))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    devices.add_argument(parser)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = devices.chosen(args.device)
    print(machine.describe() + devices.described(device))
    found = []
    for gate in measured(args, device):
        print(gate.told(), flush=True)
        found.append(gate)
    whole = set(args.tasks) == set(TITLES)
    name = f"quality{'' if whole else '_part'}{devices.suffix(device)}"
    machine.keep(name, {"threads": args.threads}, gates=found)
    if not all(gate.met for gate in found):
        raise SystemExit("a tier is below its gate")


if __name__ == "__main__":
    main()

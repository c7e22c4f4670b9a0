"""How well Mask R-CNN's video session follows objects of held-out clips, by its demo weights.

python evaluate_tracking.py [--clips 100] [--first 30000000] [--write]

Every object that shows enough of itself on the first frame gets a box prompt there, tight around
what shows; J and F are those of evaluate_video.py, on the same clips. An object is held on a frame
where more than 300 of its pixels show if the mask under its id overlaps it by more than one half. A
switch is a mask that overlaps another object by as much where the last overlap was with a different
one. An object whose prompt is refused has no masks.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

import numpy as np
import torch
from common import Bools, box_of
from evaluate_video import HELD_OUT_CLIPS, SMALLEST, Frames, followed, mean, measures
from figures import FILE, Figure, record, share, show
from scenes import crossing_clip

from diptych import Box, Mask, OutputOptions, Prompt
from diptych_maskrcnn.engine import MaskRcnnEngine
from diptych_maskrcnn.settings import EngineSettings
from diptych_runtime.engine import ServiceError, VideoOptions
from diptych_runtime.engine.protocol import Steps, T

Masks = dict[int, list[Mask | None]]
"""By the label of an object its mask on each frame after the first."""


@dataclass
class Counts:
    """What is summed over all clips."""

    js: list[float] = field(default_factory=list)
    fs: list[float] = field(default_factory=list)
    seen: int = 0
    held: int = 0
    switches: int = 0
    refused: int = 0


def finished(steps: Steps[T]) -> T:
    """Run steps to their end."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


def track(engine: MaskRcnnEngine, frames: Frames, counts: Counts) -> Masks:
    """Follow the objects of the first frame through the clip."""
    wanted = followed(frames)
    options = VideoOptions(OutputOptions(), track_all=False, max_objects=16, held_frames=1)
    session = engine.open_session(options)
    masks: Masks = {value: [] for value in wanted}
    for number, (picture, labels) in enumerate(frames):
        answer = finished(session.add_frame(number, picture))
        for value in wanted if number == 0 else []:
            box = Box(*map(float, box_of(labels == value)))
            try:
                finished(session.prompt(value, 0, Prompt(box=box)))
            except ServiceError:
                counts.refused += 1
        found = {one.object_id: one.segment.mask for one in answer.objects}
        for value in wanted if number else []:
            masks[value].append(found.get(value))
    return masks


def count(frames: Frames, masks: Masks, counts: Counts) -> None:
    """Compare with the truth."""
    for value, found in masks.items():
        rows, last = [], value
        for mask, (_, labels) in zip(found, frames[1:], strict=True):
            got = mask.to_array() if mask else np.zeros(labels.shape, np.bool_)
            rows.append(measures(got, labels == value))
            held = overlapped(got, labels)
            if (labels == value).sum() > SMALLEST:
                counts.seen += 1
                counts.held += held == value
            if held is not None:
                counts.switches += held not in (value, last)
                last = held
        j, f = np.mean(rows, 0).tolist()
        counts.js.append(j)
        counts.fs.append(f)


def overlapped(got: Bools, labels: np.ndarray) -> int | None:
    """The object that a mask overlaps by more than one half, if any."""
    values, areas = np.unique(labels[got], return_counts=True)
    for value, both in zip(values.tolist(), areas.tolist(), strict=True):
        either = got.sum() + (labels == value).sum() - both
        if value and both > 0.5 * either:
            return int(value)
    return None


def figures(counts: Counts, clips: str) -> list[Figure]:
    """As they go into the file."""
    j, f, n = mean(counts.js), mean(counts.fs), len(counts.js)
    return [
        Figure("J&F, box on the first frame", (j + f) / 2, "J&F", clips, n),
        Figure("J, box on the first frame", j, "share", clips, n),
        Figure("F, box on the first frame", f, "share", clips, n),
        share("frames of objects held under their id", counts.held, counts.seen, clips),
        Figure("switches to another object, per object", counts.switches / n, "count", clips, n),
        share("prompts refused", counts.refused, n, clips),
    ]


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--first", type=int, default=HELD_OUT_CLIPS)
    parser.add_argument("--write", action="store_true", help=f"into {FILE.name}")
    args = parser.parse_args()
    torch.set_num_threads(1)
    settings = EngineSettings(mask_rcnn_weights="demo", keypoint_weights="off", device="cpu")
    engine = MaskRcnnEngine(settings)
    engine.load()
    counts = Counts()
    for seed in range(args.first, args.first + args.clips):
        frames = crossing_clip(seed, args.frames)
        count(frames, track(engine, frames, counts), counts)
    seeds = f"{args.first}-{args.first + args.clips - 1}"
    name = f"{args.clips} synthetic clips of {args.frames} frames, seeds {seeds}"
    found = figures(counts, name)
    show(found)
    if args.write:
        record("tracking", found)


if __name__ == "__main__":
    main()

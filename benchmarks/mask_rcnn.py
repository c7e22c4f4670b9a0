"""Mask R-CNN from a JPEG file to COCO run lengths, score from 0.5, against torchvision.

    python benchmarks/mask_rcnn.py [--rounds 9] [--scenes 100] [--threads N]

All sides answer in this process, in turn, a photograph each round: torchvision with pycocotools;
the same built for this score floor (``box_score_thresh=0.5``); the engine in its exact and in its
fast tier. First the ResNet-50 FPN with random weights whose class logits are set so that about ten
objects a picture are over the floor, then the demo weights on drawn scenes. Random weights answer
how long it takes and whether the exact tier finds the same; what the fast tier loses is measured
with the demo weights, on all scenes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import machine
import numpy as np
import torch
from photographs import encoded, photographs
from rcnn_sides import Found, Ours, Side, Stock, calibrate, save, stock_demo, stock_resnet50

sys.path.append(str(Path(__file__).parent.parent / "demo-weights"))
from scenes import HELD_OUT, scene

FLOOR = 0.5
OBJECTS = 10
PARTNERS_IOU = 0.5
# Floor and aim.
BOUNDS = {"exact": (1.4, 1.6), "fast": (3.0, 5.0)}
WHAT = {"demo": "demo weights", "resnet50": "ResNet-50 FPN, random weights"}
GATE_IOU = {"exact": 0.999, "fast": 0.98}
GATE_SHARE = {"exact": 1.0, "fast": 0.97}

Answers = Mapping[str, Sequence[list[Found]]]


def take_turns(
    sides: Mapping[str, Side], files: Sequence[bytes], rounds: int
) -> tuple[dict[str, list[float]], dict[str, list[list[Found]]]]:
    """Seconds and answers of each side by round; one round before them warms up."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    answers: dict[str, list[list[Found]]] = {name: [] for name in sides}
    for number in range(-1, rounds):
        for name, ask in sides.items():
            started = time.perf_counter()
            found = ask(files[number % len(files)], FLOOR)
            if number >= 0:
                times[name].append(time.perf_counter() - started)
                answers[name].append(found)
    return times, answers


def overlaps(ours: Sequence[Found], stock: Sequence[Found]) -> list[float]:
    """IoU of partners: of one label, one to one, the largest overlaps first, from 0.5."""
    pairs = [
        (one.mask.iou(other.mask), i, j)
        for i, one in enumerate(ours)
        for j, other in enumerate(stock)
        if one.label == other.label
    ]
    free = set(range(len(ours))), set(range(len(stock)))
    found = []
    for overlap, i, j in sorted(pairs, reverse=True):
        if overlap >= PARTNERS_IOU and i in free[0] and j in free[1]:
            free[0].remove(i)
            free[1].remove(j)
            found.append(overlap)
    return found


def quality(answers: Answers, name: str) -> dict[str, float]:
    """Of one side against torchvision, over all pictures."""
    shared, ours, stock, other_count = list[float](), 0, 0, 0
    for mine, theirs in zip(answers[name], answers["stock"], strict=True):
        shared += overlaps(mine, theirs)
        ours, stock = ours + len(mine), stock + len(theirs)
        other_count += len(mine) != len(theirs)
    return {
        "matched_iou": float(np.mean(shared)) if shared else 1.0,
        "recall": len(shared) / stock if stock else 1.0,
        "precision": len(shared) / ours if ours else 1.0,
        "objects": ours,
        "stock_objects": stock,
        "pictures_with_another_count": other_count,
    }


def show(times: Mapping[str, Sequence[float]], answers: Answers) -> dict[str, object]:
    """Print a table; returns its figures."""
    figures: dict[str, object] = {}
    for name, spent in times.items():
        ratios = sorted(stock / own for stock, own in zip(times["stock"], spent, strict=True))
        found = quality(answers, name)
        print(
            f"{name:10} {machine.milliseconds(spent)} ms  {statistics.median(ratios):5.2f}x "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f})  IoU {found['matched_iou']:.4f}  "
            f"recall {found['recall']:.3f}  precision {found['precision']:.3f}  "
            f"objects {found['objects']:.0f} of {found['stock_objects']:.0f}, another count on "
            f"{found['pictures_with_another_count']:.0f} of {len(spent)}"
        )
        figures[name] = {"seconds": list(spent), "ratio": statistics.median(ratios), **found}
    return figures


def judge(answers: Answers, tiers: Sequence[str]) -> list[str]:
    """What is below its gate, as lines."""
    wrong = []
    for tier in tiers:
        found = quality(answers, tier)
        if (
            found["matched_iou"] < GATE_IOU[tier]
            or min(found["recall"], found["precision"]) < GATE_SHARE[tier]
        ):
            wrong.append(f"{tier}: below its gate, {found}")
    return wrong


def resnet50(rounds: int) -> tuple[dict[str, object], list[str]]:
    """Random weights, photographs."""
    names, files = zip(*photographs(), strict=True)
    with tempfile.TemporaryDirectory() as folder:
        network = stock_resnet50()
        calibrate(network, files, objects=OBJECTS, floor=FLOOR)
        weights = save(network, Path(folder))
        sides: dict[str, Side] = {
            "stock": Stock(network),
            "stock 0.5": Stock(network, FLOOR),
            "exact": Ours("exact", weights),
            "fast": Ours("fast", weights),
        }
        print(f"ResNet-50 FPN, random weights, {', '.join(names)}, {rounds} rounds")
        times, answers = take_turns(sides, files, rounds)
    return show(times, answers), judge(answers, ["exact"])


def demo(count: int) -> tuple[dict[str, object], list[str]]:
    """Demo weights, held-out scenes."""
    sides: dict[str, Side] = {
        "stock": Stock(stock_demo()),
        "exact": Ours("exact", "demo"),
        "fast": Ours("fast", "demo"),
    }
    files = [encoded(scene(seed).image) for seed in range(HELD_OUT, HELD_OUT + count)]
    print(f"demo network and weights, {count} scenes")
    times, answers = take_turns(sides, files, count)
    return show(times, answers), judge(answers, ["exact", "fast"])


def as_rows(part: str, figures: Mapping[str, dict[str, object]]) -> list[machine.Row]:
    """Rows of the page for the tiers; floors are those of the large network."""
    rows = []
    for tier, (floor, aim) in BOUNDS.items():
        theirs, ours, found = figures["stock"]["seconds"], figures[tier]["seconds"], figures[tier]
        large = part == "resnet50"
        rows.append(
            machine.row(
                f"Mask R-CNN {WHAT[part]}, JPEG to RLE from 0.5, {tier}",
                "torchvision and pycocotools, float32",
                ours=[s * 1e3 for s in ours],
                theirs=[s * 1e3 for s in theirs],
                unit="ms",
                ratios=[t / o for t, o in zip(theirs, ours, strict=True)],
                floor=floor if large else None,
                aim=aim if large else None,
                quality=f"matched IoU {found['matched_iou']:.4f}, recall {found['recall']:.3f}, "
                f"precision {found['precision']:.3f}",
            )
        )
    return rows


def main() -> None:
    """Measure, print and judge."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"{machine.describe()}, {args.threads} threads")
    parts: dict[str, Callable[[], tuple[dict[str, object], list[str]]]] = {
        "demo": lambda: demo(args.scenes),
        "resnet50": lambda: resnet50(args.rounds),
    }
    results = {name: measure() for name, measure in parts.items()}
    rows = [row for name, (figures, _) in results.items() for row in as_rows(name, figures)]
    kept = {name: figures for name, (figures, _) in results.items()}
    machine.keep("mask_rcnn", {"threads": args.threads, **kept}, rows=rows)
    wrong = [line for _, lines in results.values() for line in lines]
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()

"""Mask R-CNN from a JPEG file to COCO run lengths, score from 0.5, against torchvision.

    python benchmarks/mask_rcnn.py [--rounds 9] [--scenes 100] [--threads N] [--device cpu]
        [--tiers exact,fast]

All sides answer in this process, in turn, a photograph each round: torchvision with pycocotools;
the same built for this score floor (``box_score_thresh=0.5``); the engine in its exact and in its
fast tier. First the ResNet-50 FPN with random weights whose class logits are set so that about ten
objects a picture are over the floor, then the demo weights on drawn scenes. Random weights answer
how long it takes and whether the exact tier finds the same; what the fast tier loses is measured
with the demo weights, on all scenes. Where a random network's regions tie, rounding decides in
torchvision as well, so it answers once more with its sums in another order (channels-last): an
object that only one of the two finds may be found or not, all others must be. On a GPU
torchvision's model also runs with its backbone compiled under bfloat16 autocast; that has not been
tried so far.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import clips
import devices
import machine
import tiers
import torch
from photographs import encoded, photographs
from rcnn_sides import (
    Found,
    Ours,
    Side,
    Stock,
    calibrate,
    labelled,
    save,
    stock_demo,
    stock_half,
    stock_resnet50,
)
from torchvision.models.detection import MaskRCNN

sys.path.append(str(clips.ROOT / "tests" / "support"))
sys.path.append(str(clips.ROOT / "demo-weights"))
from agreement import FLOORS, Agreement, without_partner
from scenes import HELD_OUT, scene

FLOOR = 0.5
OBJECTS = 10
# Floor and aim.
BOUNDS = {"exact": (1.4, 1.6), "fast": (3.0, 5.0)}
MOST_MS = 8.0
"""Aim on a GPU."""
AGAIN = "stock, channels-last"
WHAT = {"demo": "demo weights", "resnet50": "ResNet-50 FPN, random weights"}
Answers = Mapping[str, Sequence[list[Found]]]


@dataclass(frozen=True)
class Measured:
    """What one network came to."""

    figures: dict[str, Any]
    """By side."""
    wrong: list[str]
    """What is below its gate."""
    notes: tuple[str, ...] = ()


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


def agreement(answers: Answers, name: str) -> Agreement:
    """Of one side with torchvision, over all pictures."""
    found = Agreement()
    for mine, theirs in zip(answers[name], answers["stock"], strict=True):
        found.add(labelled(mine), labelled(theirs))
    return found


def show(times: Mapping[str, Sequence[float]], answers: Answers) -> dict[str, Any]:
    """Print a table; returns its figures."""
    figures: dict[str, Any] = {}
    for name, spent in times.items():
        ratios = sorted(stock / own for stock, own in zip(times["stock"], spent, strict=True))
        found = agreement(answers, name)
        print(
            f"{name:10} {machine.milliseconds(spent)} ms  {statistics.median(ratios):5.2f}x "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f})  IoU {found.matched_iou:.4f}  "
            f"recall {found.recall:.3f}  precision {found.precision:.3f}  "
            f"objects {found.ours} of {found.theirs}, as many on {found.same_count:.0%}"
        )
        figures[name] = {
            "seconds": list(spent),
            "matched_iou": found.matched_iou,
            "recall": found.recall,
            "precision": found.precision,
            "same_count": found.same_count,
        }
    return figures


def judge(answers: Answers, names: Sequence[str], again: str = "stock") -> list[str]:
    """What is below its gate, as lines. What torchvision and its answers ``again`` do not agree on
    is held against nobody."""
    wrong = []
    for tier in names:
        sure, possible = Agreement(), Agreement()
        for mine, *twins in zip(answers[tier], answers["stock"], answers[again], strict=True):
            ours, theirs, others = labelled(mine), *(labelled(twin) for twin in twins)
            unsure = without_partner(theirs, others)
            sure.add(ours, [one for one in theirs if one not in unsure])
            possible.add(ours, theirs + without_partner(others, theirs))
        least, floors = min(sure.recall, possible.precision), FLOORS[tier]
        if least < floors.share or sure.matched_iou < floors.matched_iou:
            wrong.append(f"{tier}: below its gate")
    return wrong


def resnet50(rounds: int, device: torch.device, chosen: tiers.Chosen) -> Measured:
    """Random weights, photographs."""
    names, files = zip(*photographs(), strict=True)
    with tempfile.TemporaryDirectory() as folder:
        network = stock_resnet50()
        calibrate(network, files, objects=OBJECTS, floor=FLOOR)
        weights = save(network, Path(folder))
        sides: dict[str, Side] = {
            "stock": Stock(network, device=device),
            "stock 0.5": Stock(network, FLOOR, device),
            **{tier: Ours(tier, weights, device) for tier in chosen.names},
        }
        if device.type == "cuda":
            sides["stock half"] = stock_half(network, device)
        print(f"ResNet-50 FPN, random weights, {', '.join(names)}, {rounds} rounds")
        times, answers = take_turns(sides, files, rounds)
        answers[AGAIN] = in_another_order(network, files, rounds, device)
    found = agreement(answers, AGAIN)
    note = (
        f"With random weights regions tie. torchvision finds {found.ours} objects instead of "
        f"{found.theirs} when its sums run in another order (channels-last): what only one of the "
        f"two finds is held against nobody."
    )
    print(note)
    return Measured(show(times, answers), judge(answers, ["exact"], AGAIN), (note,))


def in_another_order(
    network: MaskRCNN, files: Sequence[bytes], rounds: int, device: torch.device
) -> list[list[Found]]:
    """What torchvision finds by round where its sums run over memory the other way round."""
    stock = Stock(copy.deepcopy(network).to(memory_format=torch.channels_last), device=device)
    answers = [stock(file, FLOOR) for file in files]
    return [answers[number % len(files)] for number in range(rounds)]


def demo(count: int, device: torch.device, chosen: tiers.Chosen) -> Measured:
    """Demo weights, held-out scenes."""
    sides: dict[str, Side] = {
        "stock": Stock(stock_demo(), device=device),
        **{tier: Ours(tier, "demo", device) for tier in chosen.names},
    }
    files = [encoded(scene(seed).image) for seed in range(HELD_OUT, HELD_OUT + count)]
    print(f"demo network and weights, {count} scenes")
    times, answers = take_turns(sides, files, count)
    return Measured(show(times, answers), judge(answers, chosen.names))


def as_rows(
    part: str, figures: Mapping[str, Any], device: torch.device, chosen: tiers.Chosen
) -> list[machine.Row]:
    """Rows of the page; floors are those of the large network, on a GPU the aim is a time."""
    rows = []
    bounds = chosen.asked(BOUNDS)
    for tier in [name for name in figures if name in (*BOUNDS, "stock half")]:
        theirs, ours, found = figures["stock"]["seconds"], figures[tier]["seconds"], figures[tier]
        asked = part == "resnet50" and device.type == "cpu"
        floor, aim = bounds.get(tier, (None, None)) if asked else (None, None)
        made = machine.row(
            f"Mask R-CNN {WHAT[part]}, JPEG to RLE from 0.5{devices.described(device)}, {tier}",
            "torchvision and pycocotools, float32",
            ours=[s * 1e3 for s in ours],
            theirs=[s * 1e3 for s in theirs],
            unit="ms",
            ratios=[t / o for t, o in zip(theirs, ours, strict=True)],
            floor=floor,
            aim=aim,
            # What bfloat16 loses says nothing where weights, and so scores, are random.
            quality=f"matched IoU {found['matched_iou']:.4f}, recall {found['recall']:.3f}, "
            f"precision {found['precision']:.3f}"
            if part == "demo" or tier == "exact"
            else "",
        )
        if device.type == "cuda" and (part, tier) == ("resnet50", "fast"):
            made = replace(made, aim=MOST_MS, bound="at most", judged="ours")
        rows.append(made)
    return rows


def main() -> None:
    """Measure, print and judge."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    devices.add_argument(parser)
    tiers.add_argument(parser)
    args = parser.parse_args()
    machine.as_engine_process()
    torch.set_num_threads(args.threads)
    device = devices.chosen(args.device)
    print(f"{machine.describe()}{devices.described(device)}, {args.threads} threads")
    chosen = tiers.chosen(args.tiers, device)
    parts: dict[str, Callable[[], Measured]] = {
        "demo": lambda: demo(args.scenes, device, chosen),
        "resnet50": lambda: resnet50(args.rounds, device, chosen),
    }
    results = {name: measure() for name, measure in parts.items()}
    rows = [
        row
        for name, measured in results.items()
        for row in as_rows(name, measured.figures, device, chosen)
    ]
    kept = {name: measured.figures for name, measured in results.items()}
    notes = [*chosen.notes, *(note for measured in results.values() for note in measured.notes)]
    name = f"mask_rcnn{devices.suffix(device)}"
    machine.keep(name, {"threads": args.threads, **kept}, rows=rows, notes=notes)
    wrong = [line for measured in results.values() for line in measured.wrong]
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()

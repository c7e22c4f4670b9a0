"""Memory that one Mask R-CNN request takes: 1920 x 1080 pixels, 100 objects, JPEG to run lengths.

    python benchmarks/mask_rcnn_memory.py [--rounds 3] [--tiers exact,fast]

Each side answers in a new process, with the same random weights of the ResNet-50 FPN: first a small
picture, then the large one. "grown" is how far the resident memory rises at its highest above what
it was before the large one, "held" what of it is still there once the answer is out and features
are dropped.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import machine
import rcnn_sides
import tiers
import torch
from devices import CPU
from photographs import encoded, full_hd
from safetensors.torch import load_file
from skimage import data

from diptych_runtime.front.worker_spawn import ENGINE_ENVIRONMENT

OBJECTS = 100
MOST_SHARE = 1 / 8


def one(side: str, weights: str) -> dict[str, int]:
    """Answer in this process."""
    if side == "stock":
        network = rcnn_sides.stock_resnet50()
        network.load_state_dict(load_file(weights))
        ask: rcnn_sides.Side = rcnn_sides.Stock(network)
    else:
        ask = rcnn_sides.Ours(side, weights)
    file = full_hd()
    ask(encoded(data.coffee()[:64, :640]), 0.0)
    gc.collect()
    before = machine.resident_bytes(os.getpid())
    machine.forget_peak()
    found = ask(file, 0.0)
    grown = machine.peak_bytes() - before
    held = machine.resident_bytes(os.getpid()) - before
    return {"grown": grown, "held": held, "objects": len(found)}


def in_new_process(side: str, weights: str) -> dict[str, int]:
    """What ``one`` says there."""
    command = [sys.executable, __file__, "--one", side, weights]
    # Ours as the service starts it; torchvision as a program of the user's would run.
    environment = os.environ if side == "stock" else ENGINE_ENVIRONMENT | os.environ
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    told = done.stdout
    answer: dict[str, int] = json.loads(told)
    return answer


def measure(sides: Sequence[str], rounds: int) -> dict[str, list[dict[str, int]]]:
    """By side, an answer for each round; the sides take turns."""
    answers: dict[str, list[dict[str, int]]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as folder:
        network = rcnn_sides.stock_resnet50()
        # Twice as many as are kept, so that a rounding error does not leave 99.
        own_floor = network.roi_heads.score_thresh
        network.roi_heads.detections_per_img = 2 * OBJECTS
        rcnn_sides.calibrate(network, [full_hd()], objects=1.5 * OBJECTS, floor=own_floor)
        weights = rcnn_sides.save(network, Path(folder))
        for _ in range(rounds):
            for side in sides:
                answers[side].append(in_new_process(side, weights))
    return answers


def main() -> None:
    """Measure, print and judge."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    tiers.add_argument(parser)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(*args.one)))
        return
    print(machine.describe())
    print(f"{torch.get_num_threads()} threads, medians of {args.rounds} processes")
    chosen = tiers.chosen(args.tiers, CPU)
    bounds = chosen.asked(dict.fromkeys(chosen.names, (MOST_SHARE, 0.1)))
    answers = measure(("stock", *chosen.names), args.rounds)
    grown = {side: statistics.median(a["grown"] for a in given) for side, given in answers.items()}
    for side, given in answers.items():
        held = statistics.median(answer["held"] for answer in given)
        counts = {answer["objects"] for answer in given}
        print(
            f"{side:6} grown {grown[side] / 1e6:7.0f} MB  held {held / 1e6:6.0f} MB  "
            f"1/{grown['stock'] / grown[side]:.1f} of stock  objects {sorted(counts)}"
        )
        if counts != {OBJECTS}:
            raise SystemExit(f"{side}: expected {OBJECTS} objects, got {sorted(counts)}")
    rows = [row(side, answers, *bounds.get(side, (None, None))) for side in chosen.names]
    machine.keep("mask_rcnn_memory", answers, rows=rows, notes=chosen.notes)
    if max(grown[side] for side in bounds) > MOST_SHARE * grown["stock"]:
        raise SystemExit(f"memory: expected at most {MOST_SHARE:.3f} of torchvision's")


def row(
    side: str, answers: Mapping[str, list[dict[str, int]]], floor: float | None, aim: float | None
) -> machine.Row:
    """What a tier takes, and what share of torchvision's that is."""
    ours, theirs = ([a["grown"] / 1e6 for a in answers[name]] for name in (side, "stock"))
    return machine.row(
        f"memory growth of a Mask R-CNN request, 1080p, {OBJECTS} objects, {side}",
        "torchvision and pycocotools",
        ours=ours,
        theirs=theirs,
        unit="MB",
        ratios=[a / b for a, b in zip(ours, theirs, strict=True)],
        bound="at most",
        floor=floor,
        aim=aim,
    )


if __name__ == "__main__":
    main()

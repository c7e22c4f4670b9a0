"""Mean IoU after each click on held-out scenes, and corrections on held-out clips.

python evaluate_clicks.py scenes|corrections [--weights FILE] [--count N] [--first SEED] [--write]

Scenes: five clicks by the clicker of RITM on each object, each with all earlier ones and the
logits of the last answer. Corrections: each object is followed from its mask or box on the first
frame to the end of the clip; then its worst frame, and three fixed ones, get three clicks each. A
correction wins where the IoU rises. Both run through the unmodified predictors, in fp32.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from clicker import next_click
from common import Bools, build_sam2, fit, load, packaged
from evaluate import iou, truths
from evaluate_video import HELD_OUT_CLIPS, SMALLEST, opened, stock, track
from figures import FILE, Figure, dataset, record, share, show
from numpy.typing import NDArray
from sam2.sam2_image_predictor import SAM2ImagePredictor
from scenes import HELD_OUT, crossing_clip, scene

CLICKS = 5
FIXED = (6, 12, 18)  # frames corrected whatever their IoU is
GOOD = 0.9  # from which IoU on a frame of these is left alone
CORRECTIONS = 3  # clicks


def image_predictor(weights: str | Path) -> SAM2ImagePredictor:
    """What ``build_sam2`` makes of the demo's configuration, for still pictures."""
    model = build_sam2()
    model.load_state_dict(load(weights))
    decoder = model.sam_mask_decoder
    decoder.dynamic_multimask_via_stability = True
    decoder.dynamic_multimask_stability_delta = 0.05
    decoder.dynamic_multimask_stability_thresh = 0.98
    return fit(SAM2ImagePredictor(model))


def clicked(predictor: SAM2ImagePredictor, truth: Bools, clicks: int = CLICKS) -> list[float]:
    """IoU after each click on the picture that the predictor holds."""
    free, answer = np.ones_like(truth), np.zeros_like(truth)
    coords: list[NDArray[np.float64]] = []
    labels: list[int] = []
    logits, ious = None, list[float]()
    for _ in range(clicks):
        click = next_click(answer, truth, free)
        if click is not None:
            coords.append(click[0])
            labels.append(int(click[1]))
        lone = len(coords) == 1 and logits is None  # the rule of the service
        masks, scores, low = predictor.predict(
            np.array(coords), np.array(labels), mask_input=logits, multimask_output=lone
        )
        best = int(scores.argmax())
        answer, logits = masks[best] > 0, low[best][None]
        ious.append(iou(answer, truth))
    return ious


def clicks_needed(ious: NDArray[np.float64], least: float) -> float:
    """Mean number of clicks to an IoU of ``least``; objects that miss it count all clicks."""
    reached = ious >= least
    return float(np.where(reached.any(1), reached.argmax(1) + 1, ious.shape[1]).mean())


def scenes(args: argparse.Namespace) -> list[Figure]:
    """Mean IoU after each click, clicks to .85 and .9, and objects that miss .9."""
    predictor = image_predictor(args.weights)
    rows: list[list[float]] = []
    for seed in range(args.first, args.first + args.count):
        one = scene(seed)
        predictor.set_image(one.image)
        rows += [clicked(predictor, truth) for _, truth in truths(one)]
    ious, where = np.array(rows), dataset(args.first, args.count)
    out = [
        Figure(f"mean IoU, {n} click{'s' * (n > 1)}", value, "IoU", where, len(ious))
        for n, value in enumerate(ious.mean(0), 1)
    ]
    for least in (0.85, 0.9):
        name = f"clicks to IoU {least:.2f}, at most {CLICKS}"
        out.append(Figure(name, clicks_needed(ious, least), "clicks", where, len(ious)))
    misses = int((ious.max(1) < 0.9).sum())
    out.append(share(f"objects below IoU 0.90 after {CLICKS} clicks", misses, len(ious), where))
    return out


def corrected(
    predictor: Any, state: Any, number: int, value: int, before: Bools, truth: Bools
) -> list[float]:
    """IoU of a tracked frame before and after each of some clicks on what is wrong with it."""
    free, answer, ious = np.ones_like(truth), before, [iou(before, truth)]
    for count in range(CORRECTIONS):
        click = next_click(answer, truth, free)
        if click is not None:
            _, ids, masks = predictor.add_new_points_or_box(
                *(state, number, value),
                points=click[0][None],
                labels=[int(click[1])],
                clear_old_points=not count,
            )
            answer = (masks[ids.index(value), 0] > 0).numpy()
        ious.append(iou(answer, truth))
    return ious


def corrections(args: argparse.Namespace) -> list[Figure]:
    """Share of corrections that win and the mean IoU before and after, by kind of frame."""
    predictor = stock(args.weights)
    rows: dict[str, list[list[float]]] = {"worst frame": [], "fixed frames": []}
    for count, seed in enumerate(range(args.first, args.first + args.count)):
        frames = crossing_clip(seed)
        state, tracked = followed_clip(predictor, frames, "box" if count % 2 else "mask")
        for value, shown in tracked.items():
            ious = {n: iou(got, frames[n][1] == value) for n, got in shown.items()}
            worst = min(ious, key=lambda n: ious[n])
            fixed = [n for n in FIXED if ious.get(n, 1.0) < GOOD]
            for number in {worst, *fixed}:
                truth = frames[number][1] == value
                found = corrected(predictor, state, number, value, shown[number], truth)
                for kind, here in (
                    ("worst frame", number == worst),
                    ("fixed frames", number in fixed),
                ):
                    rows[kind] += [found] * here
    where = f"{args.count} synthetic clips of 24 frames, seeds {args.first}-"
    where += str(args.first + args.count - 1)
    out = []
    for kind, found in rows.items():
        table, n = np.array(found), len(found)
        for clicks in (1, CORRECTIONS):
            wins, after = int((table[:, clicks] > table[:, 0]).sum()), table[:, clicks].mean()
            name = f"{clicks} click{'s' * (clicks > 1)}, {kind}"
            out.append(share(f"corrections that win, {name}", wins, n, where))
            out.append(Figure(f"mean IoU after {name}", after, "IoU", where, n))
        out.append(Figure(f"mean IoU before, {kind}", table[:, 0].mean(), "IoU", where, n))
    return out


def followed_clip(
    predictor: Any, frames: Any, prompt: str
) -> tuple[Any, dict[int, dict[int, Bools]]]:
    """The session at the end of a clip; the answers by object and frame on which it shows."""
    state = opened(predictor, frames)
    found: dict[int, dict[int, Bools]] = {}
    for value, number, got, _ in track(predictor, frames, prompt, state):
        if (frames[number][1] == value).sum() > SMALLEST:
            found.setdefault(value, {})[number] = got
    return state, found


def main() -> None:
    """Parse the command line, print the figures, with --write put them into figures.json."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("scenes", "corrections"))
    parser.add_argument("--weights", type=Path, default=packaged("sam2"))
    parser.add_argument("--count", type=int, help="scenes (1000) or clips (100)")
    parser.add_argument("--first", type=int, help="seed of the first; default: held-out ones")
    parser.add_argument("--write", action="store_true", help="record the figures")
    parser.add_argument("--file", type=Path, default=FILE, help="where to record them")
    args = parser.parse_args()
    pictures = args.what == "scenes"
    args.count = args.count or (1000 if pictures else 100)
    args.first = args.first or (HELD_OUT if pictures else HELD_OUT_CLIPS)
    figures = scenes(args) if pictures else corrections(args)
    show(figures)
    if args.write:
        record("clicks" if pictures else "corrections", figures, args.file)


if __name__ == "__main__":
    main()

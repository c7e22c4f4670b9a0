"""J and F of tracking on held-out clips, through the unmodified video predictor, in fp32.

python evaluate_video.py [--weights FILE] [--clips 100] [--prompt box|mask] [--write FILE]

J is the mean IoU of the masks, F the boundary measure of DAVIS (a boundary pixel is matched within
0.8 % of the diagonal), both per object over the frames after the prompted first one, then over
objects. Where neither the truth nor the answer has a pixel, both are 1. The object score is counted
where all of an object is hidden, and where more than 300 pixels show, before and after it was.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Bools, box_of, load, packaged
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image
from sam2.sam2_video_predictor import SAM2VideoPredictor
from scenes import crossing_clip

HELD_OUT_CLIPS = 30_000_000
SMALLEST = 300  # pixels an object must show on the first frame to be followed
TOLERANCE = 0.008  # of the diagonal, as DAVIS
Frames = list[tuple[Any, Any]]


def stock(weights: str | Path) -> SAM2VideoPredictor:
    """What ``build_sam2_video_predictor`` makes of the demo's configuration, corrections kept."""
    tree = OmegaConf.load(str(files("diptych_sam2") / "configs" / "demo.yaml"))
    for name, value in {
        "_target_": "sam2.sam2_video_predictor.SAM2VideoPredictor",
        "sam_mask_decoder_extra_args": {
            "dynamic_multimask_via_stability": True,
            "dynamic_multimask_stability_delta": 0.05,
            "dynamic_multimask_stability_thresh": 0.98,
        },
        "binarize_mask_from_pts_for_mem_enc": True,
        "add_all_frames_to_correct_as_cond": True,
    }.items():
        OmegaConf.update(tree, f"model.{name}", value, force_add=True)
    OmegaConf.resolve(tree)
    predictor: SAM2VideoPredictor = instantiate(tree.model, _recursive_=True).eval()
    predictor.load_state_dict(load(weights))
    return predictor


def opened(predictor: SAM2VideoPredictor, frames: Frames) -> Any:
    """A session on the clip; the predictor reads files of JPEG name, here without loss."""
    with tempfile.TemporaryDirectory() as folder:
        for number, (picture, _) in enumerate(frames):
            Image.fromarray(picture).save(Path(folder) / f"{number:05d}.jpg", format="PNG")
        return predictor.init_state(folder)


def boundary(mask: Bools) -> Bools:
    """Pixels that differ from the right, lower or diagonal neighbour, as DAVIS draws them."""
    wide = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    edge: Bools = (mask ^ wide[1:, :-1]) | (mask ^ wide[:-1, 1:]) | (mask ^ wide[1:, 1:])
    return edge


def widened(mask: Bools, radius: int) -> Bools:
    """The mask dilated by a disc."""
    height, width = mask.shape
    room, out = np.pad(mask, radius), np.zeros_like(mask)
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            if dy * dy + dx * dx <= radius * radius:
                y, x = radius + dy, radius + dx
                out |= room[y : y + height, x : x + width]
    return out


def measures(got: Bools, truth: Bools) -> tuple[float, float]:
    """J and F of one mask."""
    if not got.any() and not truth.any():
        return 1.0, 1.0
    j = float((got & truth).sum() / (got | truth).sum())
    ours, theirs = boundary(got), boundary(truth)
    if not ours.any() or not theirs.any():
        return j, 0.0
    radius = int(np.ceil(TOLERANCE * np.hypot(*truth.shape)))
    precision = (ours & widened(theirs, radius)).sum() / ours.sum()
    recall = (theirs & widened(ours, radius)).sum() / theirs.sum()
    return j, float(2 * precision * recall / max(precision + recall, 1e-9))


def followed(frames: Frames) -> list[int]:
    """Labels of the objects that show enough of themselves on the first frame."""
    area = np.bincount(frames[0][1].ravel(), minlength=2)
    return [v for v in range(1, len(area)) if area[v] > SMALLEST]


@torch.inference_mode()
def track(
    predictor: SAM2VideoPredictor, frames: Frames, prompt: str, session: Any = None
) -> Iterator[tuple[int, int, Bools, float]]:
    """Label, frame number, mask and object score of every followed object after frame 0.

    ``session`` comes from ``opened``; without one the clip gets its own.
    """
    state = opened(predictor, frames) if session is None else session
    for value in followed(frames):
        mask = frames[0][1] == value
        if prompt == "box":
            predictor.add_new_points_or_box(state, 0, value, box=box_of(mask))
        else:
            predictor.add_new_mask(state, 0, value, mask)
    for number, values, logits in predictor.propagate_in_video(state):
        for index, value in enumerate(values if number else []):
            kept = state["output_dict_per_obj"][index]["non_cond_frame_outputs"][number]
            score = kept["object_score_logits"].sigmoid().item()
            yield value, number, (logits[index, 0] > 0).numpy(), score


def evaluate(args: argparse.Namespace) -> dict[str, float]:
    """The figures over all clips; prints them as they come."""
    predictor = stock(args.weights)
    js, fs = list[float](), list[float]()  # one value per object
    # whether the score said so, per object and frame: visible, visible again, hidden
    said: dict[str, list[bool]] = {"seen": [], "again": [], "hidden": []}
    figures: dict[str, float] = {}
    for count, seed in enumerate(range(args.first, args.first + args.clips), 1):
        frames = crossing_clip(seed, args.frames)
        values: dict[int, list[tuple[float, float]]] = {}
        lost = set[int]()
        for value, number, got, score in track(predictor, frames, args.prompt):
            truth = frames[number][1] == value
            values.setdefault(value, []).append(measures(got, truth))
            if not truth.any():
                said["hidden"].append(score < 0.5)
                lost.add(value)
            elif truth.sum() > SMALLEST:
                said["again" if value in lost else "seen"].append(score >= 0.5)
        for rows in values.values():
            j, f = np.mean(rows, 0).tolist()
            js.append(j)
            fs.append(f)
        figures = {"clips": count, "objects": len(js), "J": mean(js), "F": mean(fs)}
        figures["J&F"] = (figures["J"] + figures["F"]) / 2
        for name, right in said.items():
            figures |= {f"score right, {name}": mean(right), f"frames, {name}": len(right)}
        if count % args.every == 0 or count == args.clips:
            print(args.prompt, {k: round(v, 4) for k, v in figures.items()}, flush=True)
    return figures


def mean(values: Sequence[float]) -> float:
    """The mean, or NaN of nothing."""
    return float(np.mean(values)) if values else float("nan")


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default=packaged("sam2"))
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--first", type=int, default=HELD_OUT_CLIPS)
    parser.add_argument("--prompt", choices=("box", "mask"), default="mask")
    parser.add_argument("--every", type=int, default=10, help="clips between two lines")
    parser.add_argument("--write", help="file for the figures, JSON")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    figures = evaluate(args)
    if args.write:
        Path(args.write).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Figures on held-out scenes through the unmodified predictors, computed in fp32.

python evaluate.py sam2|automatic|mask|keypoint [--weights FILE] [--scenes 1000] [--write]
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from automatic import DEFAULTS, generator, overlaps
from common import Bools, box_of, build_sam2, fit, load, packaged
from figures import FILE, Figure, dataset, record, share, show
from numpy.typing import NDArray
from sam2.sam2_image_predictor import SAM2ImagePredictor
from scenes import CLASSES, HELD_OUT, KEYPOINTS, PERSON, Scene, scene

from diptych_maskrcnn.network.demo_model import build_keypoint, build_mask

SEEN = 0.5  # score from which a detection counts as seen
NEAR = 0.1  # of the longer box side, for PCK
Output = dict[str, NDArray[Any]]


def truths(one: Scene) -> list[tuple[int, Bools]]:
    """Class and visible mask of each object."""
    masks = [(c, one.labels == i) for i, c in enumerate(one.classes, 1)]
    return [(c, mask) for c, mask in masks if mask.any()]


def held_out(args: argparse.Namespace) -> Iterator[Scene]:
    """The scenes to evaluate on."""
    for seed in range(args.first, args.first + args.scenes):
        yield scene(seed)


def iou(a: Bools, b: Bools) -> float:
    """Intersection over union of two masks of one shape."""
    return float((a & b).sum() / max((a | b).sum(), 1))


def innermost(mask: Bools) -> NDArray[np.float64]:
    """The x, y of the pixel that outlasts erosion: for a ring it lies on the ring."""
    left = np.pad(mask, 1)
    while True:
        sides = (np.roll(left, shift, axis) for shift in (1, -1) for axis in (0, 1))
        eroded: Bools = np.logical_and.reduce([left, *sides])
        if not eroded.any():
            ys, xs = np.nonzero(left)
            index = np.argmin((ys - ys.mean()) ** 2 + (xs - xs.mean()) ** 2)
            return np.array([xs[index] - 0.5, ys[index] - 0.5])
        left = eroded


def sam2(args: argparse.Namespace) -> list[Figure]:
    """Mean IoU for the tight box and for the innermost point of every visible object."""
    model = build_sam2()
    model.load_state_dict(load(args.weights))
    predictor = fit(SAM2ImagePredictor(model))
    rows = defaultdict(list)
    for one in held_out(args):
        predictor.set_image(one.image)
        for category, truth in truths(one):
            click = {"point_coords": innermost(truth)[None], "point_labels": [1]}
            boxed = predictor.predict(box=box_of(truth), multimask_output=False)[0]
            single = predictor.predict(**click, multimask_output=False)[0]
            three, scores, _ = predictor.predict(**click, multimask_output=True)
            values = [iou(mask > 0, truth) for mask in (*boxed, *single, *three)]
            best = values[2 + int(scores.argmax())]
            rows[category].append([values[0], values[1], best, max(values[2:])])
    table = np.concatenate([np.array(r) for r in rows.values()])
    names = ("box, single mask", "point, single mask", "point, best score of three")
    where = dataset(args.first, args.scenes)
    out = [
        Figure(f"mean IoU, {name}", value, "IoU", where, len(table))
        for name, value in zip((*names, "point, oracle of three"), table.mean(0), strict=True)
    ]
    for category in sorted(rows):
        for name, value in zip(names, np.mean(rows[category], 0)[:3], strict=True):
            label = f"mean IoU, {name}, {CLASSES[category]}"
            out.append(Figure(label, value, "IoU", where, len(rows[category])))
    return out


def automatic(args: argparse.Namespace) -> list[Figure]:
    """Recall and number of masks of the automatic mode at its chosen defaults."""
    model = build_sam2()
    model.load_state_dict(load(args.weights))
    everything = generator(model, **DEFAULTS)
    counts = np.zeros(6, int)  # objects, found objects, backgrounds, found ones, masks, good masks
    for one in held_out(args):
        masks = np.array([m["segmentation"] for m in everything.generate(one.image)])
        regions = [one.labels == 0, *(mask for _, mask in truths(one))]
        hit = overlaps(masks.reshape(-1, *one.labels.shape), np.array(regions)) >= 0.5
        found = np.asarray(hit.any(0))
        counts += [len(found) - 1, found[1:].sum(), 1, found[0], len(masks), hit.any(1).sum()]
    objects, seen, backgrounds, seen_backgrounds, masks_all, good = counts.tolist()
    regions_all, where = objects + backgrounds, dataset(args.first, args.scenes)
    either = seen + seen_backgrounds
    return [
        share("automatic mode, recall of objects at IoU 0.5", seen, objects, where),
        share(
            "automatic mode, recall of objects and background at IoU 0.5",
            either,
            regions_all,
            where,
        ),
        Figure(
            "automatic mode, masks per region", masks_all / regions_all, "masks", where, regions_all
        ),
        share("automatic mode, masks that match a region at IoU 0.5", good, masks_all, where),
    ]


def average_precision(scores: list[float], hits: list[bool], count: int) -> float:
    """Area under the precision envelope at the 101 recalls of COCO."""
    order = np.argsort(-np.array(scores), kind="stable")
    positives = np.cumsum(np.array(hits, bool)[order])
    recall, precision = positives / count, positives / np.arange(1, len(order) + 1)
    envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
    return float(envelope[np.searchsorted(recall, np.linspace(0, 1, 101) - 1e-9)].mean())


@torch.no_grad()
def detect(model: torch.nn.Module, one: Scene) -> Output:
    """The detector's output for one scene, as arrays."""
    x = torch.from_numpy(one.image).permute(2, 0, 1).float() / 255
    return {name: value.numpy() for name, value in model([x])[0].items()}


def matches(out: Output, objects: list[tuple[int, Bools]], least: float) -> list[bool]:
    """Whether each detection, best score first, takes an object of its class not yet taken."""
    taken: set[int] = set()
    hits: list[bool] = []
    for label, mask in zip(out["labels"], out["masks"][:, 0] > 0.5, strict=True):
        free = [(iou(mask, t), j) for j, (c, t) in enumerate(objects) if c == label]
        overlap, index = max((pair for pair in free if pair[1] not in taken), default=(0.0, -1))
        hits.append(bool(overlap >= least))
        if overlap >= least:
            taken.add(index)
    return hits


def mask(args: argparse.Namespace) -> list[Figure]:
    """Mask AP50 and AP75, mean over the classes and per class."""
    model = build_mask()
    model.load_state_dict(load(args.weights))
    counts: dict[int, int] = defaultdict(int)
    rows = defaultdict(list)
    for one in held_out(args):
        objects = truths(one)
        for category, _ in objects:
            counts[category] += 1
        out = detect(model, one)
        hits = zip(matches(out, objects, 0.5), matches(out, objects, 0.75), strict=True)
        for label, score, hit in zip(out["labels"], out["scores"], hits, strict=True):
            rows[int(label)].append((float(score), *hit))
    figures, where = [], dataset(args.first, args.scenes)
    for column, name in ((1, "mask AP50"), (2, "mask AP75")):
        values = {
            c: average_precision([r[0] for r in rows[c]], [bool(r[column]) for r in rows[c]], n)
            for c, n in sorted(counts.items())
        }
        mean = float(np.mean(list(values.values())))
        figures.append(Figure(name, mean, "AP", where, sum(counts.values())))
        for c, value in values.items():
            figures.append(Figure(f"{name}, {CLASSES[c]}", value, "AP", where, counts[c]))
    return sorted(figures, key=lambda figure: "," in figure.name)


def box_overlaps(boxes: NDArray[np.float32], box: NDArray[np.float32]) -> NDArray[np.float32]:
    """IoU (N,) of boxes (N, 4) with one box (4,)."""
    sides = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    shared = np.clip(sides, 0, None).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (box[2:] - box[:2]).prod()
    return np.asarray(shared / (areas - shared))


def keypoint(args: argparse.Namespace) -> list[Figure]:
    """PCK over visible points of all people (missed ones count as wrong), and false people."""
    model = build_keypoint()
    model.load_state_dict(load(args.weights))
    right, visible = np.zeros(17, int), np.zeros(17, int)
    people = found = empty = fooled = 0
    for one in held_out(args):
        out = detect(model, one)
        kept = out["scores"] > SEEN
        boxes, points = out["boxes"][kept], out["keypoints"][kept]
        here = [i for i, c in enumerate(one.classes) if c == PERSON]
        empty, fooled = empty + (not here), fooled + (not here and len(boxes) > 0)
        for i in here:
            box, truth = box_of(one.labels == i + 1), one.keypoints[i]
            shown = truth[:, 2] == 2
            people, visible = people + 1, visible + shown
            overlap = box_overlaps(boxes, box)
            if overlap.max(initial=0) < 0.5:
                continue
            found += 1
            apart = np.linalg.norm(points[overlap.argmax()][:, :2] - truth[:, :2], axis=1)
            right += shown & (apart <= NEAR * (box[2:] - box[:2]).max())
    where = dataset(args.first, args.scenes)
    out_figures = [
        share("PCK@0.1", right.sum(), int(visible.sum()), where),
        share("people found at score 0.5, IoU 0.5", found, people, where),
        share("scenes without people where one is seen", fooled, empty, where),
    ]
    for name, hit, count in zip(KEYPOINTS, right, visible, strict=True):
        out_figures.append(share(f"PCK@0.1, {name}", hit, int(count), where))
    return out_figures


def main() -> None:
    """Parse the command line, print the figures, with --write put them into figures.json."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("sam2", "automatic", "mask", "keypoint"))
    parser.add_argument("--weights", type=Path, help="default: the packaged file")
    parser.add_argument("--scenes", type=int, default=1000)
    parser.add_argument("--first", type=int, default=HELD_OUT, help="seed of the first scene")
    parser.add_argument("--write", action="store_true", help="record the figures")
    parser.add_argument("--file", type=Path, default=FILE, help="where to record them")
    args = parser.parse_args()
    args.weights = args.weights or packaged("sam2" if args.what == "automatic" else args.what)
    figures: list[Figure] = globals()[args.what](args)
    show(figures)
    if args.write:
        record(args.what, figures, args.file)
        if args.what == "automatic":
            record("automatic_defaults", DEFAULTS, args.file)


if __name__ == "__main__":
    main()

"""Train the nano Mask R-CNN, or with --keypoints the nano Keypoint R-CNN, on a pool of scenes."""

from __future__ import annotations

import argparse

import numpy as np
import torch
from common import HELD_BACK, Average, Log, box_of, learning_rate, load, save
from numpy.typing import NDArray
from pool import Pool
from scenes import CLASSES, MIRRORED, PERSON
from torch import Tensor

from diptych_maskrcnn.network.demo_model import build_keypoint, build_mask

Target = dict[str, Tensor]

CONFUSED = [CLASSES.index("cross"), CLASSES.index("star")]
"""What a detector of people mistakes for them: scenes with these come more often as negatives."""
WITH_PEOPLE = 0.55  # share of scenes with a person when training on key points
THINNEST = 4  # pixels; narrower remains of an object are no target


class Batches:
    """Random flipped and recoloured scenes in torchvision's format."""

    def __init__(self, folder: str, seed: int, keypoints: bool) -> None:
        self.pool, self.keypoints = Pool.load(folder), keypoints
        self.rng = np.random.default_rng(seed)
        classes = np.asarray(self.pool.classes[:-HELD_BACK])
        self.count = len(classes)
        self.shares = _shares(classes) if keypoints else None

    def item(self, index: int) -> tuple[Tensor, Target]:
        """A (3, S, S) picture 0..1 and its target; with key points, people only, maybe none."""
        picture = self.pool.image[index][..., self.rng.permutation(3)]
        labels, points = self.pool.labels[index], self.pool.keypoints[index].copy()
        if self.rng.random() < 0.5:
            picture, labels = picture[:, ::-1], labels[:, ::-1]
            points[..., 0] = np.where(points[..., 2] > 0, labels.shape[1] - points[..., 0], 0)
            points = points[:, MIRRORED]
        kept: list[int] = []
        for value in range(1, int(labels.max()) + 1):
            mask = labels == value
            wanted = not self.keypoints or self.pool.classes[index, value - 1] == PERSON
            if wanted and min(mask.any(0).sum(), mask.any(1).sum()) >= THINNEST:
                kept.append(value)
        x = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1).float() / 255
        return x, self._target(index, labels, points, kept)

    def _target(
        self, index: int, labels: NDArray[np.uint8], points: NDArray[np.float32], kept: list[int]
    ) -> Target:
        masks = np.array([labels == value for value in kept]).reshape(-1, *labels.shape)
        boxes = np.array([box_of(mask) for mask in masks], np.float32).reshape(-1, 4)
        rows = [value - 1 for value in kept]
        target = {"boxes": torch.from_numpy(boxes)}
        if self.keypoints:
            target["labels"] = torch.ones(len(kept), dtype=torch.int64)
            target["keypoints"] = torch.from_numpy(points[rows].reshape(-1, 17, 3))
            target["keypoints"][..., 2].clamp_(max=1)
        else:
            target["labels"] = torch.from_numpy(self.pool.classes[index][rows].astype(np.int64))
            target["masks"] = torch.from_numpy(masks.astype(np.uint8))
        return target

    def draw(self, count: int) -> tuple[list[Tensor], list[Target]]:
        """``count`` scenes, at least one of them with a target."""
        while True:
            indices = self.rng.choice(self.count, count, p=self.shares)
            pictures, targets = zip(*(self.item(int(i)) for i in indices), strict=True)
            if any(len(target["labels"]) for target in targets):
                return list(pictures), list(targets)


def _shares(classes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How often each of N scenes is drawn for key points; ``classes`` is (N, 6)."""
    people = (classes == PERSON).any(1)
    weights = np.where(people, 0, 1 + 2 * np.isin(classes, CONFUSED).sum(1))
    shares = people * WITH_PEOPLE / people.sum() + weights * (1 - WITH_PEOPLE) / weights.sum()
    return np.asarray(shares / shares.sum(), np.float64)


def warm_start(model: torch.nn.Module, path: str) -> None:
    """Copy every tensor whose name and shape fit."""
    own = model.state_dict()
    fit = {k: v for k, v in load(path).items() if k in own and own[k].shape == v.shape}
    model.load_state_dict(fit, strict=False)
    print(f"warm start: {len(fit)} of {len(own)} tensors")


def train(args: argparse.Namespace) -> Average:
    """Run ``args.steps`` steps and return the averaged weights."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    model = (build_keypoint() if args.keypoints else build_mask()).train()
    if args.init:
        warm_start(model, args.init)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.02)
    average, log = Average(model, decay=0.998), Log()
    batches = Batches(args.pool, args.seed, args.keypoints)
    for step in range(args.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, args.steps, args.lr)
        losses: dict[str, Tensor] = model(*batches.draw(args.batch))
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        average.update()
        log.add(step + 1, {k.removeprefix("loss_"): v.item() for k, v in losses.items()})
    return average


def main() -> None:
    """Parse the command line, train, write the averaged weights in fp32."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pool", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--init", help="start from these weights")
    parser.add_argument("--keypoints", action="store_true")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch", type=int, default=6, help="scenes in a step")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    save(train(args).state, args.out, half=False, steps=args.steps, seed=args.seed)


if __name__ == "__main__":
    main()

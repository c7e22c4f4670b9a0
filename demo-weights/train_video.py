"""Train only the memory of the nano SAM 2 on clips; what answers on pictures stays frozen.

A batch of objects goes through SAM2Base.track_step, the code that the video predictor runs: a box
or a mask on the first frame, nothing on the others. Of the decoder only the small network that
reads the object score is trained: still pictures never ask for it, and its training repeats that
prompted objects are visible.
"""

from __future__ import annotations

import argparse
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from common import Log, box_of, build_sam2, learning_rate, load, save
from prompts import CORNER, MEAN, OPPOSITE, STD
from sam2.modeling.sam2_base import SAM2Base
from scenes import clip, crossing_clip
from torch import Tensor, nn
from train_sam2 import plain_attention
from video_start import initialise, reset_score, still_tokens

HEAD = "sam_mask_decoder.pred_obj_score_head"
MEMORY = (
    *("memory_attention", "memory_encoder", "maskmem_tpos_enc", "no_mem_pos_enc"),
    *("obj_ptr_proj", "obj_ptr_tpos_proj", "no_obj_ptr", "no_obj_embed_spatial", HEAD),
)
SMALLEST = 300  # pixels that an object must show on the first frame
WINDOW = 12  # frames of a clip that are kept
KEPT_CLIPS = 150


@dataclass
class Clip:
    """Frozen features and labels of T frames."""

    levels: list[Tensor]  # (T, C, h, w) fp16, finest first
    labels: Tensor  # (T, S, S) uint8


@dataclass
class Batch:
    """O objects, each in its own clip, over T frames."""

    levels: list[list[Tensor]]  # per frame and level (h * w, O, C)
    truth: Tensor  # (T, O, S, S) bool


@torch.no_grad()
def encoded(model: SAM2Base, rng: np.random.Generator) -> Clip:
    """The features of a new clip."""
    seed = int(rng.integers(1 << 24))
    if rng.random() < 0.25:
        shots = clip(seed, WINDOW, speed=float(rng.uniform(4, 14)))
    else:
        first = int(rng.integers(0, 24 - WINDOW + 1))
        window = range(first, first + WINDOW)
        shots = crossing_clip(seed, only=window, blink=bool(rng.random() < 0.6))
    pictures = torch.from_numpy(np.stack([picture for picture, _ in shots]))
    x = (pictures.permute(0, 3, 1, 2).float() / 255 - MEAN) / STD
    levels = [level.half() for level in model.forward_image(x)["backbone_fpn"]]
    return Clip(levels, torch.from_numpy(np.stack([labels for _, labels in shots])))


def draw(clips: deque[Clip], objects: int, frames: int, rng: np.random.Generator) -> Batch:
    """Objects of stored clips, some backwards, some at double speed."""
    levels: list[list[Tensor]] = []
    truth: list[Tensor] = []
    while len(truth) < objects:
        one = clips[int(rng.integers(len(clips)))]
        stride = 2 if rng.random() < 0.25 and 2 * frames <= WINDOW else 1
        first = int(rng.integers(0, WINDOW - stride * (frames - 1)))
        order = first + stride * torch.arange(frames)
        order = order.flip(0) if rng.random() < 0.5 else order
        area = torch.bincount(one.labels[order[0]].flatten().long(), minlength=2)
        fit = [v for v in range(1, len(area)) if area[v] > SMALLEST]
        # hidden objects are rare without this preference
        masks = {v: one.labels[order] == v for v in rng.permutation(fit)}
        lost = [v for v, mask in masks.items() if not bool(mask.flatten(1).any(1).all())]
        for value in (lost if lost and rng.random() < 0.7 else list(masks))[:2]:
            truth.append(masks[value])
            levels.append([level[order] for level in one.levels])
    per_level = [torch.stack([x[i] for x in levels[:objects]]) for i in range(len(levels[0]))]
    maps = [
        [level[:, t].float().flatten(2).permute(2, 0, 1) for level in per_level]
        for t in range(frames)
    ]
    return Batch(maps, torch.stack(truth[:objects], 1))


def first_prompt(masks: Tensor, rng: np.random.Generator) -> dict[str, Any]:
    """Masks or boxes of the (O, S, S) objects of the first frame, as track_step takes them."""
    if rng.random() < 0.65:
        return {"point_inputs": None, "mask_inputs": masks[:, None].float()}
    boxes = torch.from_numpy(np.stack([box_of(mask).reshape(2, 2) for mask in masks.numpy()]))
    labels = torch.tensor([[CORNER, OPPOSITE]] * len(masks), dtype=torch.int32)
    return {"point_inputs": {"point_coords": boxes, "point_labels": labels}, "mask_inputs": None}


def frame_loss(logits: Tensor, score: Tensor, truth: Tensor) -> Tensor:
    """BCE and dice for visible objects of the (O, K, s, s) logits, presence for all."""
    area = truth.flatten(1).sum(1)
    target = F.interpolate(truth[:, None].float(), size=logits.shape[-2:], mode="area")
    target, p = target.expand_as(logits), logits.sigmoid()
    shared, total = (p * target).sum((2, 3)), p.sum((2, 3)) + target.sum((2, 3))
    dice = (1 - (2 * shared + 1) / (total + 1)).mean(1)
    bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean((1, 2, 3))
    visible = (area > 30).float()
    wanted = (area > 0).float()
    presence = F.binary_cross_entropy_with_logits(score[:, 0], wanted, reduction="none")
    sure = (wanted == visible).float()  # a few pixels are neither
    return ((4 * bce + dice) * visible + presence * sure).mean()


class Tracker:
    """Runs batches of objects through the model and keeps what the loss needs."""

    def __init__(self, model: SAM2Base) -> None:
        self.model, self.sizes = model, [(s, s) for s in (64, 32, 16)]
        channels = [model.hidden_dim // 8, model.hidden_dim // 4, model.hidden_dim]
        side = self.sizes[-1][0]
        place = model.image_encoder.neck.position_encoding(torch.zeros(1, 1, side, side))
        self.place = place.flatten(2).permute(2, 0, 1)
        self.channels = channels
        # track_step keeps only the mask it chose; the loss needs every candidate
        self.raw: list[tuple[Any, ...]] = []
        model.sam_mask_decoder.register_forward_hook(lambda _, __, out: self.raw.append(out))
        self.seen: list[Tensor] = []
        model.memory_attention.register_forward_hook(lambda _, __, out: self.seen.append(out))

    def run(
        self, batch: Batch, rng: np.random.Generator, forced: float, extent: nn.Module | None
    ) -> tuple[Tensor, dict[str, float]]:
        """Loss over the frames after the first; memories are made of the truth with ``forced``."""
        frames, objects = batch.truth.shape[:2]
        memory: dict[str, dict[int, Any]] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
        loss, log = torch.zeros(()), dict[str, float]()
        for t in range(frames):
            truth, levels = batch.truth[t], batch.levels[t]
            prompt: dict[str, Any] = {"point_inputs": None, "mask_inputs": None}
            prompt = first_prompt(truth, rng) if t == 0 else prompt
            places = [self.place.expand(-1, objects, -1)] * 3
            out = self.model.track_step(
                *(t, t == 0, levels, places, self.sizes),
                output_dict=memory,
                num_frames=1000,
                **prompt,
            )
            logits, _, _, score = self.raw.pop()
            if t == 0:
                loss = loss + 0.3 * F.softplus(3 - score).mean()
            else:
                loss = loss + frame_loss(logits, score, truth) / (frames - 1)
                seen = self.seen.pop()
                if extent is not None:
                    share = F.avg_pool2d(truth[:, None].float(), 16).flatten(2).permute(2, 0, 1)
                    loss = loss + F.binary_cross_entropy_with_logits(extent(seen), share)
                log |= _figures(out, truth, t)
            if t and t < frames - 1 and rng.random() < forced:
                appears = truth.flatten(1).any(1)[:, None].float() * 20 - 10
                made = self.model._encode_new_memory(
                    levels, self.sizes, truth[:, None].float() * 20 - 10, appears, False
                )
                out["maskmem_features"], out["maskmem_pos_enc"] = made
            memory["non_cond_frame_outputs" if t else "cond_frame_outputs"][t] = out
        return loss, log


@torch.no_grad()
def _figures(out: dict[str, Any], truth: Tensor, t: int) -> dict[str, float]:
    got = out["pred_masks_high_res"][:, 0] > 0
    shown = truth.flatten(1).any(1)
    union = (got | truth).sum((1, 2)).clamp(min=1)
    ious = ((got & truth).sum((1, 2)) / union)[shown]
    log = {f"frame {t}": ious.mean().item()} if shown.any() else {}
    score = out["object_score_logits"][:, 0] > 0
    log |= {"seen": score[shown].float().mean().item()} if shown.any() else {}
    return log | ({"hidden": (~score[~shown]).float().mean().item()} if (~shown).any() else {})


def train(args: argparse.Namespace) -> SAM2Base:
    """Run ``args.steps`` steps, or as many as fit into ``args.minutes``."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    setattr(F, "scaled_dot_product_attention", plain_attention)  # noqa: B010
    model = build_sam2()  # in eval mode: no dropout
    model.load_state_dict(load(args.init))
    model.binarize_mask_from_pts_for_mem_enc = True  # as the video predictor
    rng, log = np.random.default_rng(args.seed), Log(every=25)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(MEMORY))
    clips: deque[Clip] = deque([encoded(model, rng) for _ in range(12)], maxlen=KEPT_CLIPS)
    tokens = still_tokens(model, args.stills, rng)
    if not args.trained:
        coarse = torch.cat([one.levels[2] for one in clips]).float()
        initialise(model, coarse.permute(0, 2, 3, 1).flatten(0, 2))
        reset_score(model)
    head = model.sam_mask_decoder.pred_obj_score_head
    extent = nn.Linear(model.hidden_dim, 1)  # for training only
    parameters = [p for p in model.parameters() if p.requires_grad]
    others = [p for n, p in model.named_parameters() if p.requires_grad and HEAD not in n]
    groups = [
        {"params": [*others, *extent.parameters()], "times": 1.0},
        # hidden objects are rare: with the usual beta and epsilon Adam would blow up the faint
        # gradients of the many visible ones in between, and the score would only rise
        {"params": list(head.parameters()), "times": 6.0, "betas": (0.9, 0.999), "eps": 1e-2},
    ]
    optimizer = torch.optim.AdamW(groups, args.lr, (0.9, 0.97), weight_decay=0.01, fused=True)
    tracker, began = Tracker(model), time.monotonic()
    for step in range(args.steps):
        spent = (time.monotonic() - began) / 60 / args.minutes if args.minutes else 0.0
        spent = max(spent, step / args.steps)
        if spent >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(int(1e4 * spent), 10_000, args.lr, warmup=1)
            group["lr"] *= min(1.0, (step + 1) / 30) * group["times"]
        if step % args.fresh == 0:
            clips.append(encoded(model, rng))
        early = not args.trained and spent < 0.3
        frames = 3 if early else int(rng.choice([4, 5, 6, 8]))
        batch = draw(clips, max(2, args.decodes // frames), frames, rng)
        forced = max(0.0, 0.9 - 2 * spent) if not args.trained else 0.0
        loss, figures = tracker.run(batch, rng, forced, extent if early else None)
        still = head(tokens[torch.randint(len(tokens), (256,))])
        loss = loss + 0.3 * F.softplus(2 - still).mean() + 0.1 * F.relu(2 - still).max()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 2.0)
        optimizer.step()
        log.add(step + 1, {"loss": loss.item(), "still": still.min().item(), **figures})
        if args.every and (step + 1) % args.every == 0:
            save(model.state_dict(), args.out, half=False, image_size=256, memory_steps=step + 1)
    return model


def main() -> None:
    """Parse the command line, train, write the weights in fp32."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--init", required=True, help="weights to start from")
    parser.add_argument("--trained", action="store_true", help="their memory is trained already")
    parser.add_argument("--out", required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--minutes", type=float, default=0.0, help="stop earlier")
    parser.add_argument("--decodes", type=int, default=18, help="objects times frames of a step")
    parser.add_argument("--fresh", type=int, default=3, help="steps between new clips")
    parser.add_argument("--stills", type=int, default=40, help="pictures for the object score")
    parser.add_argument("--every", type=int, default=0, help="steps between saved states")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    model = train(args)
    save(model.state_dict(), args.out, half=False, image_size=256, memory_steps=args.steps)


if __name__ == "__main__":
    main()

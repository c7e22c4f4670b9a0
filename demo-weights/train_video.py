"""Train only the memory of the nano SAM 2 on short clips; everything else stays frozen.

A clip goes through SAM2Base.track_step, the code that the video predictor runs: a box or a mask on
the first frame, nothing on the others.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from common import Log, box_of, build_sam2, learning_rate, load, save
from numpy.typing import NDArray
from prompts import CORNER, MEAN, OPPOSITE, STD
from sam2.modeling.sam2_base import SAM2Base
from scenes import clip
from torch import Tensor, nn
from train_sam2 import plain_attention

MEMORY = (
    *("memory_attention", "memory_encoder", "maskmem_tpos_enc", "no_mem_pos_enc"),
    *("obj_ptr_proj", "obj_ptr_tpos_proj", "mask_downsample"),
)
SMALLEST = 300  # pixels that an object must show in every frame


@dataclass
class Clip:
    """T frames and the masks of the O objects to follow."""

    frames: Tensor  # (T, 3, S, S), normalised
    truth: Tensor  # (T, O, S, S) bool


def draw(rng: np.random.Generator, frames: int, objects: int) -> Clip:
    """A clip of new scenes with one to ``objects`` objects that stay in sight."""
    while True:
        shots = clip(int(rng.integers(1 << 40)), frames)
        values = range(1, int(shots[0][1].max()) + 1)
        shown = [v for v in values if all((labels == v).sum() > SMALLEST for _, labels in shots)]
        if shown:
            break
    chosen: NDArray[np.int64] = rng.permutation(shown)[:objects]
    pictures = np.stack([picture for picture, _ in shots])
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    truth = np.stack([[labels == v for v in chosen] for _, labels in shots])
    return Clip((x - MEAN) / STD, torch.from_numpy(truth))


def first_prompt(masks: Tensor, rng: np.random.Generator) -> dict[str, Any]:
    """Masks or boxes of the (O, S, S) objects of the first frame, as track_step takes them."""
    if rng.random() < 0.5:
        return {"point_inputs": None, "mask_inputs": masks[:, None].float()}
    boxes = torch.from_numpy(np.stack([box_of(mask).reshape(2, 2) for mask in masks.numpy()]))
    labels = torch.tensor([[CORNER, OPPOSITE]] * len(masks), dtype=torch.int32)
    return {"point_inputs": {"point_coords": boxes, "point_labels": labels}, "mask_inputs": None}


def frame_loss(logits: Tensor, score: Tensor, truth: Tensor) -> Tensor:
    """BCE, dice and presence for the (O, K, s, s) logits that the decoder returned."""
    target = F.interpolate(truth[:, None].float(), size=logits.shape[-2:], mode="area")
    target, p = target.expand_as(logits), logits.sigmoid()
    shared, total = (p * target).sum((2, 3)), p.sum((2, 3)) + target.sum((2, 3))
    dice = 1 - (2 * shared + 1) / (total + 1)
    bce = F.binary_cross_entropy_with_logits(logits, target)
    return 2 * bce + dice.mean() + 0.1 * F.softplus(-score).mean()


def clip_loss(
    model: SAM2Base, one: Clip, rng: np.random.Generator
) -> tuple[Tensor, dict[str, float]]:
    """Loss over the frames after the first, and the IoU of the followed masks per frame."""
    count, objects = one.truth.shape[:2]
    with torch.no_grad():
        _, maps, places, sizes = model._prepare_backbone_features(model.forward_image(one.frames))
    memory: dict[str, dict[int, Any]] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
    raw: list[tuple[Any, ...]] = []
    # track_step keeps only the mask it chose; the loss needs every candidate
    hook = model.sam_mask_decoder.register_forward_hook(lambda _, __, out: raw.append(out))
    loss, log = torch.zeros(()), {}
    for t in range(count):
        seen = [level[:, t : t + 1].expand(-1, objects, -1) for level in maps]
        where = [level[:, t : t + 1].expand(-1, objects, -1) for level in places]
        prompt: dict[str, Any] = {"point_inputs": None, "mask_inputs": None}
        prompt = first_prompt(one.truth[0], rng) if t == 0 else prompt
        out = model.track_step(
            t, t == 0, seen, where, sizes, output_dict=memory, num_frames=count, **prompt
        )
        memory["non_cond_frame_outputs" if t else "cond_frame_outputs"][t] = out
        if t:
            loss = loss + frame_loss(raw[-1][0].float(), raw[-1][3].float(), one.truth[t])
            got, truth = out["pred_masks_high_res"][:, 0] > 0, one.truth[t]
            union = (got | truth).sum((1, 2)).clamp(min=1)
            log[f"frame {t}"] = ((got & truth).sum((1, 2)) / union).mean().item()
    hook.remove()
    return loss, {"loss": loss.item(), **log}


@torch.no_grad()
def initialise(model: SAM2Base) -> None:
    """Equal biases of queries and keys: rotary encoding then lets each cell see its own place."""
    for layer in model.memory_attention.layers:
        for attention in (layer.self_attn, layer.cross_attn_image):
            nn.init.constant_(attention.q_proj.bias, 1.5)
            nn.init.constant_(attention.k_proj.bias, 1.5)
    for layer in model.memory_encoder.fuser.layers:
        nn.init.constant_(layer.gamma, 0.1)


def train(args: argparse.Namespace) -> SAM2Base:
    """Run ``args.steps`` steps, one clip each."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    setattr(F, "scaled_dot_product_attention", plain_attention)  # noqa: B010
    model = build_sam2()  # in eval mode: no dropout
    model.load_state_dict(load(args.init))
    if not args.trained:
        initialise(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(MEMORY))
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, args.lr, (0.9, 0.98), weight_decay=0.01, fused=True)
    rng, log = np.random.default_rng(args.seed), Log(every=50)
    for step in range(args.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, args.steps, args.lr, warmup=50)
        loss, figures = clip_loss(model, draw(rng, args.frames, args.objects), rng)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 3.0)
        optimizer.step()
        log.add(step + 1, figures)
    return model


def main() -> None:
    """Parse the command line, train, write the weights in fp32."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--init", required=True, help="weights to start from")
    parser.add_argument("--trained", action="store_true", help="their memory is trained already")
    parser.add_argument("--out", required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--frames", type=int, default=3)
    parser.add_argument("--objects", type=int, default=2)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    model = train(args)
    save(model.state_dict(), args.out, half=False, image_size=256, memory_steps=args.steps)


if __name__ == "__main__":
    main()

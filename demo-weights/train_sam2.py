"""Train the nano SAM 2 on a pool of scenes, pictures only (see train_video.py for the memory)."""

from __future__ import annotations

import argparse
import math
from typing import Any

import torch
import torch.nn.functional as F
from common import Average, Log, build_sam2, learning_rate, load, save
from prompts import Prompts, Views, corrective
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

FOURIER = "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
MEMORY = ("memory_attention", "memory_encoder", "obj_ptr_proj", "obj_ptr_tpos_proj")
WIDTH = 128  # channels of the decoder


def plain_attention(q: Tensor, k: Tensor, v: Tensor, dropout_p: float = 0.0, **_: Any) -> Tensor:
    """Softmax attention of (B, heads, T, width); for 8-wide heads faster than the fused one."""
    weights = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    return F.dropout(weights.softmax(-1).to(v.dtype), dropout_p) @ v


@torch.no_grad()
def initialise(model: SAM2Base, size: int) -> None:
    """Starting values that make a short training possible.

    Queries and keys between prompt and picture start as the same enlarged orthogonal map, so a
    prompt attends to its own place from the first step on; the other embeddings of the prompt are
    made small beside the position. The Fourier matrix is axis-aligned, from a slow ramp to two
    cells: doubled together with the size of the picture, it keeps what was learned valid.
    """
    trunk = model.image_encoder.trunk
    nn.init.normal_(trunk.pos_embed_window, std=0.1)
    nn.init.normal_(trunk.pos_embed, std=0.1)
    waves = size / 128 * torch.logspace(math.log10(0.12), math.log10(1.5), WIDTH // 4)
    none = torch.zeros_like(waves)
    axes = torch.stack([torch.cat([waves, none]), torch.cat([none, waves])])
    model.get_buffer(FOURIER).copy_(axes)
    small = ("point_embed", "no_mask", "not_a_point", "_token")
    for name, parameter in model.named_parameters():
        if name.startswith("sam_") and any(part in name for part in small):
            parameter.mul_(0.3)
    transformer = model.sam_mask_decoder.transformer
    attentions = [transformer.final_attn_token_to_image]
    for layer in transformer.layers:
        attentions += [layer.cross_attn_token_to_image, layer.cross_attn_image_to_token]
    for attention in attentions:
        nn.init.orthogonal_(attention.q_proj.weight, gain=2.0)
        attention.k_proj.weight.copy_(attention.q_proj.weight)


def features(model: SAM2Base, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Embedding (B, 128, S/16, S/16) and the two finer maps, as SAM2ImagePredictor makes them."""
    _, maps, _, sizes = model._prepare_backbone_features(model.forward_image(x))
    maps[-1] = maps[-1] + model.no_mem_embed
    out = [m.permute(1, 2, 0).reshape(len(x), -1, *s) for m, s in zip(maps, sizes, strict=True)]
    return out[-1], out[:-1]


def decode(
    model: SAM2Base, seen: tuple[Tensor, list[Tensor]], asked: Prompts, logits: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (P, 4, S/4, S/4), predicted IoU (P, 4) and object score (P, 1).

    ``predict_masks`` is called directly: the way through ``_forward_sam_heads`` replaces masks by
    a constant where the untrained object score is negative, and lets no gradient pass.
    """
    embedding, fine = seen
    each = len(asked.coords) // len(embedding)
    sparse, dense = model.sam_prompt_encoder(
        points=(asked.coords, asked.labels), boxes=None, masks=logits
    )
    masks, quality, _, score = model.sam_mask_decoder.predict_masks(
        embedding.repeat_interleave(each, 0),
        model.sam_prompt_encoder.get_dense_pe(),
        sparse,
        dense,
        False,
        [level.repeat_interleave(each, 0) for level in fine],
    )
    return masks, quality, score


def mask_loss(
    logits: Tensor, quality: Tensor, target: Tensor, args: argparse.Namespace
) -> tuple[Tensor, Tensor]:
    """Loss of one decoder pass and the real IoU (P, 4): BCE, dice and error of the predicted IoU.

    The single mask counts once; of the three candidates the best counts ``args.best`` and their
    mean ``args.mean``, which makes each of them a mask of the whole object.
    """
    logits = F.interpolate(logits, scale_factor=2.0, mode="bilinear", align_corners=False)
    cell = target.shape[-1] // logits.shape[-1]
    truth = F.avg_pool2d(target[:, None].float(), cell).expand_as(logits)
    p = logits.sigmoid()
    bce = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean((2, 3))
    shared, total = (p * truth).sum((2, 3)), p.sum((2, 3)) + truth.sum((2, 3))
    loss = 2 * bce + 1 - (2 * shared + 1) / (total + 1)
    with torch.no_grad():
        on, got = truth > 0.5, logits > 0
        real = (on & got).sum((2, 3)) / (on | got).sum((2, 3)).clamp(min=1)
    several = args.best * loss[:, 1:].min(1)[0].mean() + args.mean * loss[:, 1:].mean()
    return loss[:, 0].mean() + several + args.quality * (quality - real).abs().mean(), real


class Extent(nn.Module):
    """Heads for training only: object or not at stride 4 and 16, and the object's extent around."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(WIDTH // 8, 1, 1), nn.Conv2d(WIDTH, 5, 1)

    def forward(self, seen: tuple[Tensor, list[Tensor]], labels: Tensor) -> Tensor:
        """Loss for (B, S, S) labels."""
        embedding, (fine, _) = seen
        share = F.avg_pool2d((labels > 0).float()[:, None], 4)
        loss = F.binary_cross_entropy_with_logits(self.fine(fine), share)
        out: Tensor = self.coarse(embedding)
        cells, reach = _extents(labels)
        on = cells > 0
        loss = loss + F.binary_cross_entropy_with_logits(out[:, 0], on.float())
        return loss + F.smooth_l1_loss(out[:, 1:].permute(0, 2, 3, 1)[on], reach[on], beta=0.2)


def _extents(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Label of each stride-16 cell (B, n, n) and its object's left, top, right, bottom reach."""
    at = torch.arange(labels.shape[-1] // 16) * 16 + 8
    cells = labels[:, at][:, :, at]
    reach = torch.zeros(*cells.shape, 4)
    for row, one in enumerate(labels):
        for value in range(1, int(one.max()) + 1):
            j, i = (cells[row] == value).nonzero(as_tuple=True)
            if len(j):
                xs, ys = (one == value).any(0).nonzero(), (one == value).any(1).nonzero()
                sides = [at[i] - xs.min(), at[j] - ys.min(), xs.max() - at[i], ys.max() - at[j]]
                reach[row, j, i] = torch.stack(sides, 1) / 64
    return cells, reach


def step_loss(
    model: SAM2Base, extent: Extent, views: Views, args: argparse.Namespace
) -> tuple[Tensor, dict[str, float]]:
    """Loss of one batch and the IoU of single masks and of the candidates that score best."""
    x, labels, points, pairs = views.draw(args.batch, args.prompts)
    seen = features(model, x)
    loss = args.dense * extent(seen, labels) if args.dense else torch.zeros(())
    log = {}
    for name, asked in (("point", points), ("pair", pairs)):
        logits, quality, score = decode(model, seen, asked)
        one, real = mask_loss(logits, quality, asked.target, args)
        loss = loss + one + 0.01 * F.softplus(-score).mean()
        chosen = quality[:, 1:].argmax(1, keepdim=True)
        log[name] = real[:, 0].mean().item()
        log[f"{name} best"] = real[:, 1:].gather(1, chosen).mean().item()
    if views.rng.random() < args.refine:
        before = logits.detach()[:, :1]
        again = corrective(before, pairs, views.rng)
        logits, quality, _ = decode(model, seen, again, before.clamp(-32, 32))
        loss = loss + mask_loss(logits, quality, again.target, args)[0]
    return loss, log | {"loss": loss.item()}


def train(args: argparse.Namespace) -> Average:
    """Run ``args.steps`` steps and return the averaged weights."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    setattr(F, "scaled_dot_product_attention", plain_attention)  # noqa: B010
    model = build_sam2(args.size).train()
    if args.init:
        state = load(args.init)
        state[FOURIER] *= args.stretch
        model.load_state_dict(state)
    else:
        initialise(model, args.size)
    extent = Extent()
    parameters = [p for n, p in model.named_parameters() if n.split(".")[0] not in MEMORY]
    parameters += extent.parameters()
    optimizer = torch.optim.AdamW(parameters, args.lr, (0.9, 0.98), weight_decay=0.01, fused=True)
    average, log = Average(model, decay=0.99), Log()
    views = Views(args.pool, args.size, args.seed)
    for step in range(args.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, args.steps, args.lr)
        loss, figures = step_loss(model, extent, views, args)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 3.0)
        optimizer.step()
        average.update()
        log.add(step + 1, figures)
    return average


def main() -> None:
    """Parse the command line, train, write the averaged weights in fp32."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pool", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--init", help="start from these weights")
    parser.add_argument("--stretch", type=float, default=1.0, help="factor of the Fourier matrix")
    parser.add_argument("--size", type=int, default=256, help="pixels a side")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch", type=int, default=4, help="pictures in a step")
    parser.add_argument("--prompts", type=int, default=4, help="points, and pairs, per picture")
    parser.add_argument("--lr", type=float, default=2.5e-4)
    parser.add_argument("--dense", type=float, default=0.0, help="weight of the extra heads")
    parser.add_argument("--best", type=float, default=0.5, help="weight of the best candidate")
    parser.add_argument("--mean", type=float, default=0.75, help="weight of all candidates")
    parser.add_argument("--quality", type=float, default=1.0, help="weight of the predicted IoU")
    parser.add_argument("--refine", type=float, default=0.15, help="share of corrected steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    notes = {"image_size": args.size, "steps": args.steps, "seed": args.seed}
    save(train(args).state, args.out, half=False, **notes)


if __name__ == "__main__":
    main()

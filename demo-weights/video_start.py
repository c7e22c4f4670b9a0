"""Where the memory of the nano SAM 2 starts its training."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from common import box_of
from prompts import CORNER, MEAN, ON, OPPOSITE, STD
from sam2.modeling.sam2_base import SAM2Base
from scenes import scene
from torch import Tensor, nn

CONTENT = 24  # channels of the memory that start as the picture's principal components


@torch.no_grad()
def still_tokens(model: SAM2Base, count: int, rng: np.random.Generator) -> Tensor:
    """What the score's network reads for prompts on ``count`` still pictures, (n, C)."""
    kept: list[Tensor] = []
    head = model.sam_mask_decoder.pred_obj_score_head
    hook = head.register_forward_hook(lambda _, given, __: kept.append(given[0]))
    for _ in range(count):
        one = scene(int(rng.integers(1 << 24)))
        picture = torch.from_numpy(one.image).permute(2, 0, 1).float() / 255
        levels = model.forward_image(((picture - MEAN) / STD)[None])["backbone_fpn"]
        coarse = levels[2] + model.no_mem_embed[0][..., None, None]
        boxes = [box_of(one.labels == v).reshape(2, 2) for v in np.unique(one.labels)[1:]]
        for coords, labels in (
            (torch.from_numpy(np.stack(boxes)), [CORNER, OPPOSITE]),
            (torch.rand(24, 1, 2) * len(one.labels), [ON]),
        ):
            points = (coords.float(), torch.tensor([labels] * len(coords), dtype=torch.int32))
            sparse, dense = model.sam_prompt_encoder(points, None, None)
            model.sam_mask_decoder.predict_masks(
                *(coarse, model.sam_prompt_encoder.get_dense_pe(), sparse, dense, True),
                [levels[0], levels[1]],
            )
    hook.remove()
    return torch.cat(kept)


@torch.no_grad()
def initialise(model: SAM2Base, pixels: Tensor) -> None:
    """A start from which attention finds like-coloured cells nearby, given (N, C) coarse features.

    The slow dimensions of the rotary code compare the principal components of the picture with
    those kept in the memory, the fast ones compare places. The last norm gives back the scale
    that the decoder knows.
    """
    width, spread = model.hidden_dim, pixels.std(1).mean()
    normed = F.layer_norm(pixels, (width,))
    centred = normed - normed.mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
    values, vectors = values.flip(0)[:CONTENT], vectors.flip(1)[:, :CONTENT]
    maps = (vectors * values**-0.25).T  # (CONTENT, C): half-way to equal variance
    maps *= 1.3 / (centred @ maps.T).pow(2).mean().sqrt()
    encoder = model.memory_encoder
    encoder.pix_feat_proj.weight.mul_(0.1)
    encoder.pix_feat_proj.weight[:CONTENT] = maps[..., None, None] / spread
    encoder.pix_feat_proj.bias.zero_()
    encoder.pix_feat_proj.bias[:CONTENT] = -(maps @ normed.mean(0))
    last = encoder.mask_downsampler.encoder[-1]
    last.weight.mul_(2)
    last.weight[:CONTENT], last.bias[:CONTENT] = 0, 0
    encoder.out_proj.weight[:CONTENT] = torch.eye(width)[:CONTENT, :, None, None]
    encoder.out_proj.weight[CONTENT:, :CONTENT] = 0
    encoder.out_proj.weight[CONTENT:].mul_(2)
    encoder.out_proj.bias.zero_()
    for block in encoder.fuser.layers:
        nn.init.constant_(block.gamma, 0.1)
    rate = torch.arange(width) % (width // 2) // 2  # rotary: pairs, half of them for x, half for y
    fast = rate < 11
    for layer in model.memory_attention.layers:
        for attention in (layer.self_attn, layer.cross_attn_image):
            for part in (attention.q_proj, attention.k_proj):
                nn.init.constant_(part.bias, 0)
                part.bias[fast] = 1.3
                part.weight[fast] *= 0.3
        cross = layer.cross_attn_image
        slow = (~fast).nonzero()[:, 0]
        joined = torch.linalg.qr(torch.randn(len(slow), CONTENT))[0] * 1.5
        cross.q_proj.weight[slow] = joined @ maps
        cross.q_proj.bias[slow] = -(joined @ (maps @ normed.mean(0)))
        cross.k_proj.weight[slow] = 0.0
        cross.k_proj.weight[slow, :CONTENT] = joined
        cross.v_proj.weight[:, CONTENT:] *= 3
        cross.out_proj.weight.mul_(3)
    nn.init.constant_(model.memory_attention.norm.weight, float(spread))
    model.memory_attention.norm.bias.copy_(model.no_mem_embed[0, 0] + pixels.mean())
    # a full mask becomes logits of plus and minus ten
    nn.init.constant_(model.mask_downsample.weight, 20 / 16)
    nn.init.constant_(model.mask_downsample.bias, -10)


def reset_score(model: SAM2Base) -> None:
    """New weights for the score's network: those of the pictures answer 27 whatever they read."""
    head = model.sam_mask_decoder.pred_obj_score_head
    for layer in head.layers:
        layer.reset_parameters()
    with torch.no_grad():
        head.layers[-1].bias.fill_(3.0)

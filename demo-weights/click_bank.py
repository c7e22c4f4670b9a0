"""Frozen features for the training of clicks: pictures, and frames of clips seen from memory.

The image encoder and the memory stay as they are, so what they make of a picture or of a tracked
frame is computed once and kept in fp16.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from prompts import MEAN, STD
from sam2.modeling.sam2_base import SAM2Base
from scenes import crossing_clip, scene
from torch import Tensor
from train_video import first_prompt

SIDE = 64  # of the fine map and of the logits
FRAMES, KEPT_FRAMES = 24, 12
FIRST_CLIP = 60_000_000  # seed; validation is from 20 million, held-out clips from 30 million
SMALLEST = 300  # pixels an object must show on the first frame
VISIBLE = 30  # pixels from which on it counts as visible
LIMIT = 32.0  # of logits that are fed back
GOOD = 0.9
KEPT_GOOD, KEPT_HIDDEN = 0.4, 0.5  # shares of frames with a higher IoU, and hidden


@dataclass
class Maps:
    """What the encoder made of N pictures, before the decoder's own two convolutions."""

    fine: Tensor  # (N, 32, 64, 64) fp16, of the trunk
    middle: Tensor  # (N, 64, 32, 32) fp16
    coarse: Tensor  # (N, 128, 16, 16) fp16, of the neck

    @classmethod
    @torch.no_grad()
    def of(cls, model: SAM2Base, pictures: NDArray[np.uint8]) -> Maps:
        """Encode (N, S, S, 3) pictures."""
        x = (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255 - MEAN) / STD
        trunk = model.image_encoder.trunk(x)
        neck = model.image_encoder.neck(trunk)[0]
        return cls(trunk[0].half(), trunk[1].half(), neck[2].half())

    @classmethod
    def join(cls, parts: list[Maps]) -> Maps:
        """All of the parts' pictures, in order."""
        return cls(*(torch.cat([getattr(p, n) for p in parts]) for n in cls.__annotations__))

    def high_res(self, model: SAM2Base, rows: Tensor) -> list[Tensor]:
        """The two finer maps that the decoder takes, with gradients into its convolutions."""
        convs, decoder = model.image_encoder.neck.convs, model.sam_mask_decoder
        fine = decoder.conv_s0(convs[-1](self.fine[rows].float()))
        return [fine, decoder.conv_s1(convs[-2](self.middle[rows].float()))]


@dataclass
class Stills:
    """Encoded pictures with their labels."""

    maps: Maps
    labels: NDArray[np.uint8]  # (N, S, S)

    @classmethod
    def draw(cls, model: SAM2Base, count: int, seed: int) -> Stills:
        """Scenes with seeds from 0, each flipped, turned and recoloured by chance."""
        rng, parts, labels = np.random.default_rng(seed), list[Maps](), []
        for start in range(0, count, 20):
            pictures = []
            for number in range(start, min(start + 20, count)):
                one = scene(number)
                picture, truth = one.image, one.labels
                if rng.random() < 0.5:
                    picture, truth = picture[:, ::-1], truth[:, ::-1]
                if rng.random() < 0.5:
                    picture, truth = picture.transpose(1, 0, 2), truth.T
                pictures.append(picture[..., rng.permutation(3)])
                labels.append(truth)
            parts.append(Maps.of(model, np.stack(pictures)))
        return cls(Maps.join(parts), np.stack(labels))


@dataclass
class Tracked:
    """E objects on frames of clips, as the memory shows them to the decoder, with its answers."""

    maps: Maps  # of F frames
    labels: NDArray[np.uint8]  # (F, S, S)
    frame: Tensor  # (E,) which of the frames
    value: Tensor  # (E,) label of the object
    embedding: Tensor  # (E, 128, 16, 16) fp16
    logits: Tensor  # (E, 1, 64, 64) fp16, the answer without a prompt
    tokens: Tensor  # (E, 3, 128) fp16, of the three candidates
    overlap: Tensor  # (E,) IoU of the answer with the truth, NaN where the object is hidden

    def truth(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Masks (P, S, S) of the objects of some rows."""
        frames, values = self.frame[rows].numpy(), self.value[rows].numpy()
        return np.asarray(self.labels[frames] == values[:, None, None])

    @classmethod
    def draw(cls, model: SAM2Base, clips: int, seed: int) -> Tracked:
        """Follow the objects of clips with seeds from ``FIRST_CLIP`` from their first frames."""
        rng, watch = np.random.default_rng(seed), Watch(model)
        parts = [_follow(model, watch, number, rng) for number in range(clips)]
        offsets = np.cumsum([0, *(len(part.labels) for part in parts)])
        for part, offset in zip(parts, offsets, strict=False):
            part.frame += int(offset)
        names = ("frame", "value", "embedding", "logits", "tokens", "overlap")
        joined = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
        labels = np.concatenate([part.labels for part in parts])
        return cls(Maps.join([part.maps for part in parts]), labels, **joined)


class Watch:
    """Keeps what goes through the memory's attention and comes out of the decoder."""

    def __init__(self, model: SAM2Base) -> None:
        self.seen: Tensor | None = None
        self.tokens: Tensor | None = None
        model.memory_attention.register_forward_hook(self._seen)
        model.sam_mask_decoder.register_forward_hook(self._answered)

    def _seen(self, module: Any, given: Any, out: Tensor) -> None:
        self.seen = out

    def _answered(self, module: Any, given: Any, out: tuple[Tensor, ...]) -> None:
        self.tokens = out[2]


@torch.no_grad()
def _follow(model: SAM2Base, watch: Watch, number: int, rng: np.random.Generator) -> Tracked:
    """The objects of one clip on some of its frames."""
    shots = crossing_clip(FIRST_CLIP + number, FRAMES, blink=bool(rng.random() < 0.3))
    labels = np.stack([truth for _, truth in shots])
    maps = Maps.of(model, np.stack([picture for picture, _ in shots]))
    levels = [*maps.high_res(model, torch.arange(FRAMES)), maps.coarse.float()]
    area = np.bincount(labels[0].ravel(), minlength=2)
    values = [v for v in range(1, len(area)) if area[v] > SMALLEST]
    truth = torch.from_numpy(np.stack([labels == v for v in values], 1))
    kept = np.sort(rng.permutation(np.arange(1, FRAMES))[:KEPT_FRAMES])
    outputs: dict[str, dict[int, Any]] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
    place = model.image_encoder.neck.position_encoding(torch.zeros(1, 1, SIDE // 4, SIDE // 4))
    places = [place.flatten(2).permute(2, 0, 1).expand(-1, len(values), -1)] * 3
    rows: list[tuple[Tensor, ...]] = []
    for t in range(FRAMES):
        flat = [level[t : t + 1].flatten(2).permute(2, 0, 1) for level in levels]
        prompt: dict[str, Any] = {"point_inputs": None, "mask_inputs": None}
        out = model.track_step(
            *(t, t == 0, [x.expand(-1, len(values), -1) for x in flat], places),
            [(SIDE, SIDE), (SIDE // 2, SIDE // 2), (SIDE // 4, SIDE // 4)],
            output_dict=outputs,
            num_frames=FRAMES,
            **(first_prompt(truth[0], rng) if t == 0 else prompt),
        )
        outputs["non_cond_frame_outputs" if t else "cond_frame_outputs"][t] = out
        if t in kept:
            parts = _seen(out, truth[t], watch)
            keep = torch.from_numpy(rng.random(len(values))) < _worth(parts[-1])
            at = torch.full((len(values),), int(np.searchsorted(kept, t)))
            rows.append(tuple(part[keep] for part in (at, torch.tensor(values), *parts)))
    joined = [torch.cat(column) for column in zip(*rows, strict=True)]
    used = torch.from_numpy(kept)
    frames = Maps(maps.fine[used], maps.middle[used], maps.coarse[used])
    return Tracked(frames, labels[kept], *joined)


def _seen(out: dict[str, Any], truth: Tensor, watch: Watch) -> tuple[Tensor, ...]:
    """Embedding, logits, tokens and overlap of the O objects of one frame."""
    assert watch.seen is not None
    assert watch.tokens is not None
    got = out["pred_masks_high_res"][:, 0] > 0
    union = (got | truth).sum((1, 2)).clamp(min=1)
    shown = truth.flatten(1).sum(1) > VISIBLE
    overlap = torch.where(shown, (got & truth).sum((1, 2)) / union, torch.nan)
    embedding = watch.seen.permute(1, 2, 0).view(len(truth), -1, SIDE // 4, SIDE // 4)
    logits = out["pred_masks"].clamp(-LIMIT, LIMIT).half()
    return embedding.half(), logits, watch.tokens.half(), overlap


def _worth(overlap: Tensor) -> Tensor:
    """The chance that an object on a frame is kept: what went wrong always is."""
    good = torch.where(overlap > GOOD, KEPT_GOOD, 1.0)
    return torch.where(overlap.isnan(), KEPT_HIDDEN, good)

"""Train prompt encoder and mask decoder of the nano SAM 2 on whole sequences of clicks.

The image encoder and the memory stay as they are. A sequence begins with a click, a box or a rough
mask; each further round adds a click where the answer is wrong and feeds the answer's logits back,
as the predictors do. Frames of clips, as the memory shows them to the decoder, are corrected in the
same way, and answered without a prompt.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from click_bank import LIMIT, Maps, Stills, Tracked
from click_sequences import Asked, answer, begin, chosen, click_on, pixel
from clicker import deepest
from common import Average, Bools, Log, build_sam2, learning_rate, load, save
from numpy.typing import NDArray
from prompts import ON
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn
from train_sam2 import mask_loss, plain_attention

HEAD = "sam_mask_decoder.pred_obj_score_head"
MOST_ROUNDS = 6
STARTS = {"click": 0.64, "box": 0.3, "mask": 0.06}
BACKGROUND_SHARE = 0.12  # of sequences that begin with a click
FED_SHARE = 0.85  # of sequences whose answers are fed back
CORRECTED_SHARE, FOLLOWED_SHARE = 1.0, 0.7  # of steps with corrections, and with no prompt
MOST_CORRECTIONS = 2
SWITCHED_SHARE = 0.12  # of corrections that ask for another object
HIDDEN_WEIGHT = 3.0  # of hidden objects when those to follow are drawn
TOO_GOOD = 0.97  # IoU from which on a tracked frame is not corrected


def spread(model: SAM2Base, maps: Maps, rows: NDArray[np.int64]) -> list[Tensor]:
    """The finer maps of some rows, computed once for each picture."""
    at, back = np.unique(rows, return_inverse=True)
    levels = maps.high_res(model, torch.from_numpy(at))
    return [level[torch.from_numpy(back)] for level in levels]


def draw(
    model: SAM2Base, stills: Stills, args: argparse.Namespace, rng: np.random.Generator
) -> Asked:
    """The first round of a batch: some objects of each picture."""
    kind = str(rng.choice(list(STARTS), p=list(STARTS.values())))
    rows, truths = list[int](), list[Bools]()
    for row in rng.integers(0, len(stills.labels), args.pictures).tolist():
        labels = stills.labels[row]
        area = np.bincount(labels.ravel(), minlength=2)
        things = [v for v in range(1, len(area)) if area[v] >= 200] or [0]
        for _ in range(args.each):
            empty = kind == "click" and rng.random() < BACKGROUND_SHARE and area[0] > 400
            truths.append(labels == (0 if empty else int(rng.choice(things))))
            rows.append(row)
    embedding = stills.maps.coarse[rows].float() + model.no_mem_embed[0][..., None, None]
    high_res = spread(model, stills.maps, np.array(rows))
    return Asked(embedding, high_res, torch.from_numpy(np.stack(truths)), *begin(kind, truths, rng))


def on_frames(model: SAM2Base, tracked: Tracked, rows: NDArray[np.int64]) -> Asked:
    """Objects on frames of clips, nothing asked of them yet."""
    truth = tracked.truth(rows)
    high_res = spread(model, tracked.maps, tracked.frame[rows].numpy())
    none = torch.zeros(len(rows), 0, 2), torch.zeros(len(rows), 0, dtype=torch.int32), None
    embedding = tracked.embedding[rows].float()
    return Asked(embedding, high_res, torch.from_numpy(truth), *none, np.ones_like(truth))


def sequence(
    model: SAM2Base,
    asked: Asked,
    rounds: int,
    args: argparse.Namespace,
    rng: np.random.Generator,
    name: str = "",
) -> tuple[Tensor, dict[str, float]]:
    """Mean loss of the rounds, and the IoU of what the predictor answers in each."""
    fed = rng.random() < FED_SHARE or bool(name)
    loss, log = torch.zeros(()), dict[str, float]()
    lone = asked.coords.shape[1] == 1
    name = name or ("click" if lone else "box" if asked.coords.shape[1] else "mask")
    for number in range(rounds):
        masks, quality, _, score = answer(model, asked)
        one, real = mask_loss(masks, quality, asked.truth, args)
        loss = loss + one + 0.1 * F.softplus(2 - score).mean()
        several = lone and number == 0
        best = quality[:, 1:].argmax(1, keepdim=True) + 1
        figure = real.gather(1, best) if several else real[:, :1]
        log[f"{name} {number}"] = figure.mean().item()
        if number + 1 < rounds:
            click_on(asked, chosen(model, masks, quality, several), fed, rng)
    return loss / rounds, log


def unprompted(model: SAM2Base, asked: Asked) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The answer to no prompt at all, as ``answer`` gives it."""
    count = len(asked.truth)
    coords, labels = torch.zeros(count, 1, 2), torch.full((count, 1), -1, dtype=torch.int32)
    return answer(model, replace(asked, coords=coords, labels=labels))


@torch.no_grad()
def present_logits(model: SAM2Base, asked: Asked) -> Tensor:
    """What the decoder as it now is makes of tracked frames, all off for hidden objects."""
    masks, quality, _, score = unprompted(model, asked)
    logits = chosen(model, masks, quality, several=True)
    return torch.where(score[..., None, None] > 0, logits, -LIMIT)


def switch(
    asked: Asked,
    tracked: Tracked,
    rows: NDArray[np.int64],
    logits: Tensor,
    rng: np.random.Generator,
) -> None:
    """Ask for another object than the one that was followed, by a click into it."""
    places = list[list[float]]()
    for number, row in enumerate(rows):
        labels = tracked.labels[int(tracked.frame[row])]
        area = np.bincount(labels.ravel(), minlength=2)
        others = [v for v in range(1, len(area)) if area[v] > 300 and v != tracked.value[row]]
        truth = labels == (rng.choice(others) if others else int(tracked.value[row]))
        _, y, x = deepest(truth, asked.free[number])
        if rng.random() < 0.5:
            y, x = pixel(truth, rng)
        asked.truth[number] = torch.from_numpy(truth)
        asked.free[number, y, x] = False
        places.append([x + 0.5, y + 0.5])
    asked.coords, asked.logits = torch.tensor(places)[:, None], logits
    asked.labels = torch.full((len(rows), 1), ON, dtype=torch.int32)


def corrected(
    model: SAM2Base, tracked: Tracked, args: argparse.Namespace, rng: np.random.Generator
) -> tuple[Tensor, dict[str, float]]:
    """Loss of one to three clicks on tracked frames."""
    fit = np.nonzero((tracked.overlap < TOO_GOOD).numpy())[0]
    rows = rng.choice(fit, args.corrected)
    asked = on_frames(model, tracked, rows)
    logits = present_logits(model, asked)
    if rng.random() < SWITCHED_SHARE:
        switch(asked, tracked, rows, logits, rng)
    else:
        click_on(asked, logits, True, rng)
    rounds = int(rng.integers(1, MOST_CORRECTIONS + 1))
    loss, log = sequence(model, asked, rounds, args, rng, "fix")
    return loss, log | {"fixed": tracked.overlap[rows].mean().item()}


def followed(
    model: SAM2Base, tracked: Tracked, args: argparse.Namespace, rng: np.random.Generator
) -> tuple[Tensor, dict[str, float]]:
    """Loss of answers without a prompt, whose pointers are to stay what they were."""
    chance = torch.where(tracked.overlap.isnan(), HIDDEN_WEIGHT, 1.0).numpy()
    rows = rng.choice(len(chance), args.corrected, p=chance / chance.sum())
    asked = on_frames(model, tracked, rows)
    masks, quality, tokens, score = unprompted(model, asked)
    hidden = tracked.overlap[rows].isnan()
    shown = ~hidden
    loss, real = mask_loss(masks[shown], quality[shown], asked.truth[shown], args)
    presence = F.binary_cross_entropy_with_logits(score[:, 0], shown.float(), reduction="none")
    sure = shown | ~asked.truth.flatten(1).any(1)
    with torch.no_grad():
        pointers = model.obj_ptr_proj(tracked.tokens[rows].float())
    moved = F.mse_loss(model.obj_ptr_proj(tokens[:, 1:]), pointers) / pointers.var()
    loss = loss + (presence * sure).mean() + moved
    best = quality[shown, 1:].argmax(1, keepdim=True) + 1
    log = {"followed": real.gather(1, best).mean().item(), "moved": moved.item()}
    return loss, log | {"seen": ((score[:, 0] > 0) == shown).float().mean().item()}


def optimise(model: SAM2Base, args: argparse.Namespace) -> torch.optim.Optimizer:
    """Adam for the parts that are trained; as train_video for the network of the object score."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("sam_"))
    head = list(model.sam_mask_decoder.pred_obj_score_head.parameters())
    others = [p for n, p in model.named_parameters() if p.requires_grad and HEAD not in n]
    groups = [
        {"params": others, "times": 1.0},
        {"params": head, "times": 4.0, "betas": (0.9, 0.999), "eps": 1e-2},  # as in train_video
    ]
    return torch.optim.AdamW(groups, args.lr, (0.9, 0.98), weight_decay=0.01, fused=True)


def train(args: argparse.Namespace) -> Average:
    """Run ``args.steps`` steps, or as many as fit into ``args.minutes``; the averaged weights."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    setattr(F, "scaled_dot_product_attention", plain_attention)  # noqa: B010
    model = build_sam2()
    model.load_state_dict(load(args.init))
    decoder = model.sam_mask_decoder
    decoder.dynamic_multimask_stability_delta = 0.05  # what build_sam2 sets
    decoder.dynamic_multimask_stability_thresh = 0.98
    model.binarize_mask_from_pts_for_mem_enc = True  # as the video predictor
    rng, log = np.random.default_rng(args.seed), Log(every=args.log)
    stills = Stills.draw(model, args.scenes, args.seed)
    tracked = Tracked.draw(model, args.clips, args.seed)
    print(f"{len(stills.labels)} scenes, {len(tracked.frame)} objects on frames", flush=True)
    optimizer = optimise(model, args)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    average, began = Average(model, decay=args.decay), time.monotonic()
    saved = began
    for step in range(args.steps):
        spent = (time.monotonic() - began) / 60 / args.minutes if args.minutes else 0.0
        spent = max(spent, step / args.steps)
        if spent >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(int(1e4 * spent), 10_000, args.lr, warmup=1)
            group["lr"] *= min(1.0, (step + 1) / 100) * group["times"]
        asked = draw(model, stills, args, rng)
        rounds = int(rng.integers(2, MOST_ROUNDS + 1))
        loss, figures = sequence(model, asked, rounds, args, rng)
        for share, extra in ((CORRECTED_SHARE, corrected), (FOLLOWED_SHARE, followed)):
            if rng.random() < share:
                more, others = extra(model, tracked, args, rng)
                loss, figures = loss + more, figures | others
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 3.0)
        optimizer.step()
        average.update()
        log.add(step + 1, {"loss": loss.item(), **figures})
        if args.every and time.monotonic() - saved > 60 * args.every:
            saved = time.monotonic()
            save(average.state, args.out, half=False, image_size=256, click_steps=step + 1)
    return average


def main() -> None:
    """Parse the command line, train, write the averaged weights in fp32."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--init", required=True, help="weights to start from")
    parser.add_argument("--out", required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--minutes", type=float, default=0.0, help="stop earlier")
    parser.add_argument("--scenes", type=int, default=4000, help="pictures")
    parser.add_argument("--pictures", type=int, default=6, help="pictures in a step")
    parser.add_argument("--each", type=int, default=2, help="objects of a picture")
    parser.add_argument("--clips", type=int, default=50, help="clips whose objects are followed")
    parser.add_argument("--corrected", type=int, default=16, help="tracked objects in a step")
    parser.add_argument("--every", type=float, default=0.0, help="minutes between saved states")
    parser.add_argument("--log", type=int, default=50, help="steps between lines")
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--decay", type=float, default=0.995, help="of the averaged weights")
    parser.add_argument("--best", type=float, default=0.5, help="weight of the best candidate")
    parser.add_argument("--mean", type=float, default=0.75, help="weight of all candidates")
    parser.add_argument("--quality", type=float, default=1.0, help="weight of the predicted IoU")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    save(train(args).state, args.out, half=False, image_size=256)


if __name__ == "__main__":
    main()

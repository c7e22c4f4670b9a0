"""Video of SAM 2: the package's predictor in float32 against live sessions of both tiers.

    python benchmarks/sam2_video.py [--size tiny] [--objects 1,4] [--rounds 7] [--threads 2]
        [--device cpu] [--tiers exact,fast]

Weights are random, told to see an object, and the clip is a real one. All sides follow the same
objects from frame 0, and each round is one frame on every side in turn: frames 8 to 12, where all
memories are full, then these again from a copy of the state after frame 7. Decoded frames go in and
masks come out, those of sessions as run lengths, those of stock as logits of the frame's size. It
has not been run on a GPU yet.
"""

from __future__ import annotations

import contextlib
import copy
import io
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

import clips
import devices
import sam2_models
import torch
import versus
from tiers import Chosen
from video_parity import PRESENCE, lossless

from diptych import Box, Mask, OutputOptions, Prompt
from diptych_runtime.engine import FrameAnswer, Tier, VideoOptions
from diptych_sam2.network.build import build_model
from diptych_sam2.network.parts import assemble
from diptych_sam2.network.video import VideoNetwork
from diptych_sam2.video.session import Sam2VideoSession
from diptych_sam2.weights.checkpoints import packaged_config

sys.path.insert(0, str(clips.ROOT / "tests" / "support"))
from sam2_video_stock import Clip, Stock, stock_of
from steps import finished

# Floor and aim.
BOUNDS = {"fast": (3.5, 6.0)}
MOST_MS = 10.0
"""Aim on a GPU: 100 frames a second with one object."""
FIRST, LAST = 8, 12


@dataclass
class Live:
    """A session of one tier, and how far its answers are from those of stock."""

    network: VideoNetwork
    stock: Stock
    clip: Clip
    session: Sam2VideoSession
    ious: list[float] = field(default_factory=list)
    apart: list[float] = field(default_factory=list)
    """Mean difference of logits, as a share of their mean size."""

    def copied(self) -> Sam2VideoSession:
        """The session as it is, to go on from here again."""
        return copy.deepcopy(self.session, {id(self.network): self.network})

    def frame(self, number: int) -> FrameAnswer:
        """The next frame."""
        return finished(self.session.add_frame(number, self.clip.frames[number]))

    def compare(self, answer: FrameAnswer) -> None:
        """Judge by stock's answer for the same frame."""
        for one in answer.objects:
            wanted = Mask.from_array(self.stock.masks[answer.frame_index][one.object_id])
            mask = one.segment.mask
            if wanted.area or (mask is not None and mask.area):
                self.ious.append(0.0 if mask is None else wanted.iou(mask))
            ours = self.session._tracks[one.object_id].memory.latest(answer.frame_index)
            assert ours is not None
            assert ours.logits is not None
            theirs = self.stock.output(one.object_id, answer.frame_index)["pred_masks"]
            self.apart.append(
                float((ours.logits.to(theirs.device) - theirs).abs().mean() / theirs.abs().mean())
            )

    @property
    def quality(self) -> str:
        """For the page."""
        if not self.ious:
            return "no mask on any frame"
        mean, least = statistics.fmean(self.ious), min(self.ious)
        apart = f"logits {statistics.fmean(self.apart):.1e} apart"
        return f"IoU {mean:.4f}, least {least:.4f} of {len(self.ious)}; {apart}"


def both_sides(
    size: str, clip: Clip, device: torch.device, chosen: Chosen
) -> tuple[Stock, dict[str, Live]]:
    """Stock, and our tiers by name, with the same weights."""
    config = packaged_config(f"configs/sam2.1/sam2.1_hiera_{sam2_models.CONFIGS[size]}.yaml")
    state = sam2_models.stock(size).state_dict()
    state[PRESENCE].fill_(1.0)  # left to chance, random weights see no object anywhere
    stock = Stock(stock_of(config, state).to(device), clip)
    options = VideoOptions(OutputOptions(), track_all=False, max_objects=16, held_frames=2)
    tiers = {}
    for name in chosen.names:
        network = VideoNetwork(assemble(build_model(config, state), device, Tier(name)))
        tiers[name] = Live(network, stock, clip, Sam2VideoSession(network, options))
    return stock, tiers


def boxes(count: int, clip: Clip) -> list[Prompt]:
    """Boxes side by side."""
    height, width = clip.frames[0].shape[:2]
    edges = [width * (0.1 + 0.8 * one / count) for one in range(count + 1)]
    return [
        Prompt(box=Box(left, height * 0.3, right, height * 0.8)) for left, right in pairwise(edges)
    ]


def begin(stock: Stock, tiers: dict[str, Live], prompts: list[Prompt]) -> None:
    """All frames before the first that counts."""
    for live in tiers.values():
        live.frame(0)
    for object_id, prompt in enumerate(prompts, 1):
        stock.prompt(object_id, 0, prompt)
        for live in tiers.values():
            finished(live.session.prompt(object_id, 0, prompt))
    stock.follow(0, FIRST - 1)
    for number in range(1, FIRST):
        for live in tiers.values():
            live.frame(number)


@contextlib.contextmanager
def following(
    size: str, count: int, device: torch.device, chosen: Chosen
) -> Iterator[tuple[Stock, dict[str, Live]]]:
    """Both sides with so many objects, when the first frame that counts comes next."""
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stderr(io.StringIO()),  # stock draws progress bars
    ):
        clip = lossless(Path(folder), list(clips.photographed(LAST + 1)))
        stock, tiers = both_sides(size, clip, device, chosen)
        begin(stock, tiers, boxes(count, clip))
        yield stock, tiers


class Rounds:
    """Frames that count, each on every side in turn, over and over."""

    def __init__(self, stock: Stock, tiers: dict[str, Live]) -> None:
        self._stock, self._tiers = stock, tiers
        self._began = {side: live.copied() for side, live in tiers.items()}
        self._answers: dict[str, FrameAnswer] = {}
        self._number = FIRST

    def follow_stock(self) -> None:
        """The frame in stock, which goes back to an earlier one by itself."""
        self._stock.follow(self._number, self._number)

    def follow(self, side: str) -> None:
        """The frame in a session."""
        self._answers[side] = self._tiers[side].frame(self._number)

    def over(self) -> None:
        """Compare, and get ready for the next frame."""
        for side, live in self._tiers.items():
            live.compare(self._answers[side])
        self._number += 1
        if self._number > LAST:
            self._number = FIRST
            for side, live in self._tiers.items():
                kept, live.session = live.session, self._began[side]
                kept.close()
                self._began[side] = live.copied()


def measure(
    name: str, stock: Stock, tiers: dict[str, Live], count: int, device: torch.device
) -> dict[str, list[float]]:
    """Seconds a frame by side and round."""
    rounds = Rounds(stock, tiers)
    sides = {versus.STOCK: rounds.follow_stock}
    sides |= {side: partial(rounds.follow, side) for side in tiers}
    return versus.measure(name, sides, rounds=count, device=device, warm=True, after=rounds.over)


def main() -> None:
    """Measure and print."""
    parser = sam2_models.parser(__doc__, rounds=7)
    parser.add_argument("--objects", default="1,4", help="how many are followed, one run for each")
    args = parser.parse_args()
    device, chosen = sam2_models.prepare(args)
    gpu_aim = (device.type, args.size) == ("cuda", "large")
    rows, figures = [], {}
    for count in map(int, args.objects.split(",")):
        with following(args.size, count, device, chosen) as (stock, tiers):
            objects = "1 object" if count == 1 else f"{count} objects"
            name = f"SAM 2.1 {args.size}, video, {objects}, a frame of {FIRST} to {LAST}"
            name += devices.described(device)
            seconds = measure(name, stock, tiers, args.rounds, device)
        for tier, live in tiers.items():
            print(f"  {tier}: {live.quality}")
            one = {side: seconds[side] for side in (versus.STOCK, tier)}
            rows += versus.rows(
                name,
                "SAM2VideoPredictor, float32",
                one,
                chosen.asked(BOUNDS),
                live.quality,
                most_ms=MOST_MS if gpu_aim and count == 1 else None,
            )
        figures[objects] = seconds
    kept = f"sam2_video_{args.size}{devices.suffix(device)}"
    versus.keep(kept, {"seconds": figures}, rows, chosen.notes)


if __name__ == "__main__":
    main()

"""A live session against ``SAM2VideoPredictor`` on the same frames: masks and time.

    python benchmarks/video_parity.py [--frames 20] [--weights tiny|demo]

Both sides have the same weights and run in this process, frame by frame in turn. By default the
architecture of sam2.1-hiera-tiny at its full size with random weights, told to see an object, on
the frames of ``DIPTYCH_TEST_DATA/bedroom`` if there are any; with ``--weights demo`` the demo
weights on a drawn clip. An object is added at the start, another one at frame 10, and the first is
corrected in the middle.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import clips
import machine
import numpy as np
import served
import torch
from PIL import Image

from diptych import Box, Mask, OutputOptions, Point, Prompt
from diptych_runtime.engine import FrameAnswer, VideoOptions
from diptych_sam2.network.build import build_model
from diptych_sam2.network.parts import assemble
from diptych_sam2.network.video import VideoNetwork
from diptych_sam2.settings import EngineSettings
from diptych_sam2.video.session import Sam2VideoSession
from diptych_sam2.weights.checkpoints import choose, packaged_config

sys.path.insert(0, str(clips.ROOT / "tests" / "support"))
from sam2_video_stock import Clip, Stock, stock_of
from steps import finished

LEAST_IOU = 0.999
MOST_LOGITS = 1e-3
ADDED = 10
PRESENCE = "sam_mask_decoder.pred_obj_score_head.layers.2.bias"


@dataclass
class Sides:
    """Both sides on one clip, how far they were apart, and what each frame took (seconds)."""

    session: Sam2VideoSession
    stock: Stock
    clip: Clip
    logits_apart: float = 0.0
    ious: list[float] = field(default_factory=list)
    ours_s: list[float] = field(default_factory=list)
    stock_s: list[float] = field(default_factory=list)

    def frame(self, number: int) -> None:
        """The next frame on both sides."""
        started = time.perf_counter()
        answer = finished(self.session.add_frame(number, self.clip.frames[number]))
        between = time.perf_counter()
        if self.stock.state["obj_ids"]:
            self.stock.follow(number, number)
            self.ours_s.append(between - started)
            self.stock_s.append(time.perf_counter() - between)
        self._compare([answer])

    def prompt(self, object_id: int, number: int, prompt: Prompt) -> None:
        """A prompt on the newest frame, on both sides."""
        answers = finished(self.session.prompt(object_id, number, prompt))
        self.stock.prompt(object_id, number, prompt)
        self._compare(answers)

    def _compare(self, answers: Sequence[FrameAnswer]) -> None:
        for answer in answers:
            for one in answer.objects:
                ours = self.session._tracks[one.object_id].memory.latest(answer.frame_index)
                theirs = self.stock.output(one.object_id, answer.frame_index)["pred_masks"]
                assert ours is not None
                assert ours.logits is not None
                apart = float((ours.logits - theirs).abs().max())
                self.logits_apart = max(self.logits_apart, apart)
                wanted = Mask.from_array(self.stock.masks[answer.frame_index][one.object_id])
                if one.segment.mask is not None and wanted.area:
                    self.ious.append(wanted.iou(one.segment.mask))
                elif wanted.area:
                    self.ious.append(0.0)


def sides(weights: str, clip: Clip) -> Sides:
    """Both sides with the same weights."""
    if weights == "demo":
        chosen = choose(EngineSettings(sam_2_weights="demo"))
        config, state = chosen.config, chosen.weights.read_state()
    else:
        torch.manual_seed(11)
        config = packaged_config(served.TINY)
        state = build_model(config).state_dict()
        state[PRESENCE].fill_(1.0)  # left to chance, random weights see no object anywhere
    network = VideoNetwork(assemble(build_model(config, state), torch.device("cpu")))
    options = VideoOptions(OutputOptions(), track_all=False, max_objects=8, held_frames=2)
    return Sides(Sam2VideoSession(network, options), Stock(stock_of(config, state), clip), clip)


def lossless(folder: Path, frames: Sequence[clips.Pixels]) -> Clip:
    """Frames where stock finds them; it takes .jpg only, but Pillow looks at the content."""
    for number, pixels in enumerate(frames):
        Image.fromarray(pixels).save(folder / f"{number:05d}.jpg", format="PNG")
    return Clip(list(frames), [], folder)


def follow(both: Sides, first: Prompt, added: Prompt, corrected: Prompt) -> None:
    """The whole clip."""
    frames = len(both.clip.frames)
    for number in range(frames):
        both.frame(number)
        if number == 0:
            both.prompt(1, 0, first)
        if number == ADDED:
            both.prompt(2, number, added)
        if number == frames // 2 + 2:
            both.prompt(1, number, corrected)


def main() -> None:
    """Measure, print and judge."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--weights", choices=("tiny", "demo"), default="tiny")
    args = parser.parse_args()
    print(machine.describe())
    drawn = clips.drawn(5, args.frames)
    photographed = clips.photographed(args.frames)
    frames = [picture for picture, _ in drawn] if args.weights == "demo" else list(photographed)
    height, width = frames[0].shape[:2]
    prompts = [
        Prompt(box=Box(width * 0.3, height * 0.3, width * 0.55, height * 0.8)),
        *(Prompt(points=(Point(width * x, height * 0.5),)) for x in (0.7, 0.45)),
    ]
    if args.weights == "demo":
        boxes = ((0, 1), (ADDED, 2), (args.frames // 2 + 2, 1))
        prompts = [Prompt(box=Box(*clips.box_of(drawn[n][1], value))) for n, value in boxes]
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stderr(io.StringIO()),  # stock draws progress bars
    ):
        both = sides(args.weights, lossless(Path(folder), frames))
        follow(both, *prompts)
    ours, stock = (statistics.median(times) for times in (both.ours_s, both.stock_s))
    ratios = np.array(both.stock_s) / np.array(both.ours_s)
    print(
        f"{args.weights}, {args.frames} frames of {width}x{height}, {len(both.ious)} masks compared"
    )
    print(f"logits apart {both.logits_apart:.2g}, least IoU {min(both.ious):.6f}")
    print(
        f"median time of a frame: session {ours * 1e3:.0f} ms, stock {stock * 1e3:.0f} ms, "
        f"ratio {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"
    )
    figures = {**vars(both), "session": None, "stock": None, "clip": None}
    machine.keep(f"video_parity_{args.weights}", figures)
    if both.logits_apart > MOST_LOGITS or min(both.ious) < LEAST_IOU:
        raise SystemExit("a session and stock differ")


if __name__ == "__main__":
    main()

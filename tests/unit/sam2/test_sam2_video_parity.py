"""A live session gives the numbers of ``SAM2VideoPredictor`` on the whole clip.

Both round memories to bfloat16. A feature that differs by float32's rounding may fall on the other
side of a step there, a thousand times as large, so logits of later frames come really close only
when neither side rounds: every clip is followed in both ways.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib import resources
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from sam2 import sam2_video_predictor
from sam2.build_sam import build_sam2_video_predictor
from sam2.sam2_video_predictor import SAM2VideoPredictor
from sam2.utils.misc import load_video_frames
from sam2_video_stock import Clip, Stock, stock_of
from torch import Tensor

from diptych import Box, Mask, OutputOptions, Point, Prompt, read_video
from diptych_runtime.engine import FrameAnswer, VideoOptions
from diptych_sam2.network import video as video_network
from diptych_sam2.network.build import build_model
from diptych_sam2.network.frames import normalised, squashed
from diptych_sam2.network.parts import assemble
from diptych_sam2.network.video import VideoNetwork
from diptych_sam2.settings import EngineSettings
from diptych_sam2.video.session import Sam2VideoSession
from diptych_sam2.weights.checkpoints import choose, packaged_config

SCENES = Path(__file__).parents[3] / "demo-weights"
SAMPLE = str(resources.files("diptych") / "samples" / "clip.mp4")
TINY = "configs/sam2.1/sam2.1_hiera_t.yaml"
CPU = torch.device("cpu")
SIZE = (192, 320)
CORRECTED, ADDED = 20, 10
FOLLOWED = 28
"""Frames of a clip, more than a memory looks back upon: 7 masks and 16 pointers."""
BLINKS, CLICKED = 3, 36
MOST_FRAMES = 44
"""Of a clip."""
T = TypeVar("T")


@dataclass(frozen=True)
class Memories:
    """How memories are kept on both sides, and how far logits may be apart then."""

    dtype: torch.dtype
    most_apart: float


class TorchWithoutBfloat16:
    """What ``SAM2VideoPredictor`` takes for torch when it is to keep memories whole."""

    bfloat16 = torch.float32

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


@pytest.fixture(params=["rounded", "whole"])
def memories(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Memories:
    """Rounded as they always are, or not at all."""
    if request.param == "rounded":
        return Memories(torch.bfloat16, most_apart=0.03)
    monkeypatch.setattr(sam2_video_predictor, "torch", TorchWithoutBfloat16())
    monkeypatch.setattr(video_network, "_MEMORY_TYPE", torch.float32)
    return Memories(torch.float32, most_apart=5e-4)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: Any) -> Iterator[Callable[..., Clip]]:
    """Synthetic clips of a seed and a length, not square, so that x and y scale differently; with
    ``blinking`` objects, which are gone for a while."""
    sys.path.insert(0, str(SCENES))
    scenes = importlib.import_module("scenes")

    @cache
    def make(seed: int, count: int, *, blinking: bool = False) -> Clip:
        folder = tmp_path_factory.mktemp("clip")
        frames, labels = [], []
        if blinking:
            shots = scenes.crossing_clip(seed, count, blink=True)
        else:
            shots = scenes.clip(seed, count, speed=5)
        for number, (picture, label) in enumerate(shots):
            image = Image.fromarray(picture).resize(SIZE[::-1], Image.Resampling.BILINEAR)
            # Stock takes .jpg only; Pillow looks at the content, and PNG is exact.
            image.save(folder / f"{number:05d}.jpg", format="PNG", compress_level=1)
            frames.append(np.asarray(image))
            values = Image.fromarray(label).resize(SIZE[::-1], Image.Resampling.NEAREST)
            labels.append(np.asarray(values))
        return Clip(frames, labels, folder)

    yield make
    sys.path.remove(str(SCENES))


@dataclass
class Side:
    """Our session and stock on one clip, and how far they ever were apart."""

    session: Sam2VideoSession
    stock: Stock
    clip: Clip
    finish: Any
    memories: Memories
    worst_logits: float = 0.0
    worst_logits_at_first: float = 0.0
    """On the first frame, where no memory is looked at."""
    worst_presence: float = 0.0
    ious: list[float] = field(default_factory=list)
    """Of the masks with pixels on either side."""

    def frame(self, number: int) -> None:
        """The next frame; our client leaves out every other index, which must change nothing."""
        answer, _ = self.finish(self.session.add_frame(2 * number, self.clip.frames[number]))
        if self.stock.state["obj_ids"]:
            self.stock.follow(number, number)
        self._compare(answer)

    def prompt(self, object_id: int, number: int, prompt: Prompt, *, newest: int) -> None:
        answers, _ = self.finish(self.session.prompt(object_id, 2 * number, prompt))
        self.stock.prompt(object_id, number, prompt)
        if newest > number:
            self.stock.follow(number, newest)
        assert [answer.frame_index // 2 for answer in answers] == [*range(number, newest + 1)]
        for answer in answers:
            self._compare(answer)

    def _compare(self, answer: FrameAnswer) -> None:
        number = answer.frame_index // 2
        expected = self.stock.masks.get(number, {})
        for one in answer.objects:
            ours = self.session._tracks[one.object_id].memory.latest(number)
            theirs = self.stock.output(one.object_id, number)
            assert ours is not None
            assert ours.logits is not None
            apart = float((ours.logits - theirs["pred_masks"]).abs().max())
            self.worst_logits = max(self.worst_logits, apart)
            if number == 0:
                self.worst_logits_at_first = max(self.worst_logits_at_first, apart)
            if ours.features is not None:
                kept = theirs["maskmem_features"].dtype
                assert ours.features.dtype == kept == self.memories.dtype
            presence = torch.sigmoid(theirs["object_score_logits"])
            self.worst_presence = max(self.worst_presence, abs(float(presence) - one.presence))
            assert one.segment.score == one.presence
            wanted = Mask.from_array(expected[one.object_id])
            if one.segment.mask is None:
                assert wanted.area == 0
            elif wanted.area or one.segment.mask.area:
                self.ious.append(wanted.iou(one.segment.mask))

    def check(self, *, seen: int) -> None:
        print(
            f"logits {self.worst_logits:.2g}, {self.worst_logits_at_first:.2g} at first, "
            f"presence {self.worst_presence:.2g}, "
            f"least IoU {min(self.ious):.6f} of {len(self.ious)}"
        )
        assert self.worst_logits <= self.memories.most_apart
        assert self.worst_logits_at_first <= 1e-4
        assert self.worst_presence <= 1e-4
        assert fmean(self.ious) >= 0.999
        # A pixel beside the threshold may go either way, and small masks have a thousand.
        assert min(self.ious) >= 0.99
        assert len(self.ious) >= seen


@pytest.fixture(scope="module")
def demo(request: pytest.FixtureRequest) -> tuple[VideoNetwork, SAM2VideoPredictor]:
    """The demo weights, in the quick network or in the one that a test names."""
    chosen = choose(EngineSettings())
    state = chosen.weights.read_state()
    network = getattr(request, "param", "quick")
    parts = assemble(build_model(chosen.config, state), CPU, network=network)
    predictor = stock_of(chosen.config, state)
    # However its memories are kept, it sees the frames of a clip alike.
    predictor.forward_image = encoded_once(predictor.forward_image)
    return VideoNetwork(parts), predictor


def encoded_once(encode: Callable[[Tensor], T]) -> Callable[[Tensor], T]:
    """Keeps what stock's encoder says of the last frames that it was given."""
    known: dict[bytes, T] = {}

    def encoded(image: Tensor) -> T:
        key = sha256(image.numpy()).digest()
        if key not in known:
            known[key] = encode(image)
        while len(known) > MOST_FRAMES:
            del known[next(iter(known))]
        return known[key]

    return encoded


def side_by_side(
    networks: tuple[VideoNetwork, SAM2VideoPredictor],
    clip: Clip,
    finish: Any,
    memories: Memories,
    **options: Any,
) -> Side:
    network, predictor = networks
    opened = VideoOptions(OutputOptions(), track_all=False, max_objects=8, held_frames=4)
    session = Sam2VideoSession(network, opened, **options)
    return Side(session, Stock(predictor, clip), clip, finish, memories)


def test_frames_are_prepared_as_stock_prepares_them(clips: Any) -> None:
    clip = clips(3, 2)
    expected, height, width = load_video_frames(str(clip.folder), 256, True, compute_device=CPU)
    assert (height, width) == SIZE
    for frame, tensor in zip(clip.frames, expected, strict=True):
        assert torch.equal(normalised(squashed(frame, 256))[0], tensor)


@pytest.mark.slow
def test_one_object_and_a_correction_in_the_middle(
    demo: Any, clips: Any, finish: Any, memories: Memories
) -> None:
    clip = clips(1, FOLLOWED)
    both = side_by_side(demo, clip, finish, memories)
    for number in range(FOLLOWED):
        both.frame(number)
        if number == 0:
            both.prompt(1, 0, Prompt(box=clip.box(0, 1)), newest=0)
        if number == CORRECTED:
            both.prompt(1, number, Prompt(points=(clip.inside(number, 1),)), newest=number)
            second = Prompt(points=(clip.inside(number, 1), Point(2, 2, positive=False)))
            both.prompt(1, number, second, newest=number)
    both.check(seen=10)


@pytest.mark.slow
def test_three_objects_one_added_later_one_corrected(
    demo: Any, clips: Any, finish: Any, memories: Memories
) -> None:
    clip = clips(5, FOLLOWED)
    both = side_by_side(demo, clip, finish, memories)
    for number in range(FOLLOWED):
        both.frame(number)
        if number == 0:
            both.prompt(7, 0, Prompt(points=(clip.inside(0, 1),)), newest=0)
            refined = (clip.inside(0, 1), Point(300, 20, positive=False))
            both.prompt(7, 0, Prompt(points=refined), newest=0)
            both.prompt(3, 0, Prompt(mask=clip.mask(0, 2)), newest=0)
        if number == ADDED:
            corner = Prompt(points=(clip.inside(number, 3),), box=clip.box(number, 3))
            both.prompt(5, number, corner, newest=number)
        if number == CORRECTED:
            both.prompt(7, number, Prompt(mask=clip.mask(number, 1)), newest=number)
    both.check(seen=30)


@pytest.mark.slow
def test_objects_that_go_and_come_back(
    demo: Any, clips: Any, finish: Any, memories: Memories
) -> None:
    clip = clips(BLINKS, 44, blinking=True)
    values = [int(value) for value in np.unique(clip.labels[0]) if value]
    assert len(values) >= 3
    both = side_by_side(demo, clip, finish, memories)
    for number in range(44):
        both.frame(number)
        for value in values if number == 0 else ():
            both.prompt(value, 0, Prompt(box=clip.box(0, value)), newest=0)
        if number == CLICKED:
            first = Prompt(points=(clip.inside(number, values[0]),))
            both.prompt(values[0], number, first, newest=number)
    areas = [[int(both.stock.masks[n][value].sum()) for n in range(44)] for value in values]
    assert any(came_back(one) for one in areas)
    both.check(seen=60)


def off(x: float, y: float) -> Prompt:
    """A click that only says where the object is not."""
    return Prompt(points=(Point(x, y, positive=False),))


def corner(mask: Mask, share: float) -> tuple[float, float]:
    """A pixel of a mask, the further to the right the larger the share in [0, 1)."""
    rows, columns = np.nonzero(mask.to_array())
    at = np.argsort(columns, kind="stable")[int(share * len(columns))]
    return float(columns[at]), float(rows[at])


@pytest.mark.slow
def test_background_clicks_alone_and_masks_with_clicks_through_40_frames(
    demo: Any, clips: Any, finish: Any
) -> None:
    """Tracked frames are corrected by where the object is not, and masks by points and a box."""
    clip = clips(5, 40)
    both = side_by_side(demo, clip, finish, Memories(torch.bfloat16, most_apart=0.03))
    changed = []
    for number in range(40):
        both.frame(number)
        if number == 0:
            both.prompt(1, 0, Prompt(box=clip.box(0, 1)), newest=0)
            both.prompt(1, 0, off(*corner(clip.mask(0, 1), 0.9)), newest=0)
            refined = Prompt(points=(clip.inside(0, 2),), mask=clip.mask(0, 2))
            both.prompt(2, 0, refined, newest=0)
        if number == ADDED:
            before = both.stock.masks[number - 1][1].sum()
            at = corner(Mask.from_array(both.stock.masks[number - 1][1]), 0.8)
            both.prompt(1, number - 1, off(*at), newest=number)
            changed.append(both.stock.masks[number - 1][1].sum() != before)
            moved = Prompt(box=clip.box(number, 3), mask=clip.mask(number - 2, 3))
            both.prompt(3, number, moved, newest=number)
        if number == CORRECTED:
            before = both.stock.masks[number][2].sum()
            both.prompt(2, number, off(*corner(clip.mask(number, 2), 0.1)), newest=number)
            changed.append(both.stock.masks[number][2].sum() != before)
            wrong = Prompt(
                points=(clip.inside(number, 3), Point(3, 3, positive=False)),
                box=clip.box(number, 3),
                mask=clip.mask(number, 1),
            )
            both.prompt(3, number, wrong, newest=number)
    assert changed == [True, True]
    both.check(seen=60)


def test_a_background_click_on_the_sample_clip_is_that_of_the_package(
    demo: Any, finish: Any, tmp_path: Path
) -> None:
    """The star of the sample: a box, five frames, and one click beside its middle. The figures are
    those of the package alone, on frames that were saved as it wants them."""
    frames = []
    for number, frame in enumerate(read_video(SAMPLE, max_frames=6)):
        path = tmp_path / f"{number:05d}.jpg"
        Image.fromarray(frame.pixels).save(path, quality=95)
        frames.append(np.asarray(Image.open(path)))
    memories = Memories(torch.bfloat16, most_apart=0.03)
    both = side_by_side(demo, Clip(frames, [], tmp_path), finish, memories)
    for number in range(6):
        both.frame(number)
        if number == 0:
            both.prompt(1, 0, Prompt(box=Box(161, 37, 208, 84)), newest=0)
    before = int(both.stock.masks[5][1].sum())
    both.prompt(1, 5, off(200, 75), newest=5)
    after = int(both.stock.masks[5][1].sum())
    assert (before, after) == (797, 575)
    both.check(seen=7)


def came_back(areas: list[int]) -> bool:
    """Whether an object was not seen for a while, and then again."""
    seen = [number for number, area in enumerate(areas) if area]
    return any(later - earlier > 3 for earlier, later in pairwise(seen))


@pytest.mark.parametrize("demo", ["quick", "stock"], indirect=True)
def test_a_correction_on_a_held_frame(
    demo: Any, clips: Any, finish: Any, memories: Memories
) -> None:
    clip = clips(1, 24)
    both = side_by_side(demo, clip, finish, memories, feature_frames=1)
    for number in range(24):
        both.frame(number)
        if number == 0:
            both.prompt(1, 0, Prompt(box=clip.box(0, 1)), newest=0)
        if number == 19:
            both.prompt(1, 17, Prompt(points=(clip.inside(17, 1),)), newest=19)
            both.prompt(1, 17, Prompt(box=clip.box(17, 1)), newest=19)
            both.prompt(1, 16, Prompt(mask=clip.mask(16, 1)), newest=19)
        if number == 21:
            both.prompt(1, 21, Prompt(points=(clip.inside(21, 1),)), newest=21)
            both.prompt(1, 19, Prompt(points=(clip.inside(19, 1),)), newest=21)
    both.check(seen=8)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: Any) -> tuple[VideoNetwork, SAM2VideoPredictor]:
    """The published tiny architecture at 128 pixels with random weights."""
    torch.manual_seed(11)
    config = tmp_path_factory.mktemp("tiny") / "tiny.yaml"
    tree = OmegaConf.load(packaged_config(TINY))
    tree.model.image_size = 128
    OmegaConf.save(tree, config)
    model = build_model(config)
    state = model.state_dict()
    # Left to chance, random weights see no object anywhere, and there is nothing to compare.
    state["sam_mask_decoder.pred_obj_score_head.layers.2.bias"].fill_(1.0)
    overrides = ["++model.image_size=128", "++model.add_all_frames_to_correct_as_cond=true"]
    predictor = build_sam2_video_predictor(TINY, device="cpu", hydra_overrides_extra=overrides)
    predictor.load_state_dict(state)
    return VideoNetwork(assemble(model, CPU)), predictor


@pytest.mark.slow
def test_the_tiny_architecture_with_random_weights(tiny: Any, clips: Any, finish: Any) -> None:
    clip = clips(5, 19)
    both = side_by_side(tiny, clip, finish, Memories(torch.bfloat16, most_apart=1e-4))
    for number in range(19):
        both.frame(number)
        if number == 0:
            both.prompt(1, 0, Prompt(points=(clip.inside(0, 1),)), newest=0)
        if number == 10:
            both.prompt(2, number, Prompt(box=clip.box(number, 2)), newest=number)
        if number == 18:
            both.prompt(1, 17, Prompt(points=(clip.inside(17, 1),)), newest=18)
    logits = both.session._tracks[1].memory.latest(18)
    assert logits is not None
    assert logits.logits is not None
    assert logits.logits.max() > -100
    assert both.worst_logits <= 1e-4
    assert both.worst_presence <= 1e-5

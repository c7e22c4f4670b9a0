"""Stock and both tiers with the demo weights, asked the same.

The stock sides are torchvision's ``MaskRCNN`` and sam2's predictor, generator and video predictor
in float32, with the demo weights and the thresholds that the demo's cards say; ours are the engines
that the services run.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import clips
import numpy as np
import torch
from numpy.typing import NDArray
from photographs import encoded
from rcnn_sides import Ours as OurMaskRcnn
from rcnn_sides import Stock as StockMaskRcnn
from rcnn_sides import labelled, stock_demo
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sam2.sam2_image_predictor import SAM2ImagePredictor

from diptych import Mask, OutputOptions, Prompt, Segment, Task
from diptych_runtime.engine import Job, Pixels, Tier, VideoOptions
from diptych_sam2.card import read_card
from diptych_sam2.engine import Sam2Engine
from diptych_sam2.network.build import build_model
from diptych_sam2.settings import EngineSettings
from diptych_sam2.weights.checkpoints import choose

sys.path.insert(0, str(clips.ROOT / "tests" / "support"))
from agreement import Labelled
from sam2_video_stock import Clip, Stock, stock_of
from steps import finished

TIERS = tuple(tier.value for tier in Tier)
MIN_SCORE = 0.5
"""Of Mask R-CNN, as the service has it."""
Answers = Mapping[str, Sequence[Labelled]]
"""By side: ``stock``, and each tier."""


@dataclass(frozen=True)
class Picture:
    """Pixels, and what to ask SAM 2 about them: lone points and lone boxes."""

    pixels: Pixels
    prompts: Sequence[Prompt]


class MaskRcnn:
    """Instance segmentation, from a JPEG file."""

    def __init__(self, device: torch.device) -> None:
        stock = StockMaskRcnn(stock_demo(), device=device)
        ours = {tier: OurMaskRcnn(tier, "demo", device) for tier in TIERS}
        self._sides = {"stock": stock, **ours}

    def answers(self, picture: Picture) -> Answers:
        """Of each side."""
        file = encoded(picture.pixels)
        return {name: labelled(ask(file, MIN_SCORE)) for name, ask in self._sides.items()}


class Sam2:
    """What the three tasks of SAM 2 share: engines and the package's model."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.engines: dict[str, Sam2Engine] = {}
        for tier in TIERS:
            self.engines[tier] = Sam2Engine(EngineSettings(device=str(device), tier=tier))
            self.engines[tier].load()
        self.chosen = choose(EngineSettings())
        self.state = self.chosen.weights.read_state()
        self.model = build_model(self.chosen.config, self.state).to(device)

    def fitted(self, predictor: SAM2ImagePredictor) -> SAM2ImagePredictor:
        """With the sizes of feature maps, which the predictor knows for 1024 pixels only."""
        side = self.model.image_size
        predictor._bb_feat_sizes = [(side // stride, side // stride) for stride in (4, 8, 16)]
        return predictor

    def segments(self, tier: str, pixels: Pixels, job: Job) -> Sequence[Segment]:
        """Our answer to a job."""
        engine = self.engines[tier]
        return finished(engine.segment(engine.embed(pixels, "image"), lambda: pixels, job)).segments


class Prompted:
    """One mask for each point and each box; its partner is the answer to the same prompt."""

    def __init__(self, sides: Sam2) -> None:
        self._sides = sides
        self._predictor = sides.fitted(SAM2ImagePredictor(sides.model))

    def answers(self, picture: Picture) -> Answers:
        """Of each side."""
        self._predictor.set_image(picture.pixels)
        stock = [(i, self._stock(prompt)) for i, prompt in enumerate(picture.prompts)]
        job = Job(Task.PROMPTED_SEGMENTATION, tuple(picture.prompts), OutputOptions(), None)
        ours = {
            tier: [
                (one.prompt_index, _mask_of(one))
                for one in self._sides.segments(tier, picture.pixels, job)
            ]
            for tier in TIERS
        }
        return {"stock": stock, **ours}

    def _stock(self, prompt: Prompt) -> Mask:
        """The best of three for a point, the single one for a box."""
        if prompt.box is not None:
            box = np.array(prompt.box.xyxy, np.float32)
            masks, _, _ = self._predictor.predict(box=box, multimask_output=False)
            return Mask.from_array(masks[0] > 0)
        places = np.array([[point.x, point.y] for point in prompt.points])
        labels = np.ones(len(places), np.int32)
        masks, scores, _ = self._predictor.predict(places, labels, multimask_output=True)
        return Mask.from_array(masks[scores.argmax()] > 0)


class Automatic:
    """Everything in a picture, with the demo card's options."""

    def __init__(self, sides: Sam2) -> None:
        self._sides = sides
        self._generator = SAM2AutomaticMaskGenerator(
            sides.model, **vars(read_card("demo").automatic)
        )
        sides.fitted(self._generator.predictor)

    def answers(self, picture: Picture) -> Answers:
        """Of each side."""
        records = self._generator.generate(picture.pixels)
        stock = [(None, Mask.from_array(record["segmentation"])) for record in records]
        job = Job(Task.INSTANCE_SEGMENTATION, (), OutputOptions(), None)
        ours = {
            tier: [(None, _mask_of(one)) for one in self._sides.segments(tier, picture.pixels, job)]
            for tier in TIERS
        }
        return {"stock": stock, **ours}


class Video:
    """Objects that are followed from a box each; partners are of one object on one frame."""

    def __init__(self, sides: Sam2) -> None:
        self._sides = sides
        self._stock = stock_of(sides.chosen.config, sides.state).to(sides.device)

    def answers(
        self, folder: Path, frames: Sequence[Pixels], prompts: Mapping[int, Prompt]
    ) -> Answers:
        """Of each side; ``folder`` has the frames as stock reads them, ``prompts`` are those of the
        first frame by object."""
        clip = Clip(list(frames), [], folder)
        ours = {tier: self._ours(tier, clip, prompts) for tier in TIERS}
        return {"stock": self._stocks(clip, prompts), **ours}

    def _stocks(self, clip: Clip, prompts: Mapping[int, Prompt]) -> list[Labelled]:
        side = Stock(self._stock, clip)
        for object_id, prompt in prompts.items():
            side.prompt(object_id, 0, prompt)
        side.follow(0, len(clip.frames) - 1)
        return [
            ((frame, object_id), Mask.from_array(mask))
            for frame, masks in side.masks.items()
            for object_id, mask in masks.items()
        ]

    def _ours(self, tier: str, clip: Clip, prompts: Mapping[int, Prompt]) -> list[Labelled]:
        options = VideoOptions(
            OutputOptions(), track_all=False, max_objects=len(prompts), held_frames=2
        )
        session = self._sides.engines[tier].open_session(options)
        found: dict[tuple[int, int], Mask] = {}
        for number, pixels in enumerate(clip.frames):
            answers = [finished(session.add_frame(number, pixels))]
            if number == 0:
                for object_id, prompt in prompts.items():
                    answers += finished(session.prompt(object_id, 0, prompt))
            for answer in answers:
                for one in answer.objects:
                    found[answer.frame_index, one.object_id] = _mask_of(one.segment, pixels)
        session.close()
        return list(found.items())


def _mask_of(segment: Segment, pixels: NDArray[np.uint8] | None = None) -> Mask:
    """An object that is not there has no mask, which is an empty one of the frame's size."""
    if segment.mask is not None:
        return segment.mask
    assert pixels is not None
    return Mask.from_array(np.zeros(pixels.shape[:2], np.bool_))

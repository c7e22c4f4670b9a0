"""The sam2 package's own video predictor, driven like a live stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import OmegaConf
from sam2.sam2_video_predictor import SAM2VideoPredictor

from diptych import Box, Mask, Point, Prompt
from diptych_runtime.engine import Pixels

Labels = NDArray[np.uint8]


@dataclass
class Clip:
    """Frames, what is on them, and where they lie for stock."""

    frames: list[Pixels]
    labels: list[Labels]
    folder: Path

    def mask(self, frame: int, value: int) -> Mask:
        return Mask.from_array(self.labels[frame] == value)

    def box(self, frame: int, value: int) -> Box:
        box = self.mask(frame, value).box
        assert box is not None
        return box

    def inside(self, frame: int, value: int) -> Point:
        """The pixel of the object that is closest to its middle."""
        rows, columns = np.nonzero(self.labels[frame] == value)
        nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
        return Point(float(columns[nearest]), float(rows[nearest]))


class Stock:
    """``SAM2VideoPredictor`` driven in stream order: no frame is looked at before its turn."""

    def __init__(self, predictor: SAM2VideoPredictor, clip: Clip) -> None:
        # The kernel that fills holes is not in the wheel: off by name instead of by a warning.
        predictor.fill_hole_area = 0
        self.predictor = predictor
        self.state = predictor.init_state(str(clip.folder))
        self.masks: dict[int, dict[int, NDArray[np.bool_]]] = {}

    def prompt(self, object_id: int, frame: int, prompt: Prompt) -> None:
        shown = None
        if isinstance(prompt.mask, Mask):
            shown = self.predictor.add_new_mask(
                self.state, frame, object_id, prompt.mask.to_array()
            )
        if shown is None or prompt.points or prompt.box is not None:
            shown = self.predictor.add_new_points_or_box(
                self.state,
                frame,
                object_id,
                points=[[p.x, p.y] for p in prompt.points] or None,
                labels=[int(p.positive) for p in prompt.points] or None,
                box=None if prompt.box is None else np.array(prompt.box.xyxy, np.float32),
            )
        self._keep(*shown)

    def follow(self, start: int, stop: int) -> None:
        """Frames ``start`` to ``stop``, both included."""
        for shown in self.predictor.propagate_in_video(self.state, start, stop - start):
            self._keep(*shown)

    def output(self, object_id: int, frame: int) -> Mapping[str, torch.Tensor]:
        index = self.state["obj_id_to_idx"][object_id]
        for outputs in (self.state["temp_output_dict_per_obj"], self.state["output_dict_per_obj"]):
            for kind in ("cond_frame_outputs", "non_cond_frame_outputs"):
                if frame in outputs[index][kind]:
                    found: Mapping[str, torch.Tensor] = outputs[index][kind][frame]
                    return found
        raise AssertionError(f"stock has no answer for object {object_id} on frame {frame}")

    def _keep(self, frame: int, object_ids: list[int], logits: torch.Tensor) -> None:
        binary = (logits[:, 0] > 0).cpu().numpy()
        self.masks[frame] = dict(zip(object_ids, binary, strict=True))


def stock_of(config: Path, state: Mapping[str, torch.Tensor]) -> SAM2VideoPredictor:
    """What ``build_sam2_video_predictor`` makes of a file outside of the sam2 package."""
    tree = OmegaConf.load(config)
    for name, value in {
        "_target_": "sam2.sam2_video_predictor.SAM2VideoPredictor",
        "sam_mask_decoder_extra_args": {
            "dynamic_multimask_via_stability": True,
            "dynamic_multimask_stability_delta": 0.05,
            "dynamic_multimask_stability_thresh": 0.98,
        },
        "binarize_mask_from_pts_for_mem_enc": True,
        "add_all_frames_to_correct_as_cond": True,
    }.items():
        OmegaConf.update(tree, f"model.{name}", value, force_add=True)
    OmegaConf.resolve(tree)
    predictor: SAM2VideoPredictor = instantiate(tree.model, _recursive_=True).eval()
    predictor.load_state_dict({k: v.float() for k, v in state.items()})
    return predictor

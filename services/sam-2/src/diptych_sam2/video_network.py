"""The network in time: the only module that reaches inside ``SAM2Base`` for video.

What ``SAM2VideoPredictor`` of sam2 1.1.0 computes for one object on one frame, built as
``build_sam2_video_predictor`` builds it, with ``add_all_frames_to_correct_as_cond`` on (or a
correction is lost again) and ``fill_hole_area`` off (its kernel is not in the wheel).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any

import torch
import torch.nn.functional as F
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from diptych_runtime.engine import LoadError

from .network import LOGIT_LIMIT
from .parts import Parts
from .video_frames import Square, normalised
from .video_memory import FrameMemory, ObjectMemory

_SAM2_VERSION = "1.1.0"
_NUM_FRAMES = 1 << 62
"""A stream has no end, and pointers beyond this number would be skipped."""


@dataclass(frozen=True)
class FrameFeatures:
    """What the image encoder made of one frame, on the network's device."""

    levels: tuple[Tensor, ...]
    """Feature maps ``(1, channels, height, width)``, the finest first."""

    @property
    def nbytes(self) -> int:
        """Memory that these features keep alive, in bytes."""
        return sum(level.untyped_storage().nbytes() for level in self.levels)


@dataclass(frozen=True)
class PromptInputs:
    """One prompt in the network's terms: points, or a mask."""

    points: tuple[Tensor, Tensor] | None
    """``(1, n, 2)`` x and y in pixels of the square, and ``(1, n)`` int32 labels."""
    mask: Tensor | None
    """``(1, 1, side, side)`` float32, 0 or 1."""


class VideoNetwork:
    """SAM 2 for streams. Holds no stream: sessions pass their memory in.

    ``parts`` may serve still pictures at the same time; their weights are shared.

    Raises:
        LoadError: another version of sam2, or a model without a memory.
    """

    def __init__(self, parts: Parts) -> None:
        model = parts.model
        _check_version(metadata.version("sam2"))
        if model.num_maskmem < 1:
            raise LoadError("this configuration of SAM 2 has no memory (num_maskmem is 0)")
        self.device = parts.device
        self.image_size: int = model.image_size
        side = model.image_size // 4
        self.logits_size: tuple[int, int] = (side, side)
        stride = model.memory_temporal_stride_for_eval
        self.memory_frames: int = (model.num_maskmem - 1) * stride
        self.pointer_frames: int = max(model.max_obj_ptrs_in_encoder - 1, self.memory_frames)
        self._model = model
        self._parts = parts
        # What build_sam2_video_predictor sets on top of build_sam2; still pictures never read it.
        self._model.binarize_mask_from_pts_for_mem_enc = True
        # Equal for every frame, and only the coarsest level's is read.
        self._position = _position(model).to(self.device)
        self._memory_position: Tensor | None = None

    @torch.inference_mode()
    def encode(self, square: Square) -> FrameFeatures:
        """Run the image encoder on one frame."""
        return FrameFeatures(tuple(self._parts.frame_levels(normalised(square).to(self.device))))

    @torch.inference_mode()
    def track(self, features: FrameFeatures, number: int, memory: ObjectMemory) -> FrameMemory:
        """Find the object on frame ``number`` from what is remembered of it."""
        return self._step(features, number, memory, first=False)

    @torch.inference_mode()
    def prompted(
        self, features: FrameFeatures, number: int, memory: ObjectMemory, inputs: PromptInputs
    ) -> FrameMemory:
        """Find the object on frame ``number`` from a prompt; without memory features yet.

        A frame that the object was tracked on is corrected in the light of its memory; on any
        other the prompt stands alone, as for a still picture. Clicks refine the last answer.
        """
        last = memory.latest(number)
        previous = None
        if inputs.points is not None and last is not None and last.logits is not None:
            previous = last.logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
        first = not memory.knows(number)
        return self._step(features, number, memory, first=first, inputs=inputs, previous=previous)

    @torch.inference_mode()
    def remembered(self, features: FrameFeatures, memory: FrameMemory) -> FrameMemory:
        """A prompted answer with its memory features, made of the mask that the caller saw."""
        assert memory.logits is not None
        side = self.image_size
        mask = F.interpolate(memory.logits, (side, side), mode="bilinear", align_corners=False)
        maps, sizes = _flattened(features)
        encoded, position = self._model._encode_new_memory(
            current_vision_feats=maps,
            feat_sizes=sizes,
            pred_masks_high_res=mask,
            object_score_logits=memory.presence,
            is_mask_from_pts=True,  # as stock for masks too
        )
        return replace(memory, features=self._kept(encoded, position))

    def _step(
        self,
        features: FrameFeatures,
        number: int,
        memory: ObjectMemory,
        *,
        first: bool,
        inputs: PromptInputs | None = None,
        previous: Tensor | None = None,
    ) -> FrameMemory:
        maps, sizes = _flattened(features)
        out = self._model.track_step(
            frame_idx=number,
            is_init_cond_frame=first,
            current_vision_feats=maps,
            current_vision_pos_embeds=[self._position.flatten(2).permute(2, 0, 1)],
            feat_sizes=sizes,
            point_inputs=_points(inputs),
            mask_inputs=None if inputs is None else inputs.mask,
            output_dict=self._recalled(memory),
            num_frames=_NUM_FRAMES,
            run_mem_encoder=inputs is None,
            prev_sam_mask_logits=previous,
        )
        logits, presence = out["pred_masks"], out["object_score_logits"]
        if not (torch.isfinite(logits).all() & torch.isfinite(presence).all()):
            raise ArithmeticError("the network answered a frame with numbers that are not finite")
        kept = None
        if inputs is None:
            kept = self._kept(out["maskmem_features"], out["maskmem_pos_enc"])
        return FrameMemory(out["obj_ptr"], presence, logits, kept, prompted=inputs is not None)

    def _kept(self, features: Tensor, position: list[Tensor]) -> Tensor:
        if self._memory_position is None:
            self._memory_position = position[-1].clone()
        # Stock rounds memories on any device; without it answers would drift apart from its.
        return features.to(torch.bfloat16)

    def _recalled(self, memory: ObjectMemory) -> dict[str, dict[int, dict[str, Any]]]:
        return {
            "cond_frame_outputs": self._outputs(memory.conditioning),
            "non_cond_frame_outputs": self._outputs(memory.tracked),
        }

    def _outputs(self, frames: Mapping[int, FrameMemory]) -> dict[int, dict[str, Any]]:
        return {
            number: {
                "maskmem_features": memory.features,
                "maskmem_pos_enc": [self._memory_position],
                "obj_ptr": memory.pointer,
            }
            for number, memory in frames.items()
        }


@torch.inference_mode()
def _position(model: SAM2Base) -> Tensor:
    """``(1, channels, side / 16, side / 16)``"""
    side = model.image_size // 16
    encoding = model.image_encoder.neck.position_encoding
    return encoding(torch.empty(1, 1, side, side))  # type: ignore[no-any-return]


def _check_version(version: str) -> None:
    if version != _SAM2_VERSION:
        raise LoadError(f"video needs sam2 {_SAM2_VERSION}, whose inside it uses; got {version}")


def _flattened(features: FrameFeatures) -> tuple[list[Tensor], list[tuple[int, int]]]:
    """Feature maps as ``(height * width, 1, channels)``, and their heights and widths."""
    maps = [level.flatten(2).permute(2, 0, 1) for level in features.levels]
    return maps, [(level.shape[-2], level.shape[-1]) for level in features.levels]


def _points(inputs: PromptInputs | None) -> dict[str, Tensor] | None:
    if inputs is None or inputs.points is None:
        return None
    coordinates, labels = inputs.points
    return {"point_coords": coordinates, "point_labels": labels}

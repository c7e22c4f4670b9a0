"""The network in time: the only module that reaches inside ``SAM2Base`` for video.

What ``SAM2VideoPredictor`` of sam2 1.1.0 computes for one object on one frame, built as
``build_sam2_video_predictor`` builds it, with ``add_all_frames_to_correct_as_cond`` on (or a
correction is lost again) and ``fill_hole_area`` off (its kernel is not in the wheel).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any

import torch
import torch.nn.functional as F
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from diptych_runtime.engine import LoadError

from ..masks import LOGIT_LIMIT
from .frames import Square, normalised
from .memory import FrameMemory, ObjectMemory
from .parts import Parts

_SAM2_VERSION = "1.1.0"
_NUM_FRAMES = 1 << 62
"""A stream has no end, and pointers beyond this number would be skipped."""
_MEMORY_TYPE = torch.bfloat16
"""The package rounds memories on any device; without it answers would drift apart from its."""
_BATCH_OBJECTS = 4
"""Most objects in one batch: more share no more work, and other sessions wait for a batch."""


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
    """One prompt in the network's terms: points, which may correct a mask, or a mask alone."""

    points: tuple[Tensor, Tensor] | None
    """``(1, n, 2)`` x and y in pixels of the square, and ``(1, n)`` int32 labels."""
    mask: Tensor | None
    """``(1, 1, side, side)`` float32, 0 or 1."""
    guess: Tensor | None = None
    """``(1, 1, side / 4, side / 4)`` logits of the mask that the points correct; without one they
    correct the last answer."""


class VideoNetwork:
    """SAM 2 for streams. Holds no stream: sessions pass their memory in.

    ``parts`` may serve still images at the same time; their weights are shared.

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
        # What build_sam2_video_predictor sets on top of build_sam2; still images never read it.
        self._model.binarize_mask_from_pts_for_mem_enc = True
        # Equal for every frame, and only the coarsest level's is read.
        self._position = _position(model).to(self.device)
        self._memory_position: Tensor | None = None

    @torch.inference_mode()
    def encode(self, square: Square) -> FrameFeatures:
        """Run the image encoder on one frame, ``(side, side, 3)`` uint8 RGB."""
        return FrameFeatures(tuple(self._parts.encoder(normalised(square).to(self.device))))

    def batches(self, memories: Mapping[int, ObjectMemory]) -> list[list[int]]:
        """Group objects for ``track``: those of a batch are remembered by the same frames."""
        by_frames: dict[tuple[frozenset[int], frozenset[int]], list[int]] = {}
        for object_id, memory in memories.items():
            by_frames.setdefault(memory.numbers, []).append(object_id)
        return [
            ids[start : start + _BATCH_OBJECTS]
            for ids in by_frames.values()
            for start in range(0, len(ids), _BATCH_OBJECTS)
        ]

    @torch.inference_mode()
    def track(
        self, features: FrameFeatures, number: int, memories: Sequence[ObjectMemory]
    ) -> list[FrameMemory]:
        """Find objects on frame ``number`` from what is remembered of them, which is of the same
        frames for all."""
        return self._step(features, number, memories, first=False)

    @torch.inference_mode()
    def prompt(
        self, features: FrameFeatures, number: int, memory: ObjectMemory, inputs: PromptInputs
    ) -> FrameMemory:
        """Find the object on frame ``number`` from a prompt; without memory features yet.

        A frame that the object was tracked on is corrected in the light of its memory; on any
        other the prompt stands alone, as for a still image. Clicks refine the last answer, or the
        mask that comes with them, as if that had been a prompt of its own before.
        """
        last = memory.latest(number)
        previous = inputs.guess
        can_refine = inputs.points is not None and previous is None
        if can_refine and last is not None and last.logits is not None:
            previous = last.logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
        first = not memory.covers(number)
        (found,) = self._step(
            features, number, [memory], first=first, inputs=inputs, previous=previous
        )
        return found

    @torch.inference_mode()
    def remember(self, features: FrameFeatures, memory: FrameMemory) -> FrameMemory:
        """Add memory features to a prompted answer, made of the mask that the caller saw."""
        assert memory.logits is not None
        side = self.image_size
        mask = F.interpolate(memory.logits, (side, side), mode="bilinear", align_corners=False)
        maps, sizes = _flattened(features, 1)
        encoded, position = self._model._encode_new_memory(
            current_vision_feats=maps,
            feat_sizes=sizes,
            pred_masks_high_res=mask,
            object_score_logits=memory.presence,
            is_mask_from_pts=True,  # as the package does for masks too
        )
        return replace(memory, features=self._memory_features(encoded, position))

    def _step(
        self,
        features: FrameFeatures,
        number: int,
        memories: Sequence[ObjectMemory],
        *,
        first: bool,
        inputs: PromptInputs | None = None,
        previous: Tensor | None = None,
    ) -> list[FrameMemory]:
        count = len(memories)
        maps, sizes = _flattened(features, count)
        position = self._position.flatten(2).permute(2, 0, 1).expand(-1, count, -1)
        out = self._model.track_step(
            frame_idx=number,
            is_init_cond_frame=first,
            current_vision_feats=maps,
            current_vision_pos_embeds=[position],
            feat_sizes=sizes,
            point_inputs=_points(inputs),
            mask_inputs=None if inputs is None else inputs.mask,
            output_dict=self._memory_outputs(memories),
            num_frames=_NUM_FRAMES,
            run_mem_encoder=inputs is None,
            prev_sam_mask_logits=previous,
        )
        logits, presence = out["pred_masks"], out["object_score_logits"]
        if not (torch.isfinite(logits).all() & torch.isfinite(presence).all()):
            raise ArithmeticError("the network answered a frame with numbers that are not finite")
        encoded: Sequence[Tensor | None] = [None] * count
        if inputs is None:
            encoded = _split_objects(
                self._memory_features(out["maskmem_features"], out["maskmem_pos_enc"])
            )
        pointers, presences, masks = map(_split_objects, (out["obj_ptr"], presence, logits))
        return [
            FrameMemory(*one, prompted=inputs is not None)
            for one in zip(pointers, presences, masks, encoded, strict=True)
        ]

    def _memory_features(self, features: Tensor, position: list[Tensor]) -> Tensor:
        if self._memory_position is None:
            self._memory_position = position[-1][:1].clone()
        return features.to(_MEMORY_TYPE)

    def _memory_outputs(
        self, memories: Sequence[ObjectMemory]
    ) -> dict[str, dict[int, dict[str, Any]]]:
        return {
            "cond_frame_outputs": self._outputs([one.conditioning for one in memories]),
            "non_cond_frame_outputs": self._outputs([one.tracked for one in memories]),
        }

    def _outputs(self, objects: Sequence[Mapping[int, FrameMemory]]) -> dict[int, dict[str, Any]]:
        """Frames as the package keeps them, with the memories of several objects in a batch."""
        outputs = {}
        for number in objects[0]:
            frames = [one[number] for one in objects]
            outputs[number] = {
                "maskmem_features": _join_objects([frame.features for frame in frames]),
                "maskmem_pos_enc": [_repeated(self._memory_position, len(frames))],
                "obj_ptr": _join_objects([frame.pointer for frame in frames]),
            }
        return outputs


@torch.inference_mode()
def _position(model: SAM2Base) -> Tensor:
    """``(1, channels, side / 16, side / 16)``"""
    side = model.image_size // 16
    encoding = model.image_encoder.neck.position_encoding
    return encoding(torch.empty(1, 1, side, side))  # type: ignore[no-any-return]


def _check_version(version: str) -> None:
    if version != _SAM2_VERSION:
        raise LoadError(f"video needs sam2 {_SAM2_VERSION}, whose inside it uses; got {version}")


def _flattened(features: FrameFeatures, count: int) -> tuple[list[Tensor], list[tuple[int, int]]]:
    """Feature maps as ``(height * width, count, channels)``, whose objects are one tensor's view,
    and their heights and widths."""
    maps = [level.flatten(2).permute(2, 0, 1).expand(-1, count, -1) for level in features.levels]
    return maps, [(level.shape[-2], level.shape[-1]) for level in features.levels]


def _join_objects(tensors: Sequence[Tensor | None]) -> Tensor | None:
    """One batch; ``None`` if they are not kept any more."""
    if len(tensors) == 1:
        return tensors[0]
    present = [tensor for tensor in tensors if tensor is not None]
    return torch.cat(present) if len(present) == len(tensors) else None


def _split_objects(batch: Tensor) -> list[Tensor]:
    """One tensor for each object, none of which keeps the others in memory."""
    return [batch] if len(batch) == 1 else [one.clone() for one in torch.split(batch, 1)]


def _repeated(position: Tensor | None, count: int) -> Tensor | None:
    return position if position is None else position.expand(count, -1, -1, -1)


def _points(inputs: PromptInputs | None) -> dict[str, Tensor] | None:
    if inputs is None or inputs.points is None:
        return None
    coordinates, labels = inputs.points
    return {"point_coords": coordinates, "point_labels": labels}

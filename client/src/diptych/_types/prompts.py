"""What a caller says: tasks, prompts and options."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..masks.mask import Mask
from .geometry import Box, Point


class Word(str, enum.Enum):
    """A value with a name; printed it is the value, in every version of Python."""

    def __str__(self) -> str:
        return str(self.value)


class Task(Word):
    """What to do with an image."""

    INSTANCE_SEGMENTATION = "instance-segmentation"
    OBJECT_DETECTION = "object-detection"
    KEYPOINT_DETECTION = "keypoint-detection"
    PROMPTED_SEGMENTATION = "prompted-segmentation"
    VIDEO_SEGMENTATION = "video-segmentation"


class PromptKind(Word):
    """A kind of prompt that a model takes."""

    POINT = "point"
    BOX = "box"
    MASK = "mask"
    TEXT = "text"
    """Words; cards say whether a model would take them, no request of this version carries them."""


class MaskEncoding(Word):
    """How masks travel; all but ``POLYGONS`` are exact, ``NONE`` sends boxes only."""

    COCO_RLE = "coco-rle"
    PNG = "png"
    POLYGONS = "polygons"
    NONE = "none"


@dataclass(frozen=True)
class LowResLogits:
    """A mask before the threshold, in the model's own resolution, row by row.

    Opaque to callers: an answer's logits sent back as a prompt refine that answer.
    """

    height: int
    width: int
    float16_le: bytes

    @classmethod
    def from_numpy(cls, logits: NDArray[np.floating]) -> LowResLogits:
        """From ``(height, width)`` floats; values beyond float16 are clipped."""
        limit = float(np.finfo(np.float16).max)
        halves = np.clip(logits, -limit, limit).astype("<f2")
        return cls(logits.shape[0], logits.shape[1], halves.tobytes())

    def to_numpy(self) -> NDArray[np.float32]:
        """``(height, width)`` float32."""
        flat = np.frombuffer(self.float16_le, "<f2")
        return flat.reshape(self.height, self.width).astype(np.float32)


@dataclass(frozen=True)
class Prompt:
    """One wanted object: points, a box and an earlier guess that belong together."""

    points: tuple[Point, ...] = ()
    """On the object or, with ``positive=False``, off it."""
    box: Box | None = None
    """Around the object; what leaves the picture is cut off."""
    mask: Mask | LowResLogits | None = None
    """Where the object was thought to be; points and a box that come with it correct it."""

    @property
    def is_correction(self) -> bool:
        """Whether it has points off the object and nothing else. In a video such a prompt corrects
        the object's answer on the frame; on its own it says nothing about a picture."""
        alone = self.box is None and self.mask is None and bool(self.points)
        return alone and not any(point.positive for point in self.points)


@dataclass(frozen=True)
class OutputOptions:
    """What a reply holds; ``None`` means the model's default, which its card names."""

    min_score: float | None = None
    """Segments below it are dropped. Range [0, 1]. Answers to prompts are never dropped."""
    max_segments: int | None = None
    """No more segments than this, best first. The best answer to each prompt is never left out."""
    mask_encoding: MaskEncoding = MaskEncoding.COCO_RLE
    """How masks travel. Tasks without masks ignore it."""
    all_candidates: bool = False
    """Every candidate mask of an ambiguous prompt instead of the best one. Tasks without prompts
    ignore it."""
    low_res_logits: bool = False
    """Fills ``Segment.low_res_logits``. Models without logits ignore it."""
    category_ids: tuple[int, ...] = ()
    """Only these categories; empty means all. Models without categories ignore it."""


@dataclass(frozen=True)
class AutomaticOptions:
    """Tuning of a mode that finds objects from a grid of points.

    Names and meanings are those of ``SAM2AutomaticMaskGenerator``; ``None`` means the model's
    default, which its card names. Models without such a mode, and tasks with prompts, ignore it.
    """

    points_per_side: int | None = None
    """Points along one side of the grid. Range [1, 64]."""
    pred_iou_thresh: float | None = None
    """Masks with a lower predicted quality are dropped. Range [0, 1]."""
    stability_score_thresh: float | None = None
    """Masks less stable under a shifted threshold are dropped. Range [0, 1]."""
    box_nms_thresh: float | None = None
    """Overlap above which the worse of two masks is dropped. Range [0, 1]."""
    crop_n_layers: int | None = None
    """Layers of image crops to run again on. Range [0, 2]."""
    min_mask_region_area: int | None = None
    """Regions and holes smaller than this, in pixels of the image, are removed."""
    stability_score_offset: float | None = None
    """Shift of the threshold that the stability score looks at. Range (0, 10]."""
    crop_nms_thresh: float | None = None
    """Overlap above which the worse of two masks from different crops is dropped. Range [0, 1]."""
    crop_overlap_ratio: float | None = None
    """Overlap of neighbouring crops as a share of the image. Range [0, 0.5]."""
    crop_n_points_downscale_factor: int | None = None
    """Divides the points per side by this for each further crop layer. Range [1, 8]."""
    multimask_output: bool | None = None
    """Three masks per point instead of one."""
    use_m2m: bool | None = None
    """Refines each mask once with itself as the prompt."""

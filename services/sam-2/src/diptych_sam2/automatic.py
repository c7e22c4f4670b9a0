"""The automatic mode: a grid of points, each asked for its masks, and the good ones kept.

Same rules and order of filters as ``SAM2AutomaticMaskGenerator``, with one difference that changes
no result: masks are filtered by predicted IoU before they are made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from sam2.utils.amg import build_point_grid, generate_crop_boxes, is_box_near_crop_edge
from torch import Tensor
from torchvision.ops import batched_nms

from diptych import AutomaticOptions, LowResLogits, Mask
from diptych_runtime.engine import Pixels, Steps

from .masks import LOGIT_LIMIT, Shape, Upsampler, returned_logits, shape_of
from .network.image import ImageFeatures, Network, Predictions, PromptBatch, to_square
from .regions import without_small_regions

_POINTS_PER_BATCH = 64  # as stock
_POINTS_PER_BATCH_CPU = 16


@dataclass(frozen=True)
class Candidate:
    """A mask that the automatic mode found."""

    shape: Shape
    score: float
    """Predicted IoU."""
    stability: float
    """Overlap of the mask with a stricter and a looser threshold. Range [0, 1]."""
    corners: tuple[float, float, float, float]
    """First column and row, last column and row: the box by which duplicates are found."""
    crop_area: int
    """Pixels of the crop in which it was found."""
    logits: LowResLogits | None
    """Only when asked for, and only from the whole image: a crop's logits are of no use for
    refining on the image."""


@dataclass(frozen=True)
class _Crop:
    """A part of the image: left, top, right, bottom, and its layer (0 is the whole image)."""

    box: tuple[int, int, int, int]
    layer: int

    @property
    def size(self) -> tuple[int, int]:
        x_min, y_min, x_max, y_max = self.box
        return (y_max - y_min, x_max - x_min)


@dataclass(frozen=True)
class _Grid:
    """One run of the automatic mode over one image."""

    network: Network
    options: Options
    size: tuple[int, int]
    with_logits: bool

    @property
    def batch(self) -> int:
        """Points in one step. A CPU takes as long for each whatever their number, and others wait
        for the step to end; a GPU has to be kept busy."""
        on_cpu = self.network.device.type == "cpu"
        return _POINTS_PER_BATCH_CPU if on_cpu else _POINTS_PER_BATCH


@dataclass(frozen=True)
class Options:
    """``AutomaticOptions`` with every field set."""

    points_per_side: int
    pred_iou_thresh: float
    stability_score_thresh: float
    box_nms_thresh: float
    crop_n_layers: int
    min_mask_region_area: int
    stability_score_offset: float
    crop_nms_thresh: float
    crop_overlap_ratio: float
    crop_n_points_downscale_factor: int
    multimask_output: bool
    use_m2m: bool

    @classmethod
    def filled(cls, options: AutomaticOptions | None, default: AutomaticOptions) -> Options:
        """Return ``options`` with what is unset taken from ``default``, which must be complete."""
        asked = {} if options is None else vars(options)
        values = {
            name: fallback if asked.get(name) is None else asked[name]
            for name, fallback in vars(default).items()
        }
        return cls(**values)


def find_everything(
    network: Network,
    features: ImageFeatures,
    pixels: Callable[[], Pixels],
    options: Options,
    *,
    with_logits: bool = False,
) -> Steps[list[Candidate]]:
    """Find masks of everything in an image, best predicted IoU first.

    ``features`` are those of the whole image; ``pixels`` is called once, if crops are asked for.
    """
    grid = _Grid(network, options, features.size, with_logits)
    crops = _crops(features.size, options)
    image = pixels() if len(crops) > 1 else None
    found: list[Candidate] = []
    for crop in crops:
        if image is not None and crop.layer:
            x_min, y_min, x_max, y_max = crop.box
            features = network.encode(image[y_min:y_max, x_min:x_max])
            yield
        found += yield from _in_crop(grid, features, crop)
    if len(crops) > 1:
        # Of two duplicates the one from the smaller crop stays: it was seen in more detail.
        areas = torch.tensor([1 / candidate.crop_area for candidate in found])
        found = _without_duplicates(found, areas, options.crop_nms_thresh)
    if options.min_mask_region_area > 0:
        found = yield from _cleaned(found, options)
    return sorted(found, key=lambda candidate: candidate.score, reverse=True)


def _crops(size: tuple[int, int], options: Options) -> list[_Crop]:
    boxes, layers = generate_crop_boxes(size, options.crop_n_layers, options.crop_overlap_ratio)
    crops = [_Crop(tuple(box), layer) for box, layer in zip(boxes, layers, strict=True)]
    # On images of a few pixels the last crops of a row can lie outside.
    return [crop for crop in crops if min(crop.size) > 0]


def _in_crop(grid: _Grid, features: ImageFeatures, crop: _Crop) -> Steps[list[Candidate]]:
    options = grid.options
    per_side = options.points_per_side // options.crop_n_points_downscale_factor**crop.layer
    height, width = crop.size
    points = build_point_grid(max(per_side, 1)) * np.array([[width, height]])
    found: list[Candidate] = []
    for start in range(0, len(points), grid.batch):
        batch = points[start : start + grid.batch]
        predictions = yield from _predicted(grid, features, batch)
        found += yield from _kept(grid, predictions, crop)
    scores = torch.tensor([candidate.score for candidate in found])
    return _without_duplicates(found, scores, options.box_nms_thresh)


def _predicted(
    grid: _Grid, features: ImageFeatures, points: NDArray[np.float64]
) -> Steps[Predictions]:
    """One row for each mask that is good enough, refined before that if the options say so."""
    prompts = _point_prompts(grid.network, points, features.size)
    options = grid.options
    if options.multimask_output and not options.use_m2m:
        good = partial(_is_good, threshold=options.pred_iou_thresh)
        found = grid.network.decode_good(features, prompts, good)
        yield
        return found
    predictions = grid.network.decode(features, prompts, multimask=options.multimask_output)
    yield
    masks_per_point = predictions.quality.shape[1]
    rows = _as_rows(predictions)
    if not options.use_m2m:
        return _good_enough(rows, options.pred_iou_thresh)
    refined = []
    for start in range(0, len(rows.quality), grid.batch):
        part = slice(start, start + grid.batch)
        again = _refinement(prompts, rows, masks_per_point, part)
        refined.append(_as_rows(grid.network.decode(features, again, multimask=False)))
        yield
    rows = Predictions(
        torch.cat([part.logits for part in refined]), torch.cat([part.quality for part in refined])
    )
    return _good_enough(rows, options.pred_iou_thresh)


@torch.inference_mode()
def _point_prompts(
    network: Network, points: NDArray[np.float64], size: tuple[int, int]
) -> PromptBatch:
    coordinates = to_square(torch.as_tensor(points, dtype=torch.float32), size, network.image_size)
    labels = torch.ones(len(points), 1, dtype=torch.int32, device=network.device)
    return PromptBatch(coordinates[:, None].to(network.device), labels, None)


@torch.inference_mode()
def _as_rows(predictions: Predictions) -> Predictions:
    return Predictions(predictions.logits.flatten(0, 1), predictions.quality.flatten(0, 1))


@torch.inference_mode()
def _refinement(
    prompts: PromptBatch, rows: Predictions, masks_per_point: int, part: slice
) -> PromptBatch:
    """The points again, each with one of its own masks."""
    assert prompts.coordinates is not None
    assert prompts.labels is not None
    return PromptBatch(
        prompts.coordinates.repeat_interleave(masks_per_point, dim=0)[part],
        prompts.labels.repeat_interleave(masks_per_point, dim=0)[part],
        rows.logits[part, None].clamp(-LOGIT_LIMIT, LOGIT_LIMIT),
    )


def _kept(grid: _Grid, rows: Predictions, crop: _Crop) -> Steps[list[Candidate]]:
    """The masks that are stable and whole, as run lengths in the coordinates of the image."""
    upsampler = Upsampler(grid.network.logits_size, crop.size, grid.network.device)
    found: list[Candidate] = []
    for index, quality in enumerate(rows.quality.tolist()):
        candidate = _candidate(grid, rows.logits[index], quality, crop, upsampler)
        if candidate is not None:
            found.append(candidate)
        yield
    return found


@torch.inference_mode()
def _good_enough(rows: Predictions, threshold: float) -> Predictions:
    keep = _is_good(rows.quality, threshold)
    return Predictions(rows.logits[keep], rows.quality[keep])


def _is_good(quality: Tensor, threshold: float) -> Tensor:
    # A threshold of 0 keeps all, as stock does, but never what is not a number.
    return quality > threshold if threshold > 0 else quality.isfinite()


def _candidate(
    grid: _Grid, logits: Tensor, quality: float, crop: _Crop, upsampler: Upsampler
) -> Candidate | None:
    """The mask of ``(h, w)`` low-res logits, unless it is not stable or cut off by its crop."""
    options = grid.options
    window = upsampler.window(logits, options.stability_score_offset)
    # Float32, as stock compares it: 4 of 5 pixels pass a threshold of 0.8.
    stability = np.float32(window.inner / window.outer if window.outer else 0.0)
    if stability < np.float32(options.stability_score_thresh):
        return None
    shape = shape_of(window, grid.size, crop.box[:2])
    corners = _corners(shape, crop)
    if _is_cut_off(corners, crop, grid.size):
        return None
    return Candidate(
        shape,
        min(max(quality, 0.0), 1.0),
        float(stability),
        corners,
        crop.size[0] * crop.size[1],
        returned_logits(logits) if grid.with_logits and not crop.layer else None,
    )


def _corners(shape: Shape, crop: _Crop) -> tuple[float, float, float, float]:
    if shape.box is None:
        x, y = crop.box[:2]
        return (x, y, x, y)
    return (shape.box.x_min, shape.box.y_min, shape.box.x_max - 1, shape.box.y_max - 1)


def _is_cut_off(
    corners: tuple[float, float, float, float], crop: _Crop, size: tuple[int, int]
) -> bool:
    """Whether a mask ends at an edge of its crop that is not an edge of the image."""
    x, y = crop.box[:2]
    in_crop = torch.tensor([corners]) - torch.tensor([[x, y, x, y]])
    near = is_box_near_crop_edge(in_crop, list(crop.box), [0, 0, size[1], size[0]])
    return bool(near.item())


def _without_duplicates(
    found: Sequence[Candidate], scores: Tensor, threshold: float
) -> list[Candidate]:
    """Candidates that survive non-maximum suppression by box, best score first."""
    if not found:
        return []
    boxes = torch.tensor([candidate.corners for candidate in found], dtype=torch.float32)
    keep = batched_nms(boxes, scores, torch.zeros(len(found)), iou_threshold=threshold)
    return [found[index] for index in keep.tolist()]


def _cleaned(found: Sequence[Candidate], options: Options) -> Steps[list[Candidate]]:
    """Candidates without small holes and islands; of new duplicates the unchanged one stays."""
    cleaned, unchanged = [], []
    for candidate in found:
        mask, changed = without_small_regions(candidate.shape.mask, options.min_mask_region_area)
        cleaned.append(_with_mask(candidate, mask) if changed else candidate)
        unchanged.append(float(not changed))
        yield
    threshold = max(options.box_nms_thresh, options.crop_nms_thresh)
    return _without_duplicates(cleaned, torch.tensor(unchanged), threshold)


def _with_mask(candidate: Candidate, mask: Mask) -> Candidate:
    box = mask.box
    corners = (0.0, 0.0, 0.0, 0.0)
    if box is not None:
        corners = (box.x_min, box.y_min, box.x_max - 1, box.y_max - 1)
    return replace(candidate, shape=Shape(mask, mask.area, box), corners=corners)

"""Prompted segmentation: prompts on the features of images, in decoder batches of equal shape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from diptych import LowResLogits, Mask, OutputOptions, Prompt, Segment
from diptych_runtime.engine import Answer, BatchItem, BatchSteps, Reason, Steps, invalid

from .masks import LOGIT_LIMIT, Upsampler, returned_logits, shape_of
from .network.image import (
    ImageFeatures,
    Network,
    Predictions,
    PromptBatch,
    mask_logits,
    to_square,
)

DEFAULT_MAX_SEGMENTS = 1000
_BATCH_ROWS = 16
_BOX_CORNERS = (2, 3)


class RowShape(NamedTuple):
    """What prompts must have in common to share a decoder batch. Padding to one shape would change
    answers: the decoder attends to padding as well."""

    points: int
    """With the corners of a box."""
    masked: bool
    multimask: bool


@dataclass(frozen=True)
class _Row:
    """One prompt as a row of a decoder batch."""

    owner: _ImagePrompts
    prompt_index: int
    shape: RowShape
    points: tuple[tuple[float, float], ...]
    labels: tuple[int, ...]
    mask: Mask | LowResLogits | None


class _ImagePrompts:
    """The prompts of one job on its image, and their segments so far."""

    def __init__(
        self,
        network: Network,
        features: ImageFeatures,
        prompts: Sequence[Prompt],
        output: OutputOptions,
        *,
        index: int = 0,
        wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        self.index = index
        """Of the job in its batch."""
        self.features = features
        self.output = output
        self.wanted = wanted
        self.upsampler = Upsampler(network.logits_size, features.size, network.device)
        self.rows = [_row(self, index, prompt) for index, prompt in enumerate(prompts)]
        self.segments_of: dict[int, list[Segment]] = {}
        """By prompt index."""

    @property
    def complete(self) -> bool:
        return len(self.segments_of) == len(self.rows)

    def answer(self) -> Answer:
        candidates = [self.segments_of[index] for index in sorted(self.segments_of)]
        if not self.output.all_candidates:
            return Answer(tuple(found[0] for found in candidates))
        most = self.output.max_segments
        return Answer.of_prompts(candidates, DEFAULT_MAX_SEGMENTS if most is None else most)


def answer_prompts(
    network: Network, features: ImageFeatures, prompts: Sequence[Prompt], output: OutputOptions
) -> Steps[Answer]:
    """Answer with one segment for each prompt, or three if all candidates are asked for.

    A lone point is ambiguous and takes the best of three masks by predicted IoU; a box, several
    points or an earlier guess take the single mask. With ``output.all_candidates`` every prompt
    gets its three masks, best first. The best one is never dropped.
    """
    owner = _ImagePrompts(network, features, prompts, output)
    for complete in _decode(network, [owner]):
        if complete is None:
            yield
    return owner.answer()


def answer_batch(network: Network, items: Sequence[BatchItem]) -> BatchSteps:
    """Answer the prompts of several jobs, each as ``answer_prompts`` would but for rounding.

    The payloads of their features are ``ImageFeatures``.
    """
    owners = [_image_prompts(network, index, item) for index, item in enumerate(items)]
    for complete in _decode(network, owners):
        yield None if complete is None else (complete.index, complete.answer())


def batch_key(prompts: Sequence[Prompt], output: OutputOptions) -> Hashable | None:
    """Return what jobs must have in common to share decoder batches; ``None`` for one that fills
    its own, or whose prompts differ in shape."""
    shapes = {_row_shape(prompt, output) for prompt in prompts}
    if len(shapes) != 1 or len(prompts) >= _BATCH_ROWS:
        return None
    return (*shapes, len(prompts))


def _image_prompts(network: Network, index: int, item: BatchItem) -> _ImagePrompts:
    features, job = item.features.payload, item.job
    assert isinstance(features, ImageFeatures)
    return _ImagePrompts(
        network, features, job.prompts, job.output, index=index, wanted=item.wanted
    )


def _decode(
    network: Network, owners: Sequence[_ImagePrompts]
) -> Generator[_ImagePrompts | None, None, None]:
    """Fill in segments: yields owners as they become complete, and ``None`` between steps."""
    for batch in _batches([row for owner in owners for row in owner.rows]):
        predictions = _predictions(batch, network)
        for number, row in enumerate(batch):
            yield None
            owner = row.owner
            if owner.wanted():
                owner.segments_of[row.prompt_index] = _segments(row, number, predictions)
            if owner.complete:
                yield owner


def _row_shape(prompt: Prompt, output: OutputOptions) -> RowShape:
    points = len(prompt.points) + (0 if prompt.box is None else len(_BOX_CORNERS))
    masked = prompt.mask is not None
    ambiguous = points == 1 and not masked
    return RowShape(points, masked, output.all_candidates or ambiguous)


def _row(owner: _ImagePrompts, index: int, prompt: Prompt) -> _Row:
    points: list[tuple[float, float]] = []
    labels: list[int] = []
    if prompt.box is not None:
        # SAM 2 takes a box as two labelled points that come before all others.
        x_min, y_min, x_max, y_max = prompt.box.xyxy
        points += [(x_min, y_min), (x_max, y_max)]
        labels += _BOX_CORNERS
    points += [(point.x, point.y) for point in prompt.points]
    labels += [int(point.positive) for point in prompt.points]
    if not points and prompt.mask is None:
        raise invalid(
            Reason.PROMPT_INVALID, f"prompts[{index}]", "expected points, a box or a mask, got none"
        )
    shape = _row_shape(prompt, owner.output)
    return _Row(owner, index, shape, tuple(points), tuple(labels), prompt.mask)


def _batches(rows: Sequence[_Row]) -> Iterator[list[_Row]]:
    """Rows of equal shape together, without those that nobody waits for any more."""
    groups: dict[RowShape, list[_Row]] = defaultdict(list)
    for row in rows:
        groups[row.shape].append(row)
    for group in groups.values():
        for start in range(0, len(group), _BATCH_ROWS):
            batch = [row for row in group[start : start + _BATCH_ROWS] if row.owner.wanted()]
            if batch:
                yield batch


def _predictions(batch: Sequence[_Row], network: Network) -> Predictions:
    """Three masks for each row of a batch, or one."""
    features = [row.owner.features for row in batch]
    inputs = _prompt_batch(batch, network)
    predictions = network.decode(features, inputs, multimask=batch[0].shape.multimask)
    for tensor in (predictions.quality, predictions.logits):
        if not torch.isfinite(tensor).all():
            raise ArithmeticError("the network answered a prompt with numbers that are not finite")
    return predictions


@torch.inference_mode()
def _prompt_batch(batch: Sequence[_Row], network: Network) -> PromptBatch:
    coordinates = labels = logits = None
    if batch[0].points:
        squares = [
            to_square(
                torch.tensor(row.points, dtype=torch.float32),
                row.owner.features.size,
                network.image_size,
            )
            for row in batch
        ]
        coordinates = torch.stack(squares).to(network.device)
        labels = torch.tensor(
            [row.labels for row in batch], dtype=torch.int32, device=network.device
        )
    if batch[0].mask is not None:
        guesses = [_mask_prompt(row, network) for row in batch]
        logits = torch.stack(guesses)[:, None].to(network.device)
    return PromptBatch(coordinates, labels, logits)


def _mask_prompt(row: _Row, network: Network) -> Tensor:
    """``(h, w)`` logits of a prompt's mask."""
    if isinstance(row.mask, Mask):
        return mask_logits(row.mask, network.image_size)
    assert row.mask is not None
    height, width = network.logits_size
    if (row.mask.height, row.mask.width) != (height, width):
        raise invalid(
            Reason.PROMPT_INVALID,
            f"prompts[{row.prompt_index}].mask.low_res_logits",
            f"expected {width} x {height}, got {row.mask.width} x {row.mask.height}",
        )
    return torch.from_numpy(row.mask.to_numpy()).clamp_(-LOGIT_LIMIT, LOGIT_LIMIT)


def _segments(row: _Row, number: int, predictions: Predictions) -> list[Segment]:
    """The candidates of one row, of that number in its batch, that were asked for; best first."""
    quality = predictions.quality[number]
    order = quality.argsort(descending=True, stable=True).tolist()
    wanted = order if row.owner.output.all_candidates else order[:1]
    return [
        _segment(row, rank, predictions.logits[number, mask], float(quality[mask]))
        for rank, mask in enumerate(wanted)
    ]


def _segment(row: _Row, rank: int, logits: Tensor, quality: float) -> Segment:
    upsampler, output = row.owner.upsampler, row.owner.output
    shape = shape_of(upsampler.window(logits), upsampler.size)
    return Segment(
        score=min(max(quality, 0.0), 1.0),
        box=shape.box,
        mask=shape.mask,
        area=shape.area,
        prompt_index=row.prompt_index,
        candidate_index=rank,
        low_res_logits=returned_logits(logits) if output.low_res_logits else None,
    )

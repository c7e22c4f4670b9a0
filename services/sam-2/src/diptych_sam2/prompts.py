"""Prompted segmentation: queries on the features of a picture, in batches of equal shape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diptych import LowResLogits, Mask, OutputOptions, Prompt, Segment
from diptych_runtime.engine import Steps
from diptych_runtime.errors import Reason, invalid

from .network import LOGIT_LIMIT, Network, PictureFeatures, Predictions, PromptBatch
from .shapes import returned_logits, shape_of
from .transforms import mask_logits, to_square
from .upsampling import Upsampler

_BATCH = 16
_BOX_CORNERS = (2, 3)


@dataclass(frozen=True)
class _Query:
    """One prompt on its way to the decoder; queries of equal ``form`` share a batch."""

    index: int
    points: tuple[tuple[float, float], ...]
    labels: tuple[int, ...]
    mask: Mask | LowResLogits | None
    multimask: bool

    @property
    def form(self) -> tuple[int, bool, bool]:
        return (len(self.points), self.mask is None, self.multimask)


def answer_prompts(
    network: Network, features: PictureFeatures, prompts: Sequence[Prompt], output: OutputOptions
) -> Steps[tuple[Segment, ...]]:
    """One segment for each prompt, or three if all candidates are asked for.

    A lone point is ambiguous and takes the best of three masks by predicted IoU; a box, several
    points or an earlier guess take the single mask. With ``output.all_candidates`` every prompt
    gets its three masks, best first. Nothing is dropped.
    """
    found: dict[int, list[Segment]] = {}
    upsampler = Upsampler(network.logits_size, features.size, network.device)
    queries = [_query(index, prompt, output) for index, prompt in enumerate(prompts)]
    for batch in _batches(queries):
        inputs = _prompt_batch(batch, network, features.size)
        predictions = network.decode(features, inputs, multimask=batch[0].multimask)
        _require_finite(predictions)
        for row, query in enumerate(batch):
            yield
            found[query.index] = _segments(query, row, predictions, upsampler, output)
    return tuple(segment for index in sorted(found) for segment in found[index])


def _query(index: int, prompt: Prompt, output: OutputOptions) -> _Query:
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
    ambiguous = len(points) == 1 and prompt.mask is None
    multimask = output.all_candidates or ambiguous
    return _Query(index, tuple(points), tuple(labels), prompt.mask, multimask)


def _batches(queries: Sequence[_Query]) -> Iterator[list[_Query]]:
    """Queries of equal form together. Padding to one form would change the answers: the decoder
    attends to padding as well."""
    groups: dict[tuple[int, bool, bool], list[_Query]] = defaultdict(list)
    for query in queries:
        groups[query.form].append(query)
    for group in groups.values():
        for start in range(0, len(group), _BATCH):
            yield group[start : start + _BATCH]


@torch.inference_mode()
def _prompt_batch(batch: Sequence[_Query], network: Network, size: tuple[int, int]) -> PromptBatch:
    coordinates = labels = logits = None
    if batch[0].points:
        points = torch.tensor([query.points for query in batch], dtype=torch.float32)
        coordinates = to_square(points, size, network.image_size).to(network.device)
        labels = torch.tensor(
            [query.labels for query in batch], dtype=torch.int32, device=network.device
        )
    if batch[0].mask is not None:
        guesses = [_guess(query, network) for query in batch]
        logits = torch.stack(guesses)[:, None].to(network.device)
    return PromptBatch(coordinates, labels, logits)


def _guess(query: _Query, network: Network) -> Tensor:
    """``(h, w)`` logits of a prompt's mask."""
    if isinstance(query.mask, Mask):
        return mask_logits(query.mask, network.image_size)
    assert query.mask is not None
    height, width = network.logits_size
    if (query.mask.height, query.mask.width) != (height, width):
        raise invalid(
            Reason.PROMPT_INVALID,
            f"prompts[{query.index}].mask.low_res_logits",
            f"expected {width} x {height}, got {query.mask.width} x {query.mask.height}",
        )
    return torch.from_numpy(query.mask.to_numpy()).clamp_(-LOGIT_LIMIT, LOGIT_LIMIT)


def _require_finite(predictions: Predictions) -> None:
    for tensor in (predictions.quality, predictions.logits):
        if not torch.isfinite(tensor).all():
            raise ArithmeticError("the network answered a prompt with numbers that are not finite")


def _segments(
    query: _Query,
    row: int,
    predictions: Predictions,
    upsampler: Upsampler,
    output: OutputOptions,
) -> list[Segment]:
    """The candidates of one query that were asked for, best first."""
    quality = predictions.quality[row]
    order = quality.argsort(descending=True, stable=True).tolist()
    wanted = order if output.all_candidates else order[:1]
    return [
        _segment(
            query, rank, predictions.logits[row, mask], float(quality[mask]), upsampler, output
        )
        for rank, mask in enumerate(wanted)
    ]


def _segment(
    query: _Query,
    rank: int,
    logits: Tensor,
    quality: float,
    upsampler: Upsampler,
    output: OutputOptions,
) -> Segment:
    shape = shape_of(upsampler.window(logits), upsampler.size)
    return Segment(
        score=min(max(quality, 0.0), 1.0),
        box=shape.box,
        mask=shape.mask,
        area=shape.area,
        prompt_index=query.index,
        candidate_index=rank,
        low_res_logits=returned_logits(logits) if output.low_res_logits else None,
    )

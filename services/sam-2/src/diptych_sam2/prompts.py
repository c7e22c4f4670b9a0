"""Prompted segmentation: queries on the features of a picture, in batches of equal shape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from diptych import LowResLogits, Mask, OutputOptions, Prompt, Segment
from diptych_runtime.engine import Reason, Steps, invalid

from .network.image import LOGIT_LIMIT, Network, PictureFeatures, Predictions, PromptBatch
from .network.quick.upsampling import Upsampler
from .network.transforms import mask_logits, to_square
from .shapes import returned_logits, shape_of

_BATCH = 16
_BOX_CORNERS = (2, 3)


@dataclass(frozen=True)
class Question:
    """The prompts of one caller on one picture."""

    features: PictureFeatures
    prompts: Sequence[Prompt]
    output: OutputOptions
    wanted: Callable[[], bool] = lambda: True
    """Whether somebody still waits for the answer."""


class Form(NamedTuple):
    """What prompts must have in common to share a batch. Padding to one form would change answers:
    the decoder attends to padding as well."""

    points: int
    """With the corners of a box."""
    masked: bool
    multimask: bool


@dataclass(frozen=True)
class _Query:
    """One prompt on its way to the decoder."""

    asking: _Asking
    index: int
    """Its place among the prompts of its question."""
    form: Form
    points: tuple[tuple[float, float], ...]
    labels: tuple[int, ...]
    mask: Mask | LowResLogits | None


class _Asking:
    """A question and what is found so far."""

    def __init__(self, place: int, question: Question, network: Network) -> None:
        self.place = place
        self.wanted = question.wanted
        self.features = question.features
        self.output = question.output
        self.upsampler = Upsampler(network.logits_size, question.features.size, network.device)
        self.queries = [
            _query(self, index, prompt) for index, prompt in enumerate(question.prompts)
        ]
        self.found: dict[int, list[Segment]] = {}

    @property
    def complete(self) -> bool:
        return len(self.found) == len(self.queries)

    def segments(self) -> tuple[Segment, ...]:
        return tuple(segment for index in sorted(self.found) for segment in self.found[index])


def answer_prompts(
    network: Network, features: PictureFeatures, prompts: Sequence[Prompt], output: OutputOptions
) -> Steps[tuple[Segment, ...]]:
    """One segment for each prompt, or three if all candidates are asked for.

    A lone point is ambiguous and takes the best of three masks by predicted IoU; a box, several
    points or an earlier guess take the single mask. With ``output.all_candidates`` every prompt
    gets its three masks, best first. Nothing is dropped.
    """
    for told in answer_questions(network, [Question(features, prompts, output)]):
        if told is not None:
            return told[1]
        yield
    return ()  # nothing was asked


def answer_questions(
    network: Network, questions: Sequence[Question]
) -> Generator[tuple[int, tuple[Segment, ...]] | None, None, None]:
    """The same for several callers: yields the place of a question and its segments when they are
    complete, and ``None`` between steps."""
    askings = [_Asking(place, question, network) for place, question in enumerate(questions)]
    for batch in _batches([query for asking in askings for query in asking.queries]):
        predictions = _predictions(batch, network)
        for row, query in enumerate(batch):
            yield None
            asking = query.asking
            if asking.wanted():
                asking.found[query.index] = _segments(query, row, predictions)
            if asking.complete:
                yield asking.place, asking.segments()


def batch_key(prompts: Sequence[Prompt], output: OutputOptions) -> Hashable | None:
    """Questions of equal key share batches of the decoder; one without fills its own, or needs
    several kinds."""
    forms = {_form(prompt, output) for prompt in prompts}
    if len(forms) != 1 or len(prompts) >= _BATCH:
        return None
    return (*forms, len(prompts))


def _form(prompt: Prompt, output: OutputOptions) -> Form:
    points = len(prompt.points) + (0 if prompt.box is None else len(_BOX_CORNERS))
    masked = prompt.mask is not None
    ambiguous = points == 1 and not masked
    return Form(points, masked, output.all_candidates or ambiguous)


def _query(asking: _Asking, index: int, prompt: Prompt) -> _Query:
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
    form = _form(prompt, asking.output)
    return _Query(asking, index, form, tuple(points), tuple(labels), prompt.mask)


def _batches(queries: Sequence[_Query]) -> Iterator[list[_Query]]:
    """Queries of equal form together, without those that nobody waits for any more."""
    groups: dict[Form, list[_Query]] = defaultdict(list)
    for query in queries:
        groups[query.form].append(query)
    for group in groups.values():
        for start in range(0, len(group), _BATCH):
            batch = [query for query in group[start : start + _BATCH] if query.asking.wanted()]
            if batch:
                yield batch


def _predictions(batch: Sequence[_Query], network: Network) -> Predictions:
    """Three masks for each query of a batch, or one."""
    pictures = [query.asking.features for query in batch]
    inputs = _prompt_batch(batch, network)
    predictions = network.decode(pictures, inputs, multimask=batch[0].form.multimask)
    for tensor in (predictions.quality, predictions.logits):
        if not torch.isfinite(tensor).all():
            raise ArithmeticError("the network answered a prompt with numbers that are not finite")
    return predictions


@torch.inference_mode()
def _prompt_batch(batch: Sequence[_Query], network: Network) -> PromptBatch:
    coordinates = labels = logits = None
    if batch[0].points:
        squares = [
            to_square(
                torch.tensor(query.points, dtype=torch.float32),
                query.asking.features.size,
                network.image_size,
            )
            for query in batch
        ]
        coordinates = torch.stack(squares).to(network.device)
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


def _segments(query: _Query, row: int, predictions: Predictions) -> list[Segment]:
    """The candidates of one query that were asked for, best first."""
    quality = predictions.quality[row]
    order = quality.argsort(descending=True, stable=True).tolist()
    wanted = order if query.asking.output.all_candidates else order[:1]
    return [
        _segment(query, rank, predictions.logits[row, mask], float(quality[mask]))
        for rank, mask in enumerate(wanted)
    ]


def _segment(query: _Query, rank: int, logits: Tensor, quality: float) -> Segment:
    upsampler, output = query.asking.upsampler, query.asking.output
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

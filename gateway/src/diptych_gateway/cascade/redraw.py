"""From a detector's answer to boxes for a segmenter, and from both answers to that of a cascade.

Everything here looks at megabytes of masks and belongs into a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, replace

from diptych import Box, MaskEncoding, Prompt, Segment, SegmentResult, Timings
from diptych.segment import v1 as pb
from diptych.wire.replies import read_result, result_message, segment_message

from ..compare.agreement import StoppedError


def read(raw: bytes) -> SegmentResult:
    """Read what a model answered.

    Raises:
        DecodeError: the bytes are no answer.
        DiptychError: a mask in it is broken.
    """
    return read_result(pb.SegmentResponse.FromString(raw))


def box_prompts(found: SegmentResult) -> dict[int, Prompt]:
    """Make a prompt of each detection's box, as far as it is inside the image, by its index."""
    height, width = found.image_size
    prompts = {}
    for index, segment in enumerate(found.segments):
        if segment.box is None:
            continue
        x_min, y_min, x_max, y_max = segment.box.xyxy
        box = Box(max(x_min, 0.0), max(y_min, 0.0), min(x_max, width), min(y_max, height))
        if box.x_min < box.x_max and box.y_min < box.y_max:
            prompts[index] = Prompt(box=box)
    return prompts


def best_answers(drawn: SegmentResult, count: int, size: tuple[int, int]) -> list[Segment]:
    """Find the best answer to each of ``count`` prompts on an image of ``size``, height and width.

    Raises:
        ValueError: a prompt has none, or the answer is about another image.
    """
    if drawn.image_size != size:
        raise ValueError(f"expected an answer about an image of {size}, got {drawn.image_size}")
    best = {s.prompt_index: s for s in drawn.segments if not s.candidate_index}
    missing = [index for index in range(count) if index not in best or best[index].mask is None]
    if missing:
        raise ValueError(f"expected a mask for each of {count} prompts, got none for {missing[:5]}")
    return [best[index] for index in range(count)]


def combined(
    found: SegmentResult,
    redrawn: dict[int, Segment],
    answers: Sequence[SegmentResult],
    encoding: MaskEncoding,
    stopped: Callable[[], bool],
) -> pb.SegmentResponse:
    """Compose the answer of both: ``redrawn`` has the new outlines by the index of the detection.

    A detection without one stays as it was found, without ``source_iou``. ``answers`` are those of
    the segmenter. ``stopped`` is asked before each segment.

    Raises:
        StoppedError: ``stopped`` said yes.
    """
    reply = result_message(
        replace(
            found,
            segments=(),
            timings=_summed([found.timings, *(answer.timings for answer in answers)]),
            # Boxes that took several requests met the same model, whose first answer says whether
            # its encoder had to run.
            provenance=tuple(p for answer in (found, *answers[:1]) for p in answer.provenance),
        )
    )
    for index, segment in enumerate(found.segments):
        if stopped():
            raise StoppedError
        drawn = redrawn.get(index)
        reply.segments.append(
            segment_message(_relabelled(drawn, segment) if drawn else segment, encoding)
        )
    return reply


def _relabelled(drawn: Segment, found: Segment) -> Segment:
    """The outline of one model under the label and score of the other, whose box stays where
    there is no outline."""
    overlap = found.mask.iou(drawn.mask) if found.mask and drawn.mask else None
    return replace(
        drawn,
        box=drawn.box or found.box,
        label=found.label,
        category_id=found.category_id,
        score=found.score,
        stability_score=None,
        prompt_index=None,
        candidate_index=None,
        source_iou=overlap,
    )


def _summed(timings: Sequence[Timings]) -> Timings:
    """Add up stage by stage: the models worked one after the other."""
    return Timings(*(sum(stage) for stage in zip(*map(astuple, timings), strict=True)))

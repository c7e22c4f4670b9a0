"""From a detector's answer to boxes for a segmenter, and from both answers to that of a cascade.

Everything here looks at megabytes of masks and belongs into a thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from diptych import MaskEncoding, Segment
from diptych.segment import v1 as pb
from diptych.wire.replies import segment as read_segment
from diptych_runtime.wire.convert import segment_to_wire

from ..compare.agreement import StoppedError


@dataclass(frozen=True)
class Read:
    """An answer of a model, and its segments as the SDK has them."""

    response: pb.SegmentResponse
    segments: tuple[Segment, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture."""
        return self.response.image_size.height_px, self.response.image_size.width_px


def read(raw: bytes) -> Read:
    """What a model answered.

    Raises:
        DecodeError: the bytes are no answer.
        ValueError: a mask in it is broken.
    """
    response = pb.SegmentResponse.FromString(raw)
    size = (response.image_size.height_px, response.image_size.width_px)
    return Read(response, tuple(read_segment(found, size) for found in response.segments))


def box_prompts(found: Read) -> dict[int, pb.ObjectPrompt]:
    """A box inside the picture for each detection that has one, by its index."""
    height, width = found.size
    prompts = {}
    for index, segment in enumerate(found.segments):
        if segment.box is None:
            continue
        x_min, y_min, x_max, y_max = segment.box.xyxy
        box = pb.BoundingBox(
            x_min_px=max(x_min, 0.0),
            y_min_px=max(y_min, 0.0),
            x_max_px=min(x_max, width),
            y_max_px=min(y_max, height),
        )
        if box.x_min_px < box.x_max_px and box.y_min_px < box.y_max_px:
            prompts[index] = pb.ObjectPrompt(box=box)
    return prompts


def best_answers(drawn: Read, count: int, size: tuple[int, int]) -> list[Segment]:
    """The best answer to each of ``count`` prompts on a picture of ``size``.

    Raises:
        ValueError: a prompt has none, or the answer is about another picture.
    """
    if drawn.size != size:
        raise ValueError(f"expected an answer about a picture of {size}, got {drawn.size}")
    best = {s.prompt_index: s for s in drawn.segments if not s.candidate_index}
    missing = [index for index in range(count) if index not in best or best[index].mask is None]
    if missing:
        raise ValueError(f"expected a mask for each of {count} prompts, got none for {missing[:5]}")
    return [best[index] for index in range(count)]


def combined(
    found: Read,
    redrawn: dict[int, Segment],
    answers: Sequence[pb.SegmentResponse],
    encoding: MaskEncoding,
    stopped: Callable[[], bool],
) -> pb.SegmentResponse:
    """The answer of both: ``redrawn`` has the new outlines by the index of the detection.

    A detection without one stays as it was found, without ``source_iou``. ``answers`` are those of
    the segmenter. ``stopped`` is asked before each segment.

    Raises:
        StoppedError: ``stopped`` said yes.
    """
    reply = pb.SegmentResponse(
        image_size=found.response.image_size,
        image_sha256=found.response.image_sha256,
        timings=_summed([found.response.timings, *(a.timings for a in answers)]),
        # Boxes that took several requests met the same model, whose first answer says whether its
        # encoder had to run.
        provenance=[p for a in (found.response, *answers[:1]) for p in a.provenance],
        omitted_segment_count=found.response.omitted_segment_count,
    )
    for index, segment in enumerate(found.segments):
        if stopped():
            raise StoppedError
        drawn = redrawn.get(index)
        reply.segments.append(
            segment_to_wire(_relabelled(drawn, segment) if drawn else segment, encoding)
        )
    return reply


def stages(timings: pb.Timings) -> dict[str, float]:
    """Seconds by stage."""
    return {stage: nanoseconds / 1e9 for stage, nanoseconds in _nanoseconds(timings).items()}


def _relabelled(drawn: Segment, found: Segment) -> Segment:
    """The outline of one model under the label and score of the other."""
    overlap = found.mask.iou(drawn.mask) if found.mask and drawn.mask else None
    return replace(
        drawn,
        label=found.label,
        category_id=found.category_id,
        score=found.score,
        stability_score=None,
        prompt_index=None,
        candidate_index=None,
        source_iou=overlap,
    )


def _summed(timings: Iterable[pb.Timings]) -> pb.Timings:
    """Stage by stage: the models worked one after the other."""
    total: Counter[str] = Counter()
    for one in timings:
        total.update(_nanoseconds(one))
    reply = pb.Timings()
    for stage, nanoseconds in total.items():
        getattr(reply, stage).FromNanoseconds(nanoseconds)
    return reply


def _nanoseconds(timings: pb.Timings) -> dict[str, int]:
    stages = (field.name for field in timings.DESCRIPTOR.fields)
    return {stage: getattr(timings, stage).ToNanoseconds() for stage in stages}

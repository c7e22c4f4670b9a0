"""More prompts than one request takes: the requests that they take, and their answers as one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace

from .._arguments import RequestOptions
from .._transport.channel import ChannelOptions
from .._types.errors import DiptychError, Violation
from .._types.results import SegmentResult, Timings
from .._types.segment import Segment
from ..wire.requests import prompt_message

_SPARE_BYTES = 64 * 1024
"""Of a request, for all that is neither its image nor a prompt."""
_LOGITS_BYTES = 256 * 256 * 2
"""Of a candidate in a reply: what SAM 2 gives, the most of the models that there are."""
_CANDIDATES = 3
_REPLY_SHARE = 0.75
"""Of a reply, for logits; the rest is for masks."""
_PROMPT = re.compile(r"\bprompts\[(\d+)\]")


@dataclass(frozen=True)
class Part:
    """One request of several."""

    options: RequestOptions
    start: int
    """Prompts in those before it."""

    @contextmanager
    def told(self) -> Iterator[None]:
        """Errors name prompts as the caller counts them."""
        try:
            yield
        except DiptychError as error:
            error.args = tuple(self._counted(str(each)) for each in error.args)
            error.violations = tuple(
                Violation(self._counted(each.field), each.description) for each in error.violations
            )
            raise

    def segments(self, result: SegmentResult) -> list[Segment]:
        """What was answered, by the caller's count."""
        return [
            replace(one, prompt_index=one.prompt_index + self.start)
            if one.prompt_index is not None
            else one
            for one in result.segments
        ]

    def _counted(self, text: str) -> str:
        return _PROMPT.sub(lambda found: f"prompts[{int(found[1]) + self.start}]", text)


def parts_of(
    options: RequestOptions, image_bytes: int, limits: ChannelOptions, most: int
) -> list[Part]:
    """As few requests as the prompts take, in their order.

    Each has room for the image as well: a server may have dropped it meanwhile.

    Args:
        options: of all.
        image_bytes: of the image's file.
        limits: sizes of messages.
        most: prompts that a request takes; 0 if that is not bounded.
    """
    sizes = [prompt_message(prompt).ByteSize() + 8 for prompt in options.prompts]
    room = limits.max_request_bytes - image_bytes - _SPARE_BYTES
    most = min(most or len(sizes), _replied(options, limits))
    parts: list[Part] = []
    start = taken = 0
    for index, size in enumerate(sizes):
        if index > start and (index - start >= most or taken + size > room):
            parts.append(_part(options, start, index))
            start, taken = index, 0
        taken += size
    return [*parts, _part(options, start, len(sizes))]


def joined(
    parts: Sequence[Part], results: Sequence[SegmentResult], most: int | None
) -> SegmentResult:
    """One answer of all, with no more than ``most`` segments, as one request would have.

    The first says whether the encoder had to run, and has the id of the request.
    """
    if len(results) == 1:
        return results[0]
    found = [
        segment
        for part, result in zip(parts, results, strict=True)
        for segment in part.segments(result)
    ]
    kept = _best(found, len(found) if most is None else most)
    timings = zip(*(astuple(result.timings) for result in results), strict=True)
    return replace(
        results[0],
        segments=tuple(kept),
        timings=Timings(*map(sum, timings)),
        omitted=sum(result.omitted for result in results) + len(found) - len(kept),
        raw=None,
    )


def _part(options: RequestOptions, start: int, end: int) -> Part:
    return Part(replace(options, prompts=options.prompts[start:end]), start)


def _replied(options: RequestOptions, limits: ChannelOptions) -> int:
    """Prompts whose logits a reply has room for."""
    if not options.output.low_res_logits:
        return len(options.prompts)
    each = _LOGITS_BYTES * (_CANDIDATES if options.output.all_candidates else 1)
    return max(int(limits.max_reply_bytes * _REPLY_SHARE) // each, 1)


def _best(found: list[Segment], most: int) -> list[Segment]:
    """The best answer to each prompt, and the best of the further candidates that fit in."""
    further = [index for index, segment in enumerate(found) if segment.candidate_index]
    room = max(most - (len(found) - len(further)), 0)
    left_out = set(sorted(further, key=lambda index: -found[index].score)[room:])
    return [segment for index, segment in enumerate(found) if index not in left_out]

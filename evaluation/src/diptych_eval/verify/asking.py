"""Published questions asked of a running service, and what the answers differ by."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, replace

from diptych import Client, OutputOptions, Prompt, Task, VideoFrameResult, VideoRefusal

from .published import Published, Question, picture

_OBJECT = 1
_WITH_LOGITS = OutputOptions(low_res_logits=True)


class Verdict(str, enum.Enum):
    """What a line says."""

    SAME = "same"
    DIFFERENT = "different"
    NOT_ASKED = "not asked"
    """Nothing that a client can ask for gives the published figure."""


@dataclass(frozen=True)
class Line:
    """One published figure beside the measured one."""

    question: str
    figure: str
    published: float
    measured: float | None
    """``None`` where there is none to measure; the verdict or the note says why."""
    verdict: Verdict
    source: str
    """URL of the published figure."""
    note: str = ""

    @property
    def difference(self) -> float | None:
        """Measured minus published."""
        return None if self.measured is None else self.measured - self.published


def ask_published(client: Client, model: str, published: Published) -> Iterator[Line]:
    """Ask all questions, one after the other, and yield a line for each published figure.

    Raises:
        DiptychError: a question was refused, or could not be answered.
        ValueError: a picture of this package was changed.
    """
    for question in published.questions:
        if question.single_mask:
            yield from _not_asked(question)
            continue
        data = [picture(name, published.pictures[name]) for name in question.pictures]
        yield from _about_picture(client, model, published, question, data[0])
        if question.is_clip:
            yield from _about_clip(client, model, question, data)


def _not_asked(question: Question) -> Iterator[Line]:
    note = "a lone click is answered with the best of three candidates, this is the fourth mask"
    for iou in question.ious:
        yield Line(
            question.title,
            "predicted IoU, single mask",
            iou,
            None,
            Verdict.NOT_ASKED,
            question.source,
            note,
        )


def _about_picture(
    client: Client, model: str, published: Published, question: Question, data: bytes
) -> Iterator[Line]:
    prompt = question.prompt
    if question.after is not None:
        first = client.segment(data, model=model, prompts=[question.after], output=_WITH_LOGITS)
        prompt = replace(prompt, mask=first.segments[0].low_res_logits)
    output = replace(_WITH_LOGITS, all_candidates=len(question.ious) > 1)
    segments = client.segment(
        data, model=model, task=Task.PROMPTED_SEGMENTATION, prompts=[prompt], output=output
    ).segments
    for number, iou in enumerate(question.ious):
        of_three = f", candidate {number + 1} of {len(question.ious)}" * (len(question.ious) > 1)
        score = segments[number].score if number < len(segments) else None
        near = score is not None and abs(score - iou) <= published.iou_tolerance
        yield Line(
            question.title,
            f"predicted IoU{of_three}",
            iou,
            score,
            _verdict(near),
            question.source,
            "" if score is not None else f"there are only {len(segments)} candidates",
        )
    logits = segments[0].low_res_logits if segments else None
    corner = None if logits is None else float(logits.to_numpy()[0, 0])
    yield Line(
        question.title,
        "corner's logit" + ", frame 0" * question.is_clip,
        question.logits[0],
        corner,
        _verdict(corner is not None and _alike(corner, question.logits[0], published.logit_factor)),
        question.source,
        "the frame asked as a picture" if question.is_clip else "",
    )


def _about_clip(
    client: Client, model: str, question: Question, frames: list[bytes]
) -> Iterator[Line]:
    results = _followed(client, model, question.prompt, frames)
    for index, (logit, result) in enumerate(zip(question.logits, results, strict=True)):
        found = [one.segment.mask for one in result.objects if one.object_id == _OBJECT]
        mask = found[0] if found else None
        # Without a mask the object is hidden, and its corner is not known to be background.
        inside = None if mask is None else bool(mask.to_array()[0, 0])
        said = {True: "the corner is the object's", False: "the corner is background"}
        yield Line(
            question.title,
            f"corner's logit, frame {index} of the clip",
            logit,
            None,
            _verdict(inside is not None and inside == (logit > 0)),
            question.source,
            "the object is hidden" if inside is None else said[inside],
        )


def _followed(
    client: Client, model: str, prompt: Prompt, frames: list[bytes]
) -> list[VideoFrameResult]:
    """The last answer for each frame, an object being prompted on the first."""
    newest: dict[int, VideoFrameResult] = {}
    with client.video(model=model) as session:
        session.send(frames[0])
        session.prompt(
            _OBJECT,
            points=prompt.points,
            box=prompt.box,
        )
        for event in session.track(frames[1:]):
            if isinstance(event, VideoRefusal):
                raise event.error
            newest[event.frame_index] = event
    return [newest[index] for index in range(len(frames))]


def _alike(measured: float, published: float, factor: float) -> bool:
    """Whether two logits have one sign, and one is at most ``factor`` times the other."""
    if (measured > 0) != (published > 0):
        return False
    smaller, larger = sorted((abs(measured), abs(published)))
    return larger <= factor * smaller


def _verdict(same: bool) -> Verdict:
    return Verdict.SAME if same else Verdict.DIFFERENT

"""Messages that a fake server sends."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import combinations

from google.protobuf.duration_pb2 import Duration

from .._types.agreement import Agreement, Match
from .._types.geometry import Box
from .._types.prompts import Task
from .._types.segment import Segment
from ..masks.mask import Mask
from ..segment import v1 as pb
from ..wire.cards import output_kinds
from ..wire.comparison import agreement_message
from ..wire.requests import read_box, read_task

_WEIGHTS_SHA256 = hashlib.sha256(b"fake weights").digest()


def default_segments(request: pb.SegmentRequest, size: tuple[int, int]) -> list[Segment]:
    """One rectangle for each prompt: its box, or one around its first point; else one centred."""
    if not request.prompts:
        return [_rectangle(_centred(size, size[1] / 2, size[0] / 2), size, 0.9, None)]
    found = []
    for index, prompt in enumerate(request.prompts):
        if prompt.HasField("box"):
            box = read_box(prompt.box)
        elif prompt.points:
            box = _centred(size, prompt.points[0].x_px, prompt.points[0].y_px)
        else:
            box = _centred(size, size[1] / 2, size[0] / 2)
        found.append(_rectangle(box, size, 0.9, index))
    return found


def default_card(model_id: str) -> pb.ModelCard:
    """A card with every field filled."""
    card = pb.ModelCard(
        id=model_id,
        display_name=model_id.replace("-", " ").title(),
        organization="Nobody",
        category="open",
        modality="vision",
        release_date="2020-01",
        parameter_count=1000,
        licenses=pb.Licenses(
            code="Apache-2.0",
            weights="CC0-1.0",
            published="MIT",
            statements=[
                pb.LicenseStatement(
                    subject="The ruler", license="MIT", source="https://example.org/ruler"
                )
            ],
            note="A rectangle is not licensed.",
        ),
        tasks=[
            pb.Task.TASK_INSTANCE_SEGMENTATION,
            pb.Task.TASK_OBJECT_DETECTION,
            pb.Task.TASK_KEYPOINT_DETECTION,
            pb.Task.TASK_PROMPTED_SEGMENTATION,
            pb.Task.TASK_VIDEO_SEGMENTATION,
        ],
        prompt_kinds=[
            pb.PromptKind.PROMPT_KIND_POINT,
            pb.PromptKind.PROMPT_KIND_BOX,
            pb.PromptKind.PROMPT_KIND_MASK,
        ],
        overview="Draws rectangles.\n\nNothing was trained.",
        intended_uses=["Tests of programs that use the client."],
        limitations=["Sees nothing."],
        metrics=[pb.Metric(name="mask AP", value=1.5, unit="%", dataset="none", source="made up")],
        weights=[pb.Weights(name="fake", sha256=_WEIGHTS_SHA256, size_bytes=12)],
        categories=[pb.Category(id=1, name="rectangle")],
        limits=pb.Limits(
            max_message_bytes=32 * 1024 * 1024,
            max_image_px=50_000_000,
            min_side_px=1,
            max_aspect_ratio=100,
            max_prompts=64,
            max_points_per_prompt=64,
            max_segments=100,
        ),
        references=["https://example.org/rectangles"],
        variants=[pb.Variant(name="fake-large", parameter_count=2000, size_bytes=24)],
        keypoint_schema=pb.KeypointSchema(names=["left", "right"], edges=[0, 1]),
        default_min_score=0.5,
        default_max_segments=100,
        default_automatic=pb.AutomaticOptions(points_per_side=32),
        features=["deterministic"],
        weights_date="2020-01",
        tier="exact",
        architecture=pb.Architecture(
            name="Rectangle",
            organization="Euclid",
            overview="Draws rectangles.",
            applications=[pb.Application(text="Geometry.", source="https://example.org/elements")],
        ),
        weights_overview="Nothing was trained.",
        zero_shot=True,
    )
    card.output_kinds.extend(output_kinds(card.tasks, labels=bool(card.categories)))
    return card


def default_started() -> pb.VideoStarted:
    """Small limits, so that tests meet them."""
    return pb.VideoStarted(
        max_objects=8,
        held_frames=4,
        max_frames_in_flight=3,
        max_sessions=8,
        idle_timeout=Duration(seconds=60),
    )


def agreement_messages(
    answers: Sequence[tuple[str, Sequence[Segment]]], task: int
) -> list[pb.Agreement]:
    """Pairs the segments of the same index; enough for a fake, whose rectangles have an order."""
    prompted = read_task(task) is Task.PROMPTED_SEGMENTATION
    return [_agreement(a, b, prompted) for a, b in combinations(answers, 2)]


def _agreement(
    a: tuple[str, Sequence[Segment]], b: tuple[str, Sequence[Segment]], prompted: bool
) -> pb.Agreement:
    (model_a, segments_a), (model_b, segments_b) = a, b
    with_masks = all(segment.mask for segment in (*segments_a, *segments_b))
    overlaps = [
        _overlap(one, other, with_masks) for one, other in zip(segments_a, segments_b, strict=False)
    ]
    pairs = [(i, iou) for i, iou in enumerate(overlaps) if prompted or iou >= 0.5]
    matched = {i for i, _ in pairs}
    return agreement_message(
        Agreement(
            model_id_a=model_a,
            model_id_b=model_b,
            basis="prompt" if prompted else "mask-iou" if with_masks else "box-iou",
            matches=tuple(Match(i, i, iou) for i, iou in pairs),
            only_a=tuple(i for i in range(len(segments_a)) if i not in matched),
            only_b=tuple(i for i in range(len(segments_b)) if i not in matched),
            mean_match_iou=sum(iou for _, iou in pairs) / len(pairs) if pairs else None,
            foreground_iou=_foreground(segments_a, segments_b) if with_masks else None,
        )
    )


def _overlap(one: Segment, other: Segment, with_masks: bool) -> float:
    if with_masks and one.mask and other.mask:
        return one.mask.iou(other.mask)
    return one.box.iou(other.box) if one.box and other.box else 0.0


def _foreground(one: Sequence[Segment], other: Sequence[Segment]) -> float | None:
    masks = [[segment.mask for segment in side if segment.mask] for side in (one, other)]
    if not masks[0] and not masks[1]:
        return None
    size = (masks[0] or masks[1])[0].size
    return Mask.union(masks[0], size).iou(Mask.union(masks[1], size))


def _rectangle(box: Box, size: tuple[int, int], score: float, prompt: int | None) -> Segment:
    height, width = size
    left, top = max(0, int(box.x_min)), max(0, int(box.y_min))
    right, bottom = min(width, round(box.x_max)), min(height, round(box.y_max))
    empty = right <= left or bottom <= top
    array = Mask.from_polygons(
        [] if empty else [[left, top, left, bottom, right, bottom, right, top]], size
    )
    return Segment(
        score=score,
        box=array.box,
        mask=array,
        label="rectangle",
        category_id=1,
        area=array.area,
        prompt_index=prompt,
        candidate_index=None if prompt is None else 0,
    )


def _centred(size: tuple[int, int], x: float, y: float) -> Box:
    height, width = size
    return Box(x - width / 4, y - height / 4, x + width / 4, y + height / 4)

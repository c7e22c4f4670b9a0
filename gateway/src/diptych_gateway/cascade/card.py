"""The card of a cascade, made from the cards of its two models."""

from __future__ import annotations

from collections.abc import Iterable

from diptych.segment import v1 as pb
from diptych.wire.cards import output_kinds

from .measured import measured

_INSTANCES = pb.Task.TASK_INSTANCE_SEGMENTATION
_OVERVIEW = """\
Two models in a row: {detector} finds the objects of a picture and labels them, then {segmenter} \
is shown the box of each of them and draws its outline anew. Labels, scores and order are those of \
{detector}; masks and boxes are those of {segmenter}.

Each object also says how far the redrawn mask overlaps with the one that {detector} drew \
(intersection over union). Where that is low, the two saw different things in one box, and the \
object deserves a look.

Both models are the services that this gateway also offers by themselves. Their own cards say what \
is known of each. Figures here were measured on the two together, with exactly the weights that \
are loaded; where there are none, none were measured."""


def unfit(detector: pb.ModelCard, segmenter: pb.ModelCard) -> str:
    """Say why these two make no cascade; empty if they do."""
    if _INSTANCES not in detector.tasks:
        return f"{detector.id} finds no objects by itself"
    prompted = pb.Task.TASK_PROMPTED_SEGMENTATION in segmenter.tasks
    if not prompted or pb.PromptKind.PROMPT_KIND_BOX not in segmenter.prompt_kinds:
        return f"{segmenter.id} does not outline what is in a box"
    return ""


def compose(model_id: str, detector: pb.ModelCard, segmenter: pb.ModelCard) -> pb.ModelCard:
    """Compose the card of the two together; it lists no task if they do not fit."""
    cards = (detector, segmenter)
    dates = [c.weights_date for c in cards]
    names = {"detector": detector.display_name, "segmenter": segmenter.display_name}
    tasks = [] if unfit(*cards) else [_INSTANCES]
    architecture, weights_overview = _architecture(cards), _weights_overview(cards)
    card = pb.ModelCard(
        id=model_id,
        display_name=f"{detector.display_name} → {segmenter.display_name}",
        organization=_joined((c.organization for c in cards), "; "),
        category="open" if all(c.category == "open" for c in cards) else "closed",
        modality=_joined((c.modality for c in cards), ", "),
        release_date=max(c.release_date for c in cards),
        parameter_count=sum(c.parameter_count for c in cards),
        licenses=pb.Licenses(
            code=_joined((c.licenses.code for c in cards), " AND "),
            weights=_joined((c.licenses.weights for c in cards), " AND "),
            published=_joined((c.licenses.published for c in cards), " AND "),
            statements=[stated for c in cards for stated in c.licenses.statements],
            note=_joined((c.licenses.note for c in cards), "\n\n"),
        ),
        tasks=tasks,
        output_kinds=output_kinds(tasks, labels=bool(detector.categories)),
        foundation=all(c.foundation for c in cards),
        overview=_joined((architecture.overview, weights_overview), "\n\n"),
        architecture=architecture,
        weights_overview=weights_overview,
        intended_uses=[
            "Finding and labelling objects, with the outlines of a model made for outlines.",
            "Finding objects whose outlines the two models disagree on.",
        ],
        limitations=_limitations(**names),
        weights=[weights for c in cards for weights in c.weights],
        categories=detector.categories,
        limits=_limits(detector.limits, segmenter.limits),
        references=dict.fromkeys(url for c in cards for url in c.references),
        default_min_score=detector.default_min_score,
        default_max_segments=detector.default_max_segments,
        features=["redrawn outlines", "overlap of both models' masks"],
        weights_date=max(dates) if all(dates) else "",
        metrics=measured(*cards),
        tier=_joined((c.tier for c in cards), ", "),
    )
    if detector.HasField("default_automatic"):
        card.default_automatic.CopyFrom(detector.default_automatic)
    return card


def _architecture(cards: tuple[pb.ModelCard, pb.ModelCard]) -> pb.Architecture:
    """What is true of the two in a row, with any weights."""
    detector, segmenter = (c.architecture.name or c.display_name for c in cards)
    return pb.Architecture(
        name=f"{detector} → {segmenter}",
        overview=_OVERVIEW.format(detector=detector, segmenter=segmenter),
    )


def _weights_overview(cards: Iterable[pb.ModelCard]) -> str:
    told = [(c.display_name, c.weights_overview.strip()) for c in cards]
    return "\n\n".join(f"**{name}.** {text}" for name, text in told if text)


def _limitations(detector: str, segmenter: str) -> list[str]:
    return [
        f"What {detector} misses is missing here, and what it labels wrongly keeps that label.",
        f"The score is that of {detector} and says nothing about the outline.",
        "A box that holds parts of several objects may be answered with the wrong one.",
        "The overlap of both masks is agreement, not accuracy: both may be wrong.",
        "An answer takes as long as both models in a row, and needs both to be there.",
        f"The limitations of {detector} and {segmenter} themselves hold as well; see their cards.",
    ]


def _limits(detector: pb.Limits, segmenter: pb.Limits) -> pb.Limits:
    """Compute what both accept.

    Boxes are asked in as many requests as they need, so the segmenter's number of prompts bounds
    nothing.
    """
    return pb.Limits(
        max_message_bytes=_least(detector.max_message_bytes, segmenter.max_message_bytes),
        max_image_px=_least(detector.max_image_px, segmenter.max_image_px),
        min_side_px=max(detector.min_side_px, segmenter.min_side_px),
        max_aspect_ratio=_least(detector.max_aspect_ratio, segmenter.max_aspect_ratio),
        max_segments=detector.max_segments,
        max_grid_points=detector.max_grid_points,
    )


def _least(a: int, b: int) -> int:
    """Return the smaller one; 0 is a limit that a card does not state."""
    return min(a, b) if a and b else a or b


def _joined(texts: Iterable[str], by: str) -> str:
    return by.join(dict.fromkeys(text for text in texts if text))

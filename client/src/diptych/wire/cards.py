"""Model cards: from wire messages to what a caller gets."""

from __future__ import annotations

import dataclasses

from .._types.cards import (
    Category,
    KeypointSchema,
    KnownModel,
    Licenses,
    Limits,
    Metric,
    ModelCard,
    Variant,
    Weights,
)
from .._types.prompts import AutomaticOptions, PromptKind, Task
from ..segment import v1 as pb
from .statuses import error_from_status

_TASKS = {pb.Task.Value(f"TASK_{task.name}"): task for task in Task}
_PROMPT_KINDS = {pb.PromptKind.Value(f"PROMPT_KIND_{kind.name}"): kind for kind in PromptKind}


def known_model(message: pb.KnownModel) -> KnownModel:
    """What the gateway knows of a model."""
    return KnownModel(
        model_id=message.model_id,
        card=model_card(message.model_card) if message.HasField("model_card") else None,
        error=error_from_status(message.status) if message.status.code else None,
    )


def model_card(message: pb.ModelCard) -> ModelCard:
    """The card; tasks and kinds of prompt that this version does not know are left out."""
    return ModelCard(
        id=message.id,
        display_name=message.display_name,
        organization=message.organization,
        category=message.category,
        modality=message.modality,
        release_date=message.release_date,
        context_window=message.context_window if message.HasField("context_window") else None,
        parameter_count=message.parameter_count,
        licenses=Licenses(
            message.licenses.code, message.licenses.weights, message.licenses.published
        ),
        tasks=tuple(_TASKS[task] for task in message.tasks if task in _TASKS),
        prompt_kinds=tuple(
            _PROMPT_KINDS[kind] for kind in message.prompt_kinds if kind in _PROMPT_KINDS
        ),
        foundation=message.foundation,
        overview=message.overview,
        intended_uses=tuple(message.intended_uses),
        limitations=tuple(message.limitations),
        metrics=tuple(
            Metric(m.name, m.value, m.unit, m.dataset, m.source) for m in message.metrics
        ),
        weights=tuple(
            Weights(w.name, w.sha256.hex(), w.url, w.size_bytes) for w in message.weights
        ),
        categories=tuple(Category(category.id, category.name) for category in message.categories),
        limits=_limits(message.limits),
        references=tuple(message.references),
        variants=tuple(Variant(v.name, v.parameter_count, v.size_bytes) for v in message.variants),
        keypoint_schema=_keypoint_schema(message.keypoint_schema)
        if message.HasField("keypoint_schema")
        else None,
        default_min_score=message.default_min_score,
        default_max_segments=message.default_max_segments,
        default_automatic=_automatic(message.default_automatic)
        if message.HasField("default_automatic")
        else None,
        features=tuple(message.features),
        weights_date=message.weights_date,
        tier=message.tier,
        raw=message,
    )


def _limits(message: pb.Limits) -> Limits:
    return Limits(
        **{field.name: getattr(message, field.name) for field in dataclasses.fields(Limits)}
    )


def _keypoint_schema(message: pb.KeypointSchema) -> KeypointSchema:
    ends = iter(message.edges)
    return KeypointSchema(names=tuple(message.names), edges=tuple(zip(ends, ends, strict=True)))


def _automatic(message: pb.AutomaticOptions) -> AutomaticOptions:
    values = {}
    for option in dataclasses.fields(AutomaticOptions):
        name = option.name
        wire_name = "min_mask_region_area_px" if name == "min_mask_region_area" else name
        if message.HasField(wire_name):  # type: ignore[arg-type]
            values[name] = getattr(message, wire_name)
    return AutomaticOptions(**values)

"""The model card: static text from a TOML file and facts counted from the loaded model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format

from diptych import Task
from diptych.limits import MAX_REQUEST_BYTES
from diptych.segment import v1 as pb
from diptych.wire.cards import output_kinds
from diptych.wire.requests import automatic_message, task_value

from ..engine.protocol import LoadedModel
from ..settings import RuntimeSettings

_REQUIRED = (
    "id",
    "display_name",
    "organization",
    "category",
    "modality",
    "release_date",
    "licenses",
    "overview",
    "intended_uses",
    "limitations",
    "features",
    "references",
)
_RELEASE_DATE = re.compile(r"\d{4}-\d{2}")


class CardError(Exception):
    """A card that is not complete; the message names what is missing."""


def build_card(loaded: LoadedModel, settings: RuntimeSettings) -> pb.ModelCard:
    """The card of a loaded model.

    Raises:
        CardError: the static part lacks a field or has one that the contract does not know, or no
            weights serve a task.
    """
    card = _static(loaded.card)
    served = [task for weights in loaded.weights for task in weights.tasks or loaded.tasks]
    orphans = [task.value for task in loaded.tasks if task not in served]
    if orphans or not loaded.tasks:
        raise CardError(f"model card: {', '.join(orphans) or 'any task'}: expected weights for it")
    card.tasks.extend(task_value(task) for task in loaded.tasks)
    card.output_kinds.extend(output_kinds(card.tasks, labels=bool(loaded.categories)))
    card.parameter_count = loaded.parameter_count
    for weights in loaded.weights:
        card.weights.add(
            name=weights.name,
            sha256=weights.sha256,
            url=weights.url,
            size_bytes=weights.size_bytes,
        )
    for number, name in loaded.categories:
        card.categories.add(id=number, name=name)
    for variant in loaded.variants:
        card.variants.add(
            name=variant.name,
            parameter_count=variant.parameter_count,
            size_bytes=variant.size_bytes,
        )
    if loaded.keypoint_names:
        card.keypoint_schema.names.extend(loaded.keypoint_names)
        card.keypoint_schema.edges.extend(i for edge in loaded.keypoint_edges for i in edge)
    card.tier = loaded.tier
    card.default_min_score = loaded.default_min_score
    card.default_max_segments = loaded.default_max_segments
    if loaded.default_automatic is not None:
        card.default_automatic.CopyFrom(automatic_message(loaded.default_automatic))
    card.limits.CopyFrom(_limits(loaded, settings))
    return card


def _static(fields: Mapping[str, Any]) -> pb.ModelCard:
    fields = {**fields, "overview": _overview(fields)}
    missing = [name for name in _REQUIRED if not fields.get(name)]
    if missing:
        raise CardError(f"model card: {', '.join(missing)} missing or empty")
    try:
        card = json_format.ParseDict(fields, pb.ModelCard())
    except json_format.ParseError as error:
        raise CardError(f"model card: {error}") from error
    if not _RELEASE_DATE.fullmatch(card.release_date):
        raise CardError(f"model card: release_date: expected YYYY-MM, got {card.release_date!r}")
    return card


def _overview(fields: Mapping[str, Any]) -> str:
    """The two texts that a card may tell apart, as one for callers that know only one."""
    architecture = fields.get("architecture") or {}
    about = architecture.get("overview") or fields.get("overview", "")
    return "\n\n".join(text for text in (about, fields.get("weights_overview", "")) if text)


def _limits(loaded: LoadedModel, settings: RuntimeSettings) -> pb.Limits:
    follows = Task.VIDEO_SEGMENTATION in loaded.tasks
    return pb.Limits(
        max_message_bytes=MAX_REQUEST_BYTES,
        max_image_px=settings.max_image_px,
        min_side_px=settings.min_side_px,
        max_aspect_ratio=settings.max_aspect_ratio,
        max_prompts=settings.max_prompts,
        max_points_per_prompt=settings.max_points_per_prompt,
        max_segments=settings.max_segments,
        max_grid_points=settings.max_grid_points if loaded.default_automatic else 0,
        max_video_objects=settings.max_video_objects if follows else 0,
    )

"""Model cards and what a gateway knows of its models, as messages and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone

from google.rpc import status_pb2

from .._types.cards import (
    Application,
    Architecture,
    Category,
    KeypointSchema,
    KnownModel,
    Licenses,
    LicenseStatement,
    Limits,
    Metric,
    ModelCard,
    OutputKind,
    Replica,
    Variant,
    Weights,
)
from .._types.prompts import PromptKind
from ..segment import v1 as pb
from .requests import read_automatic, read_task
from .statuses import error_from_status

_PROMPT_KINDS = {pb.PromptKind.Value(f"PROMPT_KIND_{kind.name}"): kind for kind in PromptKind}
_OUTPUT_KINDS = {pb.OutputKind.Value(f"OUTPUT_KIND_{kind.name}"): kind for kind in OutputKind}
_OUTPUTS = {
    pb.Task.TASK_INSTANCE_SEGMENTATION: (OutputKind.BOX, OutputKind.MASK),
    pb.Task.TASK_OBJECT_DETECTION: (OutputKind.BOX,),
    pb.Task.TASK_KEYPOINT_DETECTION: (OutputKind.BOX, OutputKind.KEYPOINT),
    pb.Task.TASK_PROMPTED_SEGMENTATION: (OutputKind.BOX, OutputKind.MASK),
    pb.Task.TASK_VIDEO_SEGMENTATION: (OutputKind.BOX, OutputKind.MASK, OutputKind.TRACK),
}


def card_request(model_id: str) -> pb.GetModelCardRequest:
    """What ``SegmentService.GetModelCard`` takes."""
    return pb.GetModelCardRequest(model_id=model_id)


def cards_request() -> pb.ListModelCardsRequest:
    """What ``GatewayService.ListModelCards`` takes."""
    return pb.ListModelCardsRequest()


def card_reply(card: pb.ModelCard | None) -> pb.GetModelCardResponse:
    """What ``SegmentService.GetModelCard`` answers; nothing for a card that is not known yet."""
    return pb.GetModelCardResponse(model_card=card)


def cards_reply(models: Iterable[pb.KnownModel]) -> pb.ListModelCardsResponse:
    """What ``GatewayService.ListModelCards`` answers."""
    return pb.ListModelCardsResponse(models=models)


def known_model_message(
    model_id: str,
    card: pb.ModelCard | None,
    status: status_pb2.Status | None = None,
    replicas: Iterable[pb.Replica] = (),
    warnings: Iterable[str] = (),
) -> pb.KnownModel:
    """What the gateway knows of a model: its last card, OK or why it cannot be reached, its
    services and what is wrong with them."""
    return pb.KnownModel(
        model_id=model_id, model_card=card, status=status, replicas=replicas, warnings=warnings
    )


def replica_message(
    name: str,
    address: str,
    status: status_pb2.Status,
    since: datetime,
    *,
    in_flight: int,
    sessions: int,
    card: pb.ModelCard | None,
    difference: str,
    leaving: bool,
) -> pb.Replica:
    """What the gateway knows of one service of a model; see ``Replica``."""
    message = pb.Replica(
        name=name,
        address=address,
        status=status,
        in_flight_count=in_flight,
        session_count=sessions,
        weights_sha256=weights_of(card) if card else (),
        difference=difference,
        leaving=leaving,
    )
    message.since.FromDatetime(since)
    return message


def weights_of(card: pb.ModelCard) -> tuple[bytes, ...]:
    """The SHA-256 digests of the weights that a card names, one per network."""
    return tuple(weights.sha256 for weights in card.weights)


def read_known_model(message: pb.KnownModel) -> KnownModel:
    """What the gateway knows of a model."""
    return KnownModel(
        model_id=message.model_id,
        card=read_card(message.model_card) if message.HasField("model_card") else None,
        error=error_from_status(message.status) if message.status.code else None,
        replicas=tuple(map(_replica, message.replicas)),
        warnings=tuple(message.warnings),
    )


def _replica(message: pb.Replica) -> Replica:
    since = message.since.ToDatetime(timezone.utc) if message.HasField("since") else None
    return Replica(
        name=message.name,
        address=message.address,
        error=error_from_status(message.status) if message.status.code else None,
        since=since,
        in_flight=message.in_flight_count,
        sessions=message.session_count,
        weights_sha256=tuple(digest.hex() for digest in message.weights_sha256),
        difference=message.difference,
        leaving=message.leaving,
    )


def output_kinds(tasks: Sequence[int], *, labels: bool) -> list[pb.OutputKind.ValueType]:
    """What answers can hold of a model that does these tasks, as the contract defines them.

    Args:
        tasks: Values of ``Task``; those that this version does not know add nothing.
        labels: Whether the model has categories.
    """
    found = {OutputKind.LABEL} if labels and tasks else set()
    found.update(kind for task in tasks for kind in _OUTPUTS.get(task, ()))  # type: ignore[call-overload]
    return [value for value, kind in _OUTPUT_KINDS.items() if kind in found]


def read_card(message: pb.ModelCard) -> ModelCard:
    """The card; tasks and kinds that this version does not know are left out.

    What answers hold follows from tasks and categories where a server of an earlier version does
    not say it.
    """
    outputs = message.output_kinds or output_kinds(message.tasks, labels=bool(message.categories))
    return ModelCard(
        id=message.id,
        display_name=message.display_name,
        organization=message.organization,
        category=message.category,
        modality=message.modality,
        release_date=message.release_date,
        context_window=message.context_window if message.HasField("context_window") else None,
        parameter_count=message.parameter_count,
        licenses=_licenses(message.licenses),
        tasks=tuple(task for value in message.tasks if (task := read_task(value))),
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
        default_automatic=read_automatic(message.default_automatic)
        if message.HasField("default_automatic")
        else None,
        features=tuple(message.features),
        weights_date=message.weights_date,
        tier=message.tier,
        architecture=_architecture(message.architecture)
        if message.HasField("architecture")
        else None,
        weights_overview=message.weights_overview,
        output_kinds=tuple(_OUTPUT_KINDS[kind] for kind in outputs if kind in _OUTPUT_KINDS),
        zero_shot=message.zero_shot,
        raw=message,
    )


def _architecture(message: pb.Architecture) -> Architecture:
    return Architecture(
        name=message.name,
        organization=message.organization,
        overview=message.overview,
        applications=tuple(Application(a.text, a.source) for a in message.applications),
    )


def _licenses(message: pb.Licenses) -> Licenses:
    return Licenses(
        code=message.code,
        weights=message.weights,
        published=message.published,
        statements=tuple(
            LicenseStatement(s.subject, s.license, s.source) for s in message.statements
        ),
        note=message.note,
    )


def _limits(message: pb.Limits) -> Limits:
    return Limits(
        **{field.name: getattr(message, field.name) for field in dataclasses.fields(Limits)}
    )


def _keypoint_schema(message: pb.KeypointSchema) -> KeypointSchema:
    ends = iter(message.edges)
    return KeypointSchema(names=tuple(message.names), edges=tuple(zip(ends, ends, strict=True)))

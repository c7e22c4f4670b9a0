"""What a comparison asks of whom: everything that is refused before any model is asked."""

from __future__ import annotations

from dataclasses import dataclass

from diptych.segment import v1 as pb
from diptych_runtime.engine.errors import Reason, ServiceError, exact, invalid

from ..backend.registry import Registry
from .agreement import Basis

DEFAULT_MATCH_IOU = 0.5
MAX_MODELS = 64


@dataclass(frozen=True)
class Plan:
    """A comparison that can be run."""

    model_ids: tuple[str, ...]
    """Models to ask, in the order of the answer; may name unknown ones."""
    request: pb.SegmentRequest
    basis: Basis
    match_iou: float


def plan(compare: pb.CompareRequest, registry: Registry) -> Plan:
    """Check a comparison and choose its models; the models check the rest.

    Raises:
        ServiceError: the request cannot be used, or no model does the task.
    """
    request = compare.request
    if request.model_id:
        raise invalid(
            Reason.OPTION_INVALID,
            "request.model_id",
            f"expected nothing, as model_ids names the models; got {request.model_id[:100]!r}",
        )
    _check_task(request.task)
    return Plan(
        model_ids=_models(compare, registry),
        request=request,
        basis=_basis(request),
        match_iou=_match_iou(compare),
    )


def _check_task(task: pb.Task.ValueType) -> None:
    if task not in pb.Task.values() or task == pb.Task.TASK_UNSPECIFIED:
        raise invalid(
            Reason.OPTION_INVALID, "request.task", f"expected a task of images, got {task}"
        )
    if task == pb.Task.TASK_VIDEO_SEGMENTATION:
        raise ServiceError(
            Reason.TASK_UNSUPPORTED,
            "TASK_VIDEO_SEGMENTATION is for videos: a comparison takes one image",
            metadata={"task": pb.Task.Name(task)},
        )


def _models(compare: pb.CompareRequest, registry: Registry) -> tuple[str, ...]:
    named = tuple(compare.model_ids)
    if len(named) > MAX_MODELS:
        raise invalid(
            Reason.OPTION_INVALID, "model_ids", f"expected at most {MAX_MODELS}, got {len(named)}"
        )
    for index, model_id in enumerate(named):
        if not model_id or model_id in named[:index]:
            got = f"{model_id[:100]!r} twice" if model_id else "nothing"
            raise invalid(
                Reason.OPTION_INVALID, f"model_ids[{index}]", f"expected one model, got {got}"
            )
    if named:
        return named
    task = compare.request.task
    models = registry.for_task(task)
    if not models:
        name = pb.Task.Name(task)
        raise ServiceError(
            Reason.TASK_UNSUPPORTED, f"no model here does {name}", metadata={"task": name}
        )
    return models


def _match_iou(compare: pb.CompareRequest) -> float:
    if not compare.HasField("match_iou"):
        return DEFAULT_MATCH_IOU
    if not 0.0 < compare.match_iou <= 1.0:  # NaN fails this too
        raise invalid(
            Reason.OPTION_INVALID, "match_iou", f"expected (0, 1], got {exact(compare.match_iou)}"
        )
    return compare.match_iou


def _basis(request: pb.SegmentRequest) -> Basis:
    if request.task == pb.Task.TASK_PROMPTED_SEGMENTATION:
        return Basis.PROMPT
    masks = request.output.mask_encoding != pb.MaskEncoding.MASK_ENCODING_NONE
    return Basis.MASK if request.task == pb.Task.TASK_INSTANCE_SEGMENTATION and masks else Basis.BOX

"""Results as JSON documents: what ``diptych --json`` prints and the gateway's HTTP answers."""

from __future__ import annotations

import base64
import dataclasses
import enum
import json
import os
from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypedDict, cast

from .._export.formats import to_coco
from .._types.agreement import Agreement
from .._types.cards import KnownModel
from .._types.errors import DiptychError
from .._types.prompts import LowResLogits, MaskEncoding
from .._types.results import Comparison, ModelOutcome, SegmentResult
from .._types.segment import Segment
from ..masks.mask import Mask
from .types import (
    ComparisonDocument,
    ErrorDocument,
    FailureDocument,
    LogitsDocument,
    MaskDocument,
    ModelDocument,
    OutcomeDocument,
    ResultDocument,
    SegmentDocument,
)

VERSION = 1
"""Of the documents: one that an earlier SDK would read wrongly gets another."""
NOT_SHOWN = frozenset({"raw"})
"""Fields of results that documents leave out."""


class _Source(TypedDict, total=False):
    source: str


def json_text(document: object, *, indent: int | None = None, encoding: str = "utf-8") -> str:
    """Write a document as JSON.

    Names of files that the encoding has no characters for are escaped, so that the document is one
    whatever a name is made of.
    """
    text = json.dumps(document, indent=indent, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = json.dumps(document, indent=indent, allow_nan=False)
    return text


def plain(value: Any) -> Any:
    """A frozen result as dicts, lists and numbers."""
    if isinstance(value, DiptychError):
        return error_document(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.name not in NOT_SHOWN
        }
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def result_document(
    result: SegmentResult, encoding: MaskEncoding = MaskEncoding.COCO_RLE
) -> ResultDocument:
    """An answer: what is known of it, and its segments as COCO annotations and more; their masks,
    where there are any, in this encoding."""
    height, width = result.image_size
    return {
        **_named(result.source),
        "version": VERSION,
        "model_id": result.model_id,
        "image_size": {"height": height, "width": width},
        "image_sha256": result.image_sha256,
        "request_id": result.request_id,
        "omitted": result.omitted,
        "warnings": list(result.warnings),
        "timings": plain(result.timings),
        "provenance": plain(result.provenance),
        "segments": cast(
            list[SegmentDocument], segment_fields(result.segments, result.image_size, encoding)
        ),
    }


def _named(source: str | os.PathLike[str] | None) -> _Source:
    return {} if source is None else {"source": os.fspath(source)}


def outcome_document(
    outcome: ModelOutcome, encoding: MaskEncoding = MaskEncoding.COCO_RLE
) -> OutcomeDocument:
    """What one model answered in a comparison; masks as in ``result_document``."""
    return {
        "model_id": outcome.model_id,
        "elapsed_s": outcome.elapsed_s,
        "result": result_document(outcome.result, encoding) if outcome.result else None,
        "error": error_document(outcome.error) if outcome.error else None,
    }


def comparison_document(
    comparison: Comparison, encoding: MaskEncoding = MaskEncoding.COCO_RLE
) -> ComparisonDocument:
    """What several models say about one image; masks as in ``result_document``."""
    return {
        **_named(comparison.source),
        "version": VERSION,
        "results": [outcome_document(outcome, encoding) for outcome in comparison.results],
        "agreements": [plain(pair) for pair in comparison.agreements],
    }


def model_document(model: KnownModel) -> ModelDocument:
    """What is known of a model: its card and whether it can be reached."""
    document: ModelDocument = plain(model)
    return document


def agreement_document(agreement: Agreement) -> dict[str, Any]:
    """How far two models agree."""
    document: dict[str, Any] = plain(agreement)
    return document


def failure_document(error: Exception, source: str) -> FailureDocument:
    """Why there is no answer for a file, in the answer's place."""
    return {"source": source, "version": VERSION, "error": error_document(error)}


def error_document(error: Exception) -> ErrorDocument:
    """An error, machine-readable; of what was no answer of a server, with nothing of one."""
    told = error if isinstance(error, DiptychError) else DiptychError("")
    return {
        "type": type(error).__name__,
        "message": str(error),
        "code": told.code.name if told.code else None,
        "reason": told.reason,
        "request_id": told.request_id,
        "metadata": dict(told.metadata),
        "violations": plain(told.violations),
        "retry_after_s": told.retry_after_s,
    }


def mask_document(mask: Mask, encoding: MaskEncoding) -> MaskDocument:
    """A mask as COCO's ``segmentation``: run lengths or polygons, or a PNG, which COCO has not."""
    if encoding is MaskEncoding.PNG:
        return {"png": base64.b64encode(mask.to_png()).decode("ascii")}
    if encoding is MaskEncoding.POLYGONS:
        return [ring.ravel().tolist() for ring in mask.to_polygons()]
    return {"size": mask.size, "counts": mask.to_coco().decode("ascii")}


def logits_document(logits: LowResLogits) -> LogitsDocument:
    """Logits with their numbers in base64, as a prompt takes them back."""
    numbers = base64.b64encode(logits.float16_le).decode("ascii")
    return {"height": logits.height, "width": logits.width, "float16_le": numbers}


def segment_fields(
    segments: Sequence[Segment], size: tuple[int, int], encoding: MaskEncoding
) -> list[dict[str, Any]]:
    """Segments as COCO annotations and more; their masks in this encoding."""
    documents: list[dict[str, Any]] = []
    annotations = to_coco(segments, size, 1, 1)
    for segment, annotation in zip(segments, annotations, strict=True):
        mask, logits = segment.mask, segment.low_res_logits
        if mask is not None and encoding is not MaskEncoding.COCO_RLE:
            annotation["segmentation"] = mask_document(mask, encoding)
        extra = {
            "box": None if segment.box is None else list(segment.box.xyxy),
            "mask_area": segment.area if mask is None and segment.area else None,
            "label": segment.label,
            "prompt_index": segment.prompt_index,
            "candidate_index": segment.candidate_index,
            "stability_score": segment.stability_score,
            "source_iou": segment.source_iou,
            "keypoint_names": [point.name for point in segment.keypoints] or None,
            "keypoint_scores": [point.score for point in segment.keypoints] or None,
            "low_res_logits": None if logits is None else logits_document(logits),
        }
        shown = {key: value for key, value in extra.items() if value is not None}
        annotation["score"] = segment.score  # COCO's is rounded; this one is read again
        documents.append(annotation | shown)
    return documents

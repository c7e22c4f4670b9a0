"""JSON documents back into results: what was saved is what was answered."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from .._types import errors
from .._types.agreement import Agreement, Match
from .._types.errors import DiptychError, Violation
from .._types.geometry import Box
from .._types.prompts import LowResLogits
from .._types.results import Comparison, ModelOutcome, Outcome, Provenance, SegmentResult, Timings
from .._types.segment import Keypoint, Segment
from .._types.video import VideoFrameResult, VideoObject
from ..masks.mask import Mask
from .results import VERSION

if TYPE_CHECKING:
    import grpc

_T = TypeVar("_T")
Document = Mapping[str, Any]


def result_from_json(text: str | bytes) -> SegmentResult:
    """Read what ``SegmentResult.to_json``, ``diptych segment --json`` or HTTP wrote.

    Raises:
        ValueError: it is no such document, or one of a later version.
    """
    return _read(text, "segments", _result)


def comparison_from_json(text: str | bytes) -> Comparison:
    """Read what ``Comparison.to_json``, ``diptych compare --json`` or HTTP wrote.

    Raises:
        ValueError: it is no such document, or one of a later version.
    """
    return _read(text, "results", _comparison)


def frame_from_json(text: str | bytes) -> VideoFrameResult:
    """Read what ``VideoFrameResult.to_json``, a line of ``diptych video --json`` or HTTP wrote.

    Raises:
        ValueError: it is no such document, or one of a later version.
    """
    return _read(text, "objects", _frame)


def _read(text: str | bytes, key: str, make: Callable[[Document], _T]) -> _T:
    document = json.loads(text)
    if isinstance(document, dict) and isinstance(error := document.get("error"), dict):
        told = f"{error.get('type')}: {error.get('message')}"
        raise ValueError(f"document: expected an answer, got why there is none: {told}")
    if not isinstance(document, dict) or key not in document:
        raise ValueError(f"document: expected an object with {key!r}, got {str(text[:80])!r}")
    version = document.get("version", VERSION)
    if version != VERSION:
        raise ValueError(
            f"document: expected version {VERSION}, got {version!r}: from a later SDK?"
        )
    with _naming_what_is_wrong():
        return make(document)


@contextmanager
def _naming_what_is_wrong() -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"document: expected a result, got one without {error}") from error


def _result(document: Document) -> SegmentResult:
    size, dated = _size(document), "version" in document
    return SegmentResult(
        model_id=document["model_id"],
        segments=tuple(_segment(entry, size, dated=dated) for entry in document["segments"]),
        image_size=size,
        image_sha256=document["image_sha256"],
        timings=Timings(**document["timings"]),
        provenance=tuple(Provenance(**entry) for entry in document["provenance"]),
        request_id=document["request_id"],
        omitted=document["omitted"],
        warnings=tuple(document["warnings"]),
        source=document.get("source"),
    )


def _frame(document: Document) -> VideoFrameResult:
    size, dated = _size(document), "version" in document
    return VideoFrameResult(
        frame_index=document["frame_index"],
        revision=document["revision"],
        objects=tuple(
            VideoObject(entry["object_id"], _segment(entry, size, dated=dated), entry["presence"])
            for entry in document["objects"]
        ),
        image_size=size,
        timings=Timings(**document["timings"]),
        warnings=tuple(document["warnings"]),
    )


def _size(document: Document) -> tuple[int, int]:
    return document["image_size"]["height"], document["image_size"]["width"]


def _segment(document: Document, size: tuple[int, int], *, dated: bool) -> Segment:
    found, logits = document.get("segmentation"), document.get("low_res_logits")
    mask = None if found is None else _mask(found, size)
    return Segment(
        score=document["score"],
        box=_box(document, dated),
        mask=mask,
        label=document.get("label", ""),
        category_id=document["category_id"],
        area=document.get("mask_area", 0) if mask is None else document["area"],
        keypoints=_keypoints(document),
        prompt_index=document.get("prompt_index"),
        candidate_index=document.get("candidate_index"),
        stability_score=document.get("stability_score"),
        source_iou=document.get("source_iou"),
        low_res_logits=None if logits is None else _logits(logits),
    )


def _box(document: Document, dated: bool) -> Box | None:
    if "box" in document:
        return Box(*document["box"])
    # Before documents had a version, they had COCO's box alone, to a thousandth.
    left, top, width, height = (not dated and document["bbox"]) or (0, 0, 0, 0)
    return Box(left, top, left + width, top + height) if width or height else None


def _mask(document: Document | Sequence[Any], size: tuple[int, int]) -> Mask:
    if not isinstance(document, Mapping):
        return Mask.from_polygons([np.reshape(ring, (-1, 2)) for ring in document], size)
    if "png" in document:
        return Mask.from_png(base64.b64decode(document["png"]))
    return Mask.from_coco(document["counts"], size)


def _logits(document: Document) -> LowResLogits:
    data = base64.b64decode(document["float16_le"])
    return LowResLogits(document["height"], document["width"], data)


def _keypoints(document: Document) -> tuple[Keypoint, ...]:
    if "keypoint_names" not in document:
        return ()
    values, names = document["keypoints"], document["keypoint_names"]
    points = zip(names, values[::3], values[1::3], document["keypoint_scores"], strict=True)
    return tuple(Keypoint(name, x, y, score) for name, x, y, score in points)


def _comparison(document: Document) -> Comparison:
    return Comparison(
        results=tuple(_outcome(entry) for entry in document["results"]),
        agreements=tuple(_agreement(entry) for entry in document["agreements"]),
        source=document.get("source"),
    )


def _outcome(document: Document) -> Outcome:
    result, error = document["result"], document["error"]
    read = ModelOutcome(
        model_id=document["model_id"],
        result=None if result is None else _result(result),
        error=None if error is None else _error(error),
        elapsed_s=document["elapsed_s"],
    )
    return cast("Outcome", read)  # one of both, never none


def _agreement(document: Document) -> Agreement:
    return Agreement(
        **{
            **document,
            "matches": tuple(Match(**match) for match in document["matches"]),
            "only_a": tuple(document["only_a"]),
            "only_b": tuple(document["only_b"]),
        }
    )


def _error(document: Document) -> DiptychError:
    kind = getattr(errors, document["type"], DiptychError)
    if not (isinstance(kind, type) and issubclass(kind, DiptychError)):
        kind = DiptychError
    name = document["code"]
    return kind(
        document["message"],
        code=None if name is None else _code(name),
        reason=document["reason"],
        request_id=document["request_id"],
        metadata=document["metadata"],
        violations=tuple(Violation(**entry) for entry in document["violations"]),
        retry_after_s=document["retry_after_s"],
    )


def _code(name: str) -> grpc.StatusCode:
    import grpc

    return grpc.StatusCode[name]

"""A row for each picture: what was found in it, or why nothing was."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import IO, Any

from .._export.formats import to_coco
from .._types.errors import (
    DiptychError,
    InvalidRequestError,
    MessageTooLargeError,
    MissingExtraError,
)
from .._types.results import SegmentResult
from .._types.segment import Segment
from .storage import need

Row = dict[str, Any]
_ROWS_PER_GROUP = 500  # rows of a part that readers can skip or read on their own


@cache
def schema() -> Any:
    """The columns of a part, as a schema of Arrow; ``docs/batch.md`` describes them."""
    pa = need("pyarrow")
    # No lists of fixed length: Parquet of older readers has none that may be null.
    rle = pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])
    keypoint = [("name", pa.string()), ("x", pa.float32()), ("y", pa.float32())]
    segment = [
        ("category_id", pa.int32()),
        ("label", pa.string()),
        ("score", pa.float32()),
        ("bbox_xywh", pa.list_(pa.float32())),
        ("area", pa.int64()),
        ("rle", rle),
        ("keypoints", pa.list_(pa.struct([*keypoint, ("score", pa.float32())]))),
        ("prompt_index", pa.int32()),
        ("candidate_index", pa.int32()),
        ("stability_score", pa.float32()),
        ("source_iou", pa.float32()),
    ]
    columns = [
        pa.field("path", pa.string(), nullable=False),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("image_sha256", pa.string()),
        ("model", pa.string()),
        ("segments", pa.list_(pa.struct(segment))),
        ("omitted", pa.int32()),
        ("warnings", pa.list_(pa.string())),
        ("error_code", pa.string()),
        ("error_message", pa.string()),
        ("request_id", pa.string()),
        ("weights_sha256", pa.list_(pa.string())),
        ("card_sha256", pa.string()),
    ]
    return pa.schema(columns)


def row_of_result(path: str, result: SegmentResult, card_sha256: str) -> Row:
    """The row of a picture that was answered."""
    height, width = result.image_size
    annotations = to_coco(result.segments, result.image_size, 0, 0)
    return {
        "path": path,
        "width": width,
        "height": height,
        "image_sha256": result.image_sha256,
        "model": result.model_id,
        "segments": [
            _segment(segment, annotation)
            for segment, annotation in zip(result.segments, annotations, strict=True)
        ],
        "omitted": result.omitted,
        "warnings": list(result.warnings),
        "request_id": result.request_id,
        "weights_sha256": [entry.weights_sha256 for entry in result.provenance],
        "card_sha256": card_sha256,
    }


def row_of_error(path: str, error: Exception, model: str, card_sha256: str) -> Row:
    """The row of a picture that was not answered."""
    return {
        "path": path,
        "model": model,
        "error_code": error_code(error),
        "error_message": " ".join(str(error).split()) or type(error).__name__,
        "request_id": error.request_id if isinstance(error, DiptychError) else "",
        "card_sha256": card_sha256,
    }


def error_code(error: Exception) -> str:
    """A word for what went wrong: the server's reason, gRPC's code, or one for the file."""
    if isinstance(error, DiptychError):
        if error.reason:
            return error.reason
        if isinstance(error, MessageTooLargeError):
            return "MESSAGE_TOO_LARGE"
        if error.code is not None:
            return error.code.name
        if isinstance(error, MissingExtraError):
            return "MISSING_EXTRA"
        return "IMAGE_UNREADABLE" if isinstance(error, InvalidRequestError) else "INTERNAL"
    if isinstance(error, FileNotFoundError):
        return "FILE_MISSING"
    return "FILE_UNREADABLE" if isinstance(error, OSError) else "IMAGE_UNREADABLE"


def table_of(rows: Sequence[Row]) -> Any:
    """Rows as a table of Arrow."""
    return need("pyarrow").Table.from_pylist(list(rows), schema=schema())


def write_table(table: Any, file: IO[bytes]) -> None:
    """Write a table as Parquet."""
    need("pyarrow.parquet").write_table(
        table, file, compression="zstd", row_group_size=_ROWS_PER_GROUP
    )


def _segment(segment: Segment, annotation: dict[str, Any]) -> dict[str, Any]:
    return {
        "category_id": segment.category_id,
        "label": segment.label,
        "score": segment.score,
        "bbox_xywh": annotation["bbox"],
        "area": annotation["area"] if segment.mask else round(annotation["area"]),
        "rle": annotation.get("segmentation"),
        "keypoints": [
            {"name": point.name, "x": point.x, "y": point.y, "score": point.score}
            for point in segment.keypoints
        ],
        "prompt_index": segment.prompt_index,
        "candidate_index": segment.candidate_index,
        "stability_score": segment.stability_score,
        "source_iou": segment.source_iou,
    }

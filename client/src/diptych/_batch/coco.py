"""All parts of a batch as one file of COCO."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any

from .job import Job
from .parts import Parts

NAME = "_annotations.json"  # readers of a folder of Parquet pass over names like this
_OBJECT = {"id": 0, "name": "object"}
"""The category of what a class-agnostic model finds."""


def write_coco(parts: Parts, names: list[str], job: Job) -> None:
    """Write ``_annotations.json`` of these parts into their folder, part by part.

    ``images`` have ids from 1 in the order of their paths, and a ``file_name`` relative to the
    source; ``annotations`` have a ``score``. Pictures that failed are in ``failed`` instead.

    Raises:
        OSError: it cannot be written.
    """
    paths: list[str] = []
    for table in parts.tables(names, ["path"]):
        paths += table["path"].to_pylist()
    ids = {path: number for number, path in enumerate(sorted(paths), start=1)}

    def fill(file: IO[bytes]) -> None:
        categories = [{"id": number, "name": name} for number, name in job.categories]
        head = {"description": f"{job.source} by {job.model}", "card_sha256": job.card_sha256}
        file.write(f'{{"info": {json.dumps(head)}'.encode())
        _write_list(file, "categories", categories or [_OBJECT])
        _write_list(file, "images", _images(parts, names, ids, job.root))
        _write_list(file, "annotations", _annotations(parts, names, ids))
        _write_list(file, "failed", _failed(parts, names, job.root))
        file.write(b"\n}\n")

    parts.folder.write(NAME, fill)


def _write_list(file: IO[bytes], name: str, entries: Any) -> None:
    file.write(f',\n"{name}": ['.encode())
    for number, entry in enumerate(entries):
        file.write((",\n" if number else "\n").encode() + json.dumps(entry).encode())
    file.write(b"]")


def _images(
    parts: Parts, names: list[str], ids: dict[str, int], root: str
) -> Iterator[dict[str, Any]]:
    for row in _rows(parts, names, ["path", "width", "height", "error_code"]):
        if row["error_code"] is None:
            name = row["path"].removeprefix(root)
            size = {"width": row["width"], "height": row["height"]}
            yield {"id": ids[row["path"]], "file_name": name, **size}


def _annotations(parts: Parts, names: list[str], ids: dict[str, int]) -> Iterator[dict[str, Any]]:
    number = 0
    for row in _rows(parts, names, ["path", "segments"]):
        for segment in row["segments"] or ():
            number += 1
            yield _annotation(segment, number, ids[row["path"]])


def _annotation(segment: dict[str, Any], number: int, image_id: int) -> dict[str, Any]:
    annotation = {
        "id": number,
        "image_id": image_id,
        "category_id": segment["category_id"],
        "bbox": [round(edge, 3) for edge in segment["bbox_xywh"]],
        "area": segment["area"],
        "iscrowd": 0,
        "score": round(segment["score"], 6),
    }
    if segment["rle"] is not None:
        annotation["segmentation"] = segment["rle"]
    if segment["keypoints"]:
        points = segment["keypoints"]
        # Visibility as in ``SegmentResult.to_coco``.
        annotation["keypoints"] = [v for one in points for v in (one["x"], one["y"], 2)]
        annotation["num_keypoints"] = len(points)
    return annotation


def _failed(parts: Parts, names: list[str], root: str) -> Iterator[dict[str, Any]]:
    for row in _rows(parts, names, ["path", "error_code", "error_message"]):
        if row["error_code"] is not None:
            name = row.pop("path").removeprefix(root)
            yield {"file_name": name, **row}


def _rows(parts: Parts, names: list[str], columns: list[str]) -> Iterator[dict[str, Any]]:
    for table in parts.tables(names, columns):
        yield from table.to_pylist()

"""All parts of a batch as one file of COCO."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

from .._types.geometry import Box
from .._types.segment import Keypoint, Segment
from ..formats import Options, Picture
from ..formats.categories import OBJECT
from ..formats.coco import dataset
from ..masks.mask import Mask
from .job import Job
from .parts import Parts

NAME = "_annotations.json"  # readers of a folder of Parquet pass over names like this


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
    ids = {path.removeprefix(job.root): at for at, path in enumerate(sorted(paths), start=1)}
    options = Options(
        categories=dict(job.categories) or {0: OBJECT},
        info={"description": f"{job.source} by {job.model}", "card_sha256": job.card_sha256},
    )

    def fill(file: IO[bytes]) -> None:
        failed = {"failed": _failed(parts, names, job.root)}
        pictures = pictures_of(parts, names, job)
        for piece in dataset(pictures, options, image_ids=ids, more=failed):
            file.write(piece)

    parts.folder.write(NAME, fill)


def pictures_of(parts: Parts, names: Sequence[str], job: Job) -> Iterable[Picture]:
    """The pictures that were answered, named relative to the source."""
    return _Pictures(parts, names, job.root, job.model)


class _Pictures:
    """Those that were answered, read again from the parts each time they are gone through."""

    def __init__(self, parts: Parts, names: Sequence[str], root: str, model: str) -> None:
        self._parts = parts
        self._names = names
        self._root = root
        self._model = model

    def __iter__(self) -> Iterator[Picture]:
        columns = ["path", "width", "height", "segments", "error_code"]
        for row in _rows(self._parts, self._names, columns):
            if row["error_code"] is None:
                size = (row["height"], row["width"])
                segments = [_segment(segment, size) for segment in row["segments"] or ()]
                name = row["path"].removeprefix(self._root)
                yield Picture(name, row["width"], row["height"], segments, self._model)


def _segment(row: dict[str, Any], size: tuple[int, int]) -> Segment:
    x, y, width, height = row["bbox_xywh"]
    points = [Keypoint(one["name"], one["x"], one["y"], one["score"]) for one in row["keypoints"]]
    return Segment(
        score=row["score"],
        box=Box(x, y, x + width, y + height) if width or height else None,
        mask=None if row["rle"] is None else Mask.from_coco(row["rle"]["counts"], size),
        label=row["label"],
        category_id=row["category_id"],
        area=row["area"],
        keypoints=tuple(points),
    )


def _failed(parts: Parts, names: list[str], root: str) -> Iterator[dict[str, Any]]:
    for row in _rows(parts, names, ["path", "error_code", "error_message"]):
        if row["error_code"] is not None:
            name = row.pop("path").removeprefix(root)
            yield {"file_name": name, **row}


def _rows(parts: Parts, names: Sequence[str], columns: list[str]) -> Iterator[dict[str, Any]]:
    for table in parts.tables(names, columns):
        yield from table.to_pylist()

"""A batch as files for other tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from .._types.cards import ModelCard
from ..formats import Options, format_of
from .coco import pictures_of
from .job import Job
from .parts import Parts


@dataclass(frozen=True)
class Exports:
    """Which formats are made of the whole."""

    formats: tuple[str, ...] = ()
    tolerance: float = 0.0


def write_formats(
    parts: Parts, names: Sequence[str], job: Job, card: ModelCard, exports: Exports
) -> None:
    """Write each format into a folder of its name, with ``_`` before it, which readers of Parquet
    pass over. What was found is in memory meanwhile, its masks as run lengths.

    Raises:
        OSError: it cannot be written.
    """
    skeleton = card.keypoint_schema.edges if card.keypoint_schema else ()
    options = Options(exports.tolerance, dict(job.categories), skeleton)
    pictures = list(pictures_of(parts, names, job))
    for name in dict.fromkeys(exports.formats):
        for file, data in format_of(name).write(pictures, options):

            def fill(opened: IO[bytes], data: bytes = data) -> None:
                opened.write(data)

            parts.folder.write(f"_{name}/{file}", fill)

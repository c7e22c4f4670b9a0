"""Says all that is wrong or strange in a data set, without asking any model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..model import Dataset
from .errors import DatasetError, Findings
from .opening import read_dataset


@dataclass(frozen=True)
class Checked:
    """What a check found."""

    dataset: Dataset | None
    """What was read, ``None`` if it cannot be used as it is."""
    problems: tuple[str, ...]
    """What stops an evaluation."""
    warnings: tuple[str, ...]
    """What is strange, and how it is read."""

    @property
    def said(self) -> tuple[str, ...]:
        """All problems, then all warnings, a sentence each; empty if nothing is strange."""
        return (*self.problems, *self.warnings)


def inspect_dataset(
    path: str | Path,
    *,
    images: str | Path | None = None,
    format: str = "auto",
    mapping: Mapping[str, str] = {},  # never written to
    crowd: str = "ignore",
    exif: str = "auto",
) -> Checked:
    """Read a data set as ``open_dataset`` does, with the same arguments, and gather what is said.

    Never raises for what stands in the files.
    """
    findings = Findings()
    dataset: Dataset | None = None
    try:
        dataset = read_dataset(
            Path(path),
            findings,
            images=None if images is None else Path(images),
            format=format,
            mapping=mapping,
            crowd=crowd,
            exif=exif,
        )
    except DatasetError as error:
        findings.add(error)
    if findings.problems:
        dataset = None
    return Checked(dataset, tuple(map(str, findings.problems)), findings.warnings)

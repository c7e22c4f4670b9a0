"""All files that people read of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..model import Dataset
from ..results import Answer, Figures


def write_report(
    out: Path,
    figures: Figures,
    dataset: Dataset,
    answers: Mapping[str, Mapping[str, Mapping[str, Answer]]],
    *,
    page: str = "",
) -> None:
    """Write ``report.html``, ``report.md`` and ``per_picture.csv`` into the folder ``out``.

    Args:
        answers: By model, task (a value of ``EvaluationTask``) and ``Picture.name``. May be empty:
            then no masks of models are drawn.
        page: Address of a gateway's page, such as ``http://localhost:8080``; pictures then link
            to it. Empty: no links.

    The same input gives the same bytes. Each file is complete or not there at all. Pictures that
    cannot be read are named in the report and do not stop it. Raises ``OSError`` if ``out`` cannot
    be written.
    """
    raise NotImplementedError

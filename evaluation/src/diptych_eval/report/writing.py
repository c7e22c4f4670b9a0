"""All files that people read of a run."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from pathlib import Path

from ..model import Dataset
from ..results import Figures
from .gallery import Answers
from .markdown import markdown
from .markup import clean
from .page import html_page


def write_report(out: Path, figures: Figures, dataset: Dataset, answers: Answers) -> None:
    """Write ``report.html``, ``report.md`` and ``per_picture.csv`` into the folder ``out``.

    Args:
        answers: By model, task (a value of ``EvaluationTask``) and ``Picture.name``. May be empty:
            then no masks of models are drawn.

    The same input gives the same bytes. Each file is complete or not there at all. Pictures that
    cannot be read are named in the report and do not stop it. Raises ``OSError`` if ``out`` cannot
    be written.
    """
    _write(out / "report.html", html_page(figures, dataset, answers))
    _write(out / "report.md", markdown(figures))
    _write(out / "per_picture.csv", per_picture(figures))


def per_picture(figures: Figures) -> str:
    """Make ``per_picture.csv`` (RFC 4180): a line for each picture and model, all figures of it."""
    names = dict.fromkeys(name for model in figures.models for name in model.per_picture)
    subjects = {
        each for model in figures.models for known in model.per_picture.values() for each in known
    }
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["name", "model", *names])
    for subject in sorted(subjects):
        for model in figures.models:
            values = [model.per_picture.get(name, {}).get(subject) for name in names]
            if any(value is not None for value in values):
                cells = ["" if value is None else repr(float(value)) for value in values]
                writer.writerow([clean(subject), model.model_id, *cells])
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    """Put a file in its place at once, so that nobody reads half of it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise

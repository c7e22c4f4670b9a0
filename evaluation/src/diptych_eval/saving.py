"""Files of a run besides its answers: figures, COCO results, and what has to be known to go on."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .asking.store import AnswerFile, answer_file
from .data.coco_form import to_coco
from .data.opening import open_dataset
from .figures.document import from_json, to_json
from .model import Dataset
from .results import Answer, Figures

METRICS, RUN, COCO = "metrics.json", "run.json", "coco"
_VERSIONED = ("diptych", "diptych-eval", "hotcoco", "numpy", "scipy")
_EXPORTED = {"instances": "segmentation", "boxes": "bbox", "keypoints": "keypoints"}
"""Tasks whose answers are COCO results, and what a result has to hold there."""


def run_document(
    dataset: Dataset, options: Mapping[str, Any], questions: Mapping[str, list[str]]
) -> dict[str, Any]:
    """Make ``run.json``: all that differs between runs of equal figures.

    Args:
        dataset: as it was opened.
        options: of the run, as JSON can hold them.
        questions: tasks by model.
    """
    return {
        "dataset": {
            "name": dataset.name,
            "sha256": dataset.sha256,
            "opened": dict(dataset.opened) or {"path": str(dataset.root), "format": dataset.format},
        },
        "options": dict(options),
        "questions": dict(questions),
        "versions": {name: version(name) for name in _VERSIONED}
        | {"python": platform.python_version()},
        "ended": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def save_figures(results: Path, figures: Figures) -> None:
    """Write ``metrics.json``."""
    _write(results / METRICS, [json.dumps(to_json(figures), indent=1, ensure_ascii=False), "\n"])


def save_run(results: Path, document: Mapping[str, Any]) -> None:
    """Write ``run.json``."""
    _write(results / RUN, [json.dumps(document, indent=1, ensure_ascii=False), "\n"])


def load_figures(results: Path) -> Figures:
    """Read ``metrics.json``.

    Raises:
        OSError: it is not there.
        ValueError: it is something else.
    """
    return from_json(_read(results / METRICS))


def load_run(results: Path) -> dict[str, Any]:
    """Read ``run.json``.

    Raises:
        OSError: it is not there.
        ValueError: it is something else.
    """
    document = _read(results / RUN)
    if not {"dataset", "options", "questions"} <= document.keys():
        raise ValueError(f"{results / RUN}: expected what a run wrote, got other JSON")
    return document


def reopen_dataset(document: Mapping[str, Any]) -> Dataset:
    """Read the data set of a run again.

    Args:
        document: ``run.json``.

    Raises:
        OSError: it is not there any more.
        ValueError: its labels are others now.
    """
    opened = dict(document["dataset"]["opened"])
    dataset = open_dataset(opened.pop("path"), **opened)
    if dataset.sha256 != document["dataset"]["sha256"]:
        raise ValueError(
            f"{dataset.root}: expected the labels of the run, got others: evaluate again"
        )
    return dataset


@contextmanager
def kept_answers(
    results: Path, questions: Mapping[str, list[str]]
) -> Iterator[dict[str, dict[str, AnswerFile]]]:
    """Open the answers of a run by model and task; they are read as they are asked for."""
    with ExitStack() as stack:
        yield {
            model: {task: stack.enter_context(answer_file(results, model, task)) for task in tasks}
            for model, tasks in questions.items()
        }


def save_coco(
    results: Path, dataset: Dataset, answers: Mapping[str, Mapping[str, Mapping[str, Answer]]]
) -> None:
    """Write truths and answers as COCO files, under ids that count from 1.

    ``coco/truth.json`` is what ``COCO`` of pycocotools opens, ``coco/MODEL/TASK.json`` what its
    ``loadRes`` takes. Answers without classes have category 0, which is in no truth.
    """
    if not dataset.pictures:
        return
    folder = results / COCO
    _write(folder / "truth.json", [json.dumps(to_coco(dataset))])
    for model, tasks in answers.items():
        for task, found in tasks.items():
            if task in _EXPORTED:
                _write(folder / model / f"{task}.json", _coco_results(dataset, found, task))


def _coco_results(dataset: Dataset, answers: Mapping[str, Answer], task: str) -> Iterator[str]:
    """The text of a file of results, a line each, so that none of many is held."""
    before = "["
    for picture in dataset.pictures:
        if picture.name in answers:
            for found in answers[picture.name].value.get("segments", ()):
                if _EXPORTED[task] in found:
                    # As COCO's own files: beside a box, loadRes takes the size of all from that.
                    named = {k: v for k, v in found.items() if k != "bbox" or task == "boxes"}
                    yield f"{before}\n{json.dumps({'image_id': picture.id, **named})}"
                    before = ","
    yield "[]\n" if before == "[" else "\n]\n"


def _write(path: Path, parts: Iterator[str] | list[str]) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("w", encoding="utf-8", errors="surrogatepass") as out:
        out.writelines(parts)
    os.replace(fresh, path)


def _read(path: Path) -> dict[str, Any]:
    document = json.loads(path.read_text("utf-8", "surrogatepass"))
    if not isinstance(document, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(document).__name__}")
    return document

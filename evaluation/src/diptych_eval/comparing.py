"""Two runs on the same labels, subtracted."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from .asking.plan import limited
from .figures.all import ComputeOptions, compute
from .model import EvaluationTask
from .results import Answer, Figures
from .saving import kept_answers, load_run, reopen_dataset

_SAME = ("limit", "clicks", "max_clicks", "class_agnostic")


def compare_runs(a: Path, b: Path, *, bootstrap: int = 1000, seed: int = 0) -> Figures:
    """Compute the figures of both runs together, on the pictures that all models answered.

    Models are named after their run: ``mask-rcnn in A``, with the names of the folders, or with
    ``A`` and ``B`` where these are equal. Only differences between the runs are kept.

    Raises:
        OSError: a run or its data set is not there.
        ValueError: the runs are of other labels or options.
    """
    documents = load_run(a), load_run(b)
    _check_same(a, b, *documents)
    names = (a.resolve().name, b.resolve().name)
    if names[0] == names[1]:
        names = ("A", "B")
    options = documents[0]["options"]
    dataset = limited(reopen_dataset(documents[0]), options["limit"])
    answers: dict[str, Mapping[str, Mapping[str, Answer]]] = {}
    agnostic = set()
    side: dict[str, int] = {}
    with ExitStack() as stack:
        for number, (folder, document) in enumerate(zip((a, b), documents, strict=True)):
            kept = stack.enter_context(kept_answers(folder, document["questions"]))
            for model, tasks in kept.items():
                name = f"{model} in {names[number]}"
                answers[name], side[name] = tasks, number
                agnostic |= {name} & _agnostic(name, model, document)
        figures = compute(
            dataset,
            answers,
            ComputeOptions(
                tasks=tuple(map(EvaluationTask, options["tasks"])),
                agnostic=frozenset(agnostic),
                clicks=tuple(options["clicks"]),
                max_clicks=options["max_clicks"],
                bootstrap=bootstrap,
                seed=seed,
            ),
        )
    between = [each for each in figures.differences if side[each.model_a] < side[each.model_b]]
    return replace(figures, differences=tuple(between))


def _agnostic(name: str, model: str, document: Mapping[str, Any]) -> set[str]:
    return {name} if model in document["options"]["agnostic"] else set()


def _check_same(a: Path, b: Path, one: Mapping[str, Any], two: Mapping[str, Any]) -> None:
    if one["dataset"]["sha256"] != two["dataset"]["sha256"]:
        raise ValueError(
            f"{b}: expected the labels of {a} ({one['dataset']['name']}), got those of "
            f"{two['dataset']['name']}, or of another version of them"
        )
    for option in _SAME:
        mine, theirs = one["options"][option], two["options"][option]
        if mine != theirs:
            raise ValueError(f"{b}: expected {option} {mine}, as in {a}, got {theirs}")

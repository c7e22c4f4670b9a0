"""Asks models about a data set, computes their figures, and keeps both in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from diptych import Client, DiptychError, ModelCard, ModelStats

from .asking.items import items_of
from .asking.plan import limited, plan_run
from .asking.run import Asking
from .asking.watching import Watcher
from .figures.all import ComputeOptions, compute
from .model import Dataset, EvaluationTask
from .report.writing import write_report
from .results import Answer, Figures
from .run import ModelDifference, ModelRun, Worst, difference_of, worst_of
from .saving import (
    kept_answers,
    load_figures,
    load_run,
    reopen_dataset,
    run_document,
    save_coco,
    save_figures,
    save_run,
)


class Run:
    """What a run found, in its folder of results.

    ``run["mask-rcnn"].segm.ap.value`` is a figure, and
    ``run.difference("mask-rcnn", "sam-2").ap.ci`` the 95 % interval of a difference.
    """

    def __init__(self, results: Path, figures: Figures) -> None:
        self.results = results
        """The folder."""
        self.figures = figures
        """All that is in ``metrics.json``."""

    @classmethod
    def load(cls, results: str | os.PathLike[str]) -> Run:
        """Read the results of an earlier run.

        Raises:
            OSError: the folder has none.
            ValueError: what is there was not written by a run.
        """
        folder = Path(results)
        return cls(folder, load_figures(folder))

    @property
    def models(self) -> tuple[str, ...]:
        """Ids of the models, in the order of the report."""
        return tuple(model.model_id for model in self.figures.models)

    def __getitem__(self, model_id: str) -> ModelRun:
        """Figures of one model; ``KeyError`` if it was not asked."""
        for model in self.figures.models:
            if model.model_id == model_id:
                return ModelRun(model)
        raise KeyError(f"{model_id!r} was not asked, only {', '.join(self.models)}")

    def difference(self, model_a: str, model_b: str) -> ModelDifference:
        """How much more the second has; ``KeyError`` if the two have no figure in common."""
        return difference_of(self.figures, model_a, model_b)

    def worst(
        self, model_id: str, count: int = 20, *, than: str | None = None, figure: str | None = None
    ) -> list[Worst]:
        """Pictures on which a model does worst, the worst first.

        Args:
            model_id: of the model.
            count: no more pictures than these.
            than: another model; then those on which it has the most more.
            figure: by its full name; the first that is known by pictures if not given.

        Raises:
            KeyError: a model was not asked, or has no such figure by pictures.
        """
        other = None if than is None else self[than].raw
        return worst_of(self[model_id].raw, figure, other, count)

    def save_html(self) -> Path:
        """Write ``report.html`` and what goes with it again, from the answers; the path of it.

        Raises:
            OSError: the data set is not there any more, or a file cannot be written.
            ValueError: its labels are others now.
        """
        document = load_run(self.results)
        dataset = limited(reopen_dataset(document), document["options"]["limit"])
        with kept_answers(self.results, document["questions"]) as answers:
            write_report(self.results, self.figures, dataset, answers)
        return self.results / "report.html"


def evaluate(
    client: Client,
    dataset: Dataset,
    *,
    models: Sequence[str] | None = None,
    tasks: Sequence[EvaluationTask | str] | None = None,
    out: str | os.PathLike[str],
    clicks: Sequence[int] = (1, 3, 5),
    max_clicks: int = 20,
    bootstrap: int = 1000,
    seed: int = 0,
    limit: int | None = None,
    jobs: int = 2,
    class_agnostic: bool = False,
    mapping: Mapping[str, str] | None = None,
    patience: float = 300.0,
    watcher: Watcher | None = None,
) -> Run:
    """Ask models about a data set and compute what its labels say of their answers.

    Answers are kept in ``out/predictions``, a line each: the same call again asks only for what is
    missing, or was answered by other weights, another tier or software, or to other options.

    Args:
        client: of a gateway, or of one model's service.
        dataset: as ``open_dataset`` reads it.
        models: ids, in the order of the report; all that do one of the tasks if not given.
        tasks: all that the labels can answer if not given.
        out: the folder of results; made if it is not there.
        clicks: after how many the IoU is wanted in ``prompted``.
        max_clicks: no more than these in ``prompted``.
        bootstrap: resamples of an interval.
        seed: of the resamples; one seed gives one result.
        limit: only so many pictures and clips, the first by name.
        jobs: pictures asked at a time.
        class_agnostic: ignore classes on both sides.
        mapping: a data set's name of a class to the model's, where they are not the same word.
        patience: give up when nothing was answered for so many seconds.
        watcher: is told how far it is.

    Raises:
        DiptychError: a model cannot be reached, or refuses whatever the picture.
        OSError: a file cannot be read or written.
        ValueError: an argument cannot be used, or names of classes do not match.
    """
    watcher, results = watcher or Watcher(), Path(out)
    for name, number, least in (
        ("jobs", jobs, 1),
        ("bootstrap", bootstrap, 0),
        ("limit", limit, 1),
    ):
        if number is not None and number < least:
            raise ValueError(f"{name}: expected at least {least}, got {number}")
    plan = plan_run(
        client,
        dataset,
        models=models,
        tasks=tasks,
        mapping=mapping,
        class_agnostic=class_agnostic,
    )
    asked = limited(dataset, limit)
    said = {
        "tasks": [task.value for task in plan.tasks],
        "clicks": list(clicks),
        "max_clicks": max_clicks,
        "bootstrap": bootstrap,
        "seed": seed,
        "limit": limit,
        "class_agnostic": class_agnostic,
        "mapping": dict(mapping or {}),
    }
    questions: dict[str, list[str]] = {}
    with ExitStack() as stack:
        asking = Asking(results, jobs=jobs, patience=patience, watcher=watcher)
        items = [
            (each, items_of(client, each, asked, clicks=clicks, max_clicks=max_clicks))
            for each in plan.questions
        ]
        watcher.planned(sum(len(about) for _, about in items))
        answers: dict[str, dict[str, Mapping[str, Answer]]] = {}
        for question, about in items:
            file = stack.enter_context(asking.answers(question, about))
            answers.setdefault(question.card.id, {})[question.task.value] = file
            questions.setdefault(question.card.id, []).append(question.task.value)
        options = ComputeOptions(
            tasks=plan.tasks,
            agnostic=plan.agnostic,
            clicks=tuple(clicks),
            max_clicks=max_clicks,
            bootstrap=bootstrap,
            seed=seed,
            stats=_stats(client, plan.cards),
            published=_published(plan.cards),
            warnings=plan.notes,
            said=said,
        )
        watcher.computing()
        figures = compute(asked, answers, options)
        save_figures(results, figures)
        save_run(
            results, run_document(dataset, {**said, "agnostic": sorted(plan.agnostic)}, questions)
        )
        save_coco(results, asked, answers)
        write_report(results, figures, asked, answers)
    return Run(results, figures)


def _stats(client: Client, models: Iterable[str]) -> dict[str, ModelStats]:
    """What each model measured; one that is gone by now has no memory to be told."""
    found = {}
    for model in models:
        with suppress(DiptychError):
            found[model] = client.model_stats(model)
    return found


def _published(cards: Mapping[str, ModelCard]) -> dict[str, dict[str, Any]]:
    return {
        model: {f"{metric.name}, {metric.dataset}": asdict(metric) for metric in card.metrics}
        for model, card in cards.items()
    }

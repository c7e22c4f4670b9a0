"""All figures of a run: of each model in each task, and of each pair of models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from diptych import ModelStats

from ..model import Dataset, EvaluationTask
from ..results import (
    Answer,
    Curve,
    Difference,
    Figures,
    ModelFigures,
    Refused,
    Table,
    Value,
)
from .agreement import agreement_figures
from .boundary import boundary_figures
from .cost import cost_figures
from .differences import Compared, ap_differences
from .instances import InstanceFigures, Kind, instance_figures
from .keypoints import keypoint_figures
from .prompted import prompted_figures
from .resampling import difference
from .semantic import semantic_figures
from .task import TaskFigures
from .video import video_figures

Answers = Mapping[str, Answer]
"""By name of a picture or clip."""
ByTask = Mapping[str, Answers]
_KINDS: tuple[tuple[str, Kind], ...] = (
    (EvaluationTask.INSTANCES.value, "segm"),
    (EvaluationTask.BOXES.value, "bbox"),
)
_COMPARED: tuple[tuple[str, tuple[Compared, ...], Compared], ...] = (
    (EvaluationTask.INSTANCES.value, ("segm", "boundary"), "agnostic"),
    (EvaluationTask.BOXES.value, ("bbox",), "agnostic-bbox"),
)
"""Of a task, what is compared by class, and what of models without classes."""


@dataclass(frozen=True)
class ComputeOptions:
    """How figures are computed, and what goes along with them."""

    tasks: tuple[EvaluationTask, ...] = ()
    """What is wanted, ``SEMANTIC`` included."""
    agnostic: frozenset[str] = frozenset()
    """Models whose answers have no classes."""
    clicks: tuple[int, ...] = (1, 3, 5)
    max_clicks: int = 20
    bootstrap: int = 1000
    """Resamples of an interval; 0 for no differences."""
    seed: int = 0
    stats: Mapping[str, ModelStats] = field(default_factory=dict)
    """Of models when the run ended."""
    published: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    """Of this run; those of the data set come first."""
    said: Mapping[str, Any] = field(default_factory=dict)
    """What the report says of the options."""


class _Kept(Mapping[str, Answer]):
    """Answers about some pictures; each is read when it is asked for."""

    def __init__(self, answers: Answers, names: Sequence[str]) -> None:
        self._answers = answers
        self._names = dict.fromkeys(name for name in names if name in answers)

    def __getitem__(self, name: str) -> Answer:
        if name not in self._names:
            raise KeyError(name)
        return self._answers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def compute(dataset: Dataset, answers: Mapping[str, ByTask], options: ComputeOptions) -> Figures:
    """Compute every figure that the answers allow, on the pictures that all models answered.

    Args:
        dataset: with the pictures and clips that were asked about.
        answers: by model's id, in the order of the report, and by task.
        options: how.
    """
    refused = _refused(dataset, answers)
    gone = {each.name for each in refused}
    left = replace(
        dataset,
        pictures=tuple(each for each in dataset.pictures if each.name not in gone),
        clips=tuple(each for each in dataset.clips if each.name not in gone),
    )
    names = [*(each.name for each in left.pictures), *(each.name for each in left.clips)]
    kept = {
        model: {task: _Kept(each, names) for task, each in tasks.items()}
        for model, tasks in answers.items()
    }
    made = {model: _of_model(left, model, kept, options) for model in kept}
    seen = [truth for picture in left.pictures for truth in picture.truths if not truth.crowd]
    return Figures(
        dataset=dataset.name,
        dataset_sha256=dataset.sha256,
        picture_count=len(left.pictures) or len(left.clips),
        object_count=len(seen) or sum(len(clip.object_ids) for clip in left.clips),
        models=tuple(_joined(model, parts) for model, parts in made.items()),
        differences=tuple(_differences(left, kept, made, options) if options.bootstrap else ()),
        refused=refused,
        warnings=(*dataset.warnings, *options.warnings),
        options=options.said,
        provenance={model: _provenance(tasks) for model, tasks in kept.items()},
        published=options.published,
    )


def _refused(dataset: Dataset, answers: Mapping[str, ByTask]) -> tuple[Refused, ...]:
    pictures, clips = ([each.name for each in many] for many in (dataset.pictures, dataset.clips))
    found = []
    for model, tasks in answers.items():
        for task, each in tasks.items():
            for name in clips if task == EvaluationTask.VIDEO.value else pictures:
                error = each[name].error if name in each else "it was not asked"
                if error:
                    found.append(Refused(name, model, task, error))
    return tuple(found)


def _of_model(
    dataset: Dataset, model: str, kept: Mapping[str, ByTask], options: ComputeOptions
) -> list[InstanceFigures | TaskFigures]:
    mine = kept[model]
    made: list[InstanceFigures | TaskFigures] = []
    for task, kind in _KINDS:
        if task in mine:
            made += _of_matches(dataset, model, kept, options, task=task, kind=kind)
    instances = mine.get(EvaluationTask.INSTANCES.value)
    if instances is not None and model not in options.agnostic:
        made.append(boundary_figures(dataset, instances))
        made.append(_agreement(dataset, model, kept))
        if EvaluationTask.SEMANTIC in options.tasks:
            made.append(semantic_figures(dataset, instances))
    if (keypoints := mine.get(EvaluationTask.KEYPOINTS.value)) is not None:
        made.append(keypoint_figures(dataset, keypoints))
    if (prompted := mine.get(EvaluationTask.PROMPTED.value)) is not None:
        made.append(
            prompted_figures(
                dataset, prompted, clicks=options.clicks, max_clicks=options.max_clicks
            )
        )
    if (video := mine.get(EvaluationTask.VIDEO.value)) is not None:
        made.append(video_figures(dataset, video))
    made.append(cost_figures(mine, options.stats.get(model)))
    return made


def _of_matches(
    dataset: Dataset,
    model: str,
    kept: Mapping[str, ByTask],
    options: ComputeOptions,
    *,
    task: str,
    kind: Kind,
) -> list[InstanceFigures]:
    made = []
    if model not in options.agnostic:
        made.append(instance_figures(dataset, kept[model][task], kind=kind))
    if _some_agnostic(kept, options, task):
        made.append(instance_figures(dataset, kept[model][task], kind=kind, class_agnostic=True))
    return made


def _some_agnostic(kept: Mapping[str, ByTask], options: ComputeOptions, task: str) -> bool:
    """Whether models are to be compared without classes, since one of them has none."""
    return any(model in options.agnostic for model, tasks in kept.items() if task in tasks)


def _agreement(dataset: Dataset, model: str, kept: Mapping[str, ByTask]) -> InstanceFigures:
    """Of a cascade with its own detector, else with the first other model that was asked."""
    task = EvaluationTask.INSTANCES.value
    mine = kept[model][task]
    drawn_twice = any(
        "source_iou" in each for answer in mine.values() for each in answer.value["segments"]
    )
    others = (tasks[task] for name, tasks in kept.items() if name != model and task in tasks)
    return agreement_figures(dataset, mine, other=None if drawn_twice else next(others, None))


def _joined(model: str, parts: Sequence[InstanceFigures | TaskFigures]) -> ModelFigures:
    values: dict[str, Value] = {}
    per_class: dict[str, dict[str, Value]] = defaultdict(dict)
    per_picture: dict[str, Mapping[str, float]] = {}
    curves: list[Curve] = []
    tables: list[Table] = []
    notes: list[str] = []
    for part in parts:
        values |= part.values
        per_picture |= part.per_picture
        for name, figures in part.per_class.items():
            per_class[name] |= figures
        notes += part.notes
        tables += part.tables
        if isinstance(part, InstanceFigures):
            curves += part.curves
    return ModelFigures(
        model,
        values,
        dict(per_class),
        tuple(curves),
        tuple(tables),
        per_picture,
        tuple(dict.fromkeys(notes)),
    )


def _differences(
    dataset: Dataset,
    kept: Mapping[str, ByTask],
    made: Mapping[str, Sequence[InstanceFigures | TaskFigures]],
    options: ComputeOptions,
) -> list[Difference]:
    """Every pair, the earlier model subtracted from the later one, pair by pair."""
    found: list[Difference] = []
    for task, kinds, agnostic in _COMPARED:
        theirs = {model: tasks[task] for model, tasks in kept.items() if task in tasks}
        named = {model: each for model, each in theirs.items() if model not in options.agnostic}
        compared = [(kind, named) for kind in kinds]
        if _some_agnostic(kept, options, task):
            compared.append((agnostic, theirs))
        for kind, answers in compared:
            if len(answers) > 1:
                found += ap_differences(
                    dataset, answers, kind=kind, resamples=options.bootstrap, seed=options.seed
                )
    for a, b in combinations(kept, 2):
        found += _share_differences(a, made[a], b, made[b], options)
    place = {model: index for index, model in enumerate(kept)}
    return sorted(found, key=lambda each: (place[each.model_a], place[each.model_b]))


def _share_differences(
    a: str,
    parts_a: Sequence[InstanceFigures | TaskFigures],
    b: str,
    parts_b: Sequence[InstanceFigures | TaskFigures],
    options: ComputeOptions,
) -> Iterator[Difference]:
    """Of means, such as those of clicks and clips, over the pictures that have them in both."""
    mine = [part for part in parts_a if isinstance(part, TaskFigures)]
    theirs = [part for part in parts_b if isinstance(part, TaskFigures)]
    shares_b = {figure: each for part in theirs for figure, each in part.shares.items()}
    for part in mine:
        for figure, shares in part.shares.items():
            names = [name for name in shares if name in shares_b.get(figure, {})]
            if names:
                yield difference(
                    figure,
                    a,
                    {name: shares[name] for name in names},
                    b,
                    {name: shares_b[figure][name] for name in names},
                    resamples=options.bootstrap,
                    seed=options.seed,
                    higher_is_better=figure not in part.lower_is_better,
                )


def _provenance(tasks: ByTask) -> dict[str, str]:
    """What answered; where tasks are done by different networks, all of them."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for answers in tasks.values():
        answer = next(iter(answers.values()), None)
        for name in ("weights", "weights_sha256", "tier", "software"):
            if answer is not None and getattr(answer, name):
                found[name][getattr(answer, name)] = None
    return {name: ", ".join(values) for name, values in found.items()}

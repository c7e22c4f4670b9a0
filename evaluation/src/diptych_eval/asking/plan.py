"""Which model is asked for what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from diptych import Client, KnownModel, ModelCard, Task, UnavailableError, UnsupportedCallError

from ..data.classes import labelled_names, match_classes
from ..model import Dataset, EvaluationTask

CALLS = {
    EvaluationTask.INSTANCES: Task.INSTANCE_SEGMENTATION,
    EvaluationTask.BOXES: Task.OBJECT_DETECTION,
    EvaluationTask.KEYPOINTS: Task.KEYPOINT_DETECTION,
    EvaluationTask.PROMPTED: Task.PROMPTED_SEGMENTATION,
    EvaluationTask.VIDEO: Task.VIDEO_SEGMENTATION,
}
"""What models are asked for; what is not here is made of the answers to others."""


@dataclass(frozen=True)
class Question:
    """One model, asked in one task about every picture or clip."""

    card: ModelCard
    task: EvaluationTask
    labels: Mapping[str, int] | None = None
    """A label of the model to ``Category.id``; ``None`` if classes do not count."""


@dataclass(frozen=True)
class Plan:
    """All questions of a run, model by model."""

    questions: tuple[Question, ...]
    tasks: tuple[EvaluationTask, ...]
    agnostic: frozenset[str]
    """Models whose answers have no classes."""
    notes: tuple[str, ...] = ()
    """What is left out, and why: a sentence each."""

    @property
    def cards(self) -> dict[str, ModelCard]:
        """By id, in the order of the report."""
        return {question.card.id: question.card for question in self.questions}


def limited(dataset: Dataset, limit: int | None) -> Dataset:
    """The data set with no more pictures and clips than so many, the first by name."""
    if limit is None:
        return dataset
    return replace(dataset, pictures=dataset.pictures[:limit], clips=dataset.clips[:limit])


def chosen_cards(client: Client, models: Sequence[str] | None) -> tuple[list[ModelCard], list[str]]:
    """Cards of the models that are asked, and sentences about those that cannot be.

    Raises:
        DiptychError: a model that was named, or every one, cannot be reached.
        ValueError: a name is of no model.
    """
    known = {each.model_id: each for each in _known_models(client)}
    for name in models or ():
        if name not in known:
            raise ValueError(f"model {name!r}: expected one of {', '.join(known)}")
    cards, notes = [], []
    for name in dict.fromkeys(models or known):
        model = known[name]
        if model.card is not None and model.error is None:
            cards.append(model.card)
            continue
        error = model.error or UnavailableError(f"model {name!r} was never seen by the gateway")
        if models:
            raise error
        notes.append(f"{name} is left out, since it cannot be reached: {error}")
    if not cards:
        raise UnavailableError("; ".join(notes) or "the server has no models")
    return cards, notes


def plan_run(
    client: Client,
    dataset: Dataset,
    *,
    models: Sequence[str] | None,
    tasks: Iterable[EvaluationTask | str] | None,
    mapping: Mapping[str, str] | None,
    class_agnostic: bool,
) -> Plan:
    """Choose models as ``chosen_cards`` and their questions as ``make_plan``, with all notes.

    Raises:
        DiptychError, ValueError: as these two.
    """
    cards, notes = chosen_cards(client, models)
    plan = make_plan(
        cards,
        dataset,
        tasks=tasks,
        mapping=mapping or {},
        class_agnostic=class_agnostic,
        named=models is not None,
    )
    return replace(plan, notes=(*notes, *plan.notes))


def make_plan(
    cards: Sequence[ModelCard],
    dataset: Dataset,
    *,
    tasks: Iterable[EvaluationTask | str] | None,
    mapping: Mapping[str, str],
    class_agnostic: bool,
    named: bool,
) -> Plan:
    """Choose what each model is asked.

    Args:
        cards: of the models.
        dataset: says which tasks its labels can answer.
        tasks: those that are wanted; all that can be answered if ``None``.
        mapping: a data set's name of a class to the model's.
        class_agnostic: whether classes do not count.
        named: whether somebody named the models: then each has to do something.

    Raises:
        ValueError: the data set cannot answer a task, names of classes do not match, or there is
            nothing that a model could be asked.
    """
    wanted = _wanted(dataset, tasks)
    asked = {EvaluationTask.INSTANCES if t is EvaluationTask.SEMANTIC else t for t in wanted}
    questions: list[Question] = []
    notes: list[str] = []
    for card in cards:
        mine = [task for task in CALLS if task in asked and CALLS[task] in card.tasks]
        if not mine:
            notes.append(f"{card.id} does none of {_names(wanted)}, so it is left out")
            if named:
                raise ValueError(f"model {card.id!r}: expected one that does {_names(wanted)}")
        for task in mine:
            agnostic = class_agnostic or not card.categories
            questions.append(
                Question(card, task, None if agnostic else _labels(card, dataset, task, mapping))
            )
    if not questions:
        raise ValueError(f"no model does {_names(wanted)}")
    done = {question.task for question in questions}
    notes += [f"no model does {task.value}" for task in sorted(asked - done)]
    agnostic_ids = frozenset(card.id for card in cards if class_agnostic or not card.categories)
    return Plan(tuple(questions), wanted, agnostic_ids, tuple(notes))


def _wanted(
    dataset: Dataset, tasks: Iterable[EvaluationTask | str] | None
) -> tuple[EvaluationTask, ...]:
    if tasks is None:
        return tuple(task for task in EvaluationTask if task in dataset.tasks)
    wanted = {EvaluationTask(task) for task in tasks}
    for task in wanted - dataset.tasks:
        able = ", ".join(each.value for each in EvaluationTask if each in dataset.tasks) or "none"
        raise ValueError(f"task {task.value}: {dataset.name} has labels for {able}")
    return tuple(task for task in EvaluationTask if task in wanted)


def _labels(
    card: ModelCard, dataset: Dataset, task: EvaluationTask, mapping: Mapping[str, str]
) -> Mapping[str, int] | None:
    if task not in (EvaluationTask.INSTANCES, EvaluationTask.BOXES, EvaluationTask.KEYPOINTS):
        return None
    names = labelled_names(dataset)
    if task is EvaluationTask.KEYPOINTS:
        bodies = {each.name for each in dataset.categories if each.keypoints}
        names = tuple(name for name in names if name in bodies)
    matched = match_classes(names, [each.name for each in card.categories], mapping)
    ids = {each.name: each.id for each in dataset.categories}
    return {label: ids[name] for label, name in matched.to_dataset.items()}


def _known_models(client: Client) -> tuple[KnownModel, ...]:
    try:
        return client.model_cards()
    except UnsupportedCallError:
        card = client.model_card()
        return (KnownModel(card.id, card, None),)


def _names(tasks: Iterable[EvaluationTask]) -> str:
    return " or ".join(task.value for task in tasks)

"""The table that compares models: which rows there are, what they are called and what they say.

The command line prints it and the gateway's page shows it, so there is no second list of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from .._types.cards import KnownModel, Licenses, Metric, ModelCard, OutputKind, Variant, Weights
from .._types.prompts import PromptKind, Task
from .._types.stats import ModelStats
from .card_figures import answers, measured_on, memory

_SHOWN_CATEGORIES = 8
_OUTPUTS = {
    OutputKind.LABEL: "Class labels",
    OutputKind.BOX: "Boxes",
    OutputKind.MASK: "Masks",
    OutputKind.KEYPOINT: "Keypoints",
    OutputKind.TRACK: "Objects through video",
}


@dataclass(frozen=True)
class CardItem:
    """One thing that a cell says."""

    text: str
    url: str = ""
    """Where the text leads."""
    note: str = ""
    """Of less weight, behind the text."""
    digest: str = ""
    """SHA-256 in hexadecimal; where there is little room its beginning is enough."""


Cell = tuple[CardItem, ...]


@dataclass(frozen=True)
class CardRow:
    """One row of the table."""

    group: str
    name: str
    kind: str
    """``"text"``, ``"flag"`` for yes or no, ``"list"``, or ``"prose"``: a card's own Markdown."""
    cells: tuple[Cell, ...]
    """By model; an empty one says that nothing is known."""


@dataclass(frozen=True)
class _Model:
    known: KnownModel
    card: ModelCard | None
    stats: ModelStats | None


def card_rows(models: Sequence[KnownModel], stats: Mapping[str, ModelStats]) -> tuple[CardRow, ...]:
    """All rows for these models; ``stats`` by model id, of those that are known."""
    columns = [_Model(known, known.card, stats.get(known.model_id)) for known in models]
    rows = [*_at_a_glance(), *_overviews(), *_figures(), *_what_it_does(), *_weights_loaded()]
    rows += _in_words()
    return tuple(
        CardRow(group, name, kind, tuple(tuple(read(column)) for column in columns))
        for group, name, kind, read in rows
    )


_Read = Callable[[_Model], Iterable[CardItem]]
_Spec = tuple[str, str, str, _Read]


def _text(read: Callable[[ModelCard], str]) -> _Read:
    """A cell of one text of the card; empty if the card says nothing."""
    return _of_card(lambda card: [CardItem(text)] if (text := read(card)) else [])


def _flag(read: Callable[[ModelCard], bool]) -> _Read:
    return _of_card(lambda card: [CardItem("yes" if read(card) else "no")])


def _of_card(read: Callable[[ModelCard], Iterable[CardItem]]) -> _Read:
    return lambda model: read(model.card) if model.card else ()


def _texts(read: Callable[[ModelCard], Iterable[str]]) -> _Read:
    return _of_card(lambda card: [CardItem(text) for text in read(card)])


def _at_a_glance() -> list[_Spec]:
    """The rows that pages of this kind open with, in the order that people know from them."""
    glance = "At a glance"
    seen = (Task.INSTANCE_SEGMENTATION, Task.KEYPOINT_DETECTION, Task.OBJECT_DETECTION)
    return [
        (glance, "Organisation", "text", _text(lambda card: card.organization)),
        (glance, "Category", "text", _text(lambda card: card.category)),
        (glance, "Modality", "text", _text(lambda card: card.modality)),
        (glance, "Release date", "text", _text(lambda card: card.release_date)),
        (glance, "Context window", "text", _text(lambda card: _tokens(card.context_window))),
        (glance, "Parameters", "text", _of_card(_parameters)),
        (glance, "Licence", "text", _of_card(lambda card: _licences(card.licenses))),
        *(_does(glance, task) for task in seen),
        (glance, "Foundation vision", "flag", _flag(lambda card: card.foundation)),
    ]


def _overviews() -> list[_Spec]:
    """Two short texts, which people read next."""
    return [
        ("Overview", "The architecture", "prose", _text(_about_architecture)),
        ("Overview", "The weights", "prose", _text(lambda card: card.weights_overview)),
    ]


def _what_it_does() -> list[_Spec]:
    model, licences = "Model", "Licences"
    return [
        (model, "Name", "text", _text(lambda card: card.display_name)),
        (model, "Architecture", "text", _text(_architecture)),
        (licences, "Implementations state", "list", _of_card(_statements)),
        (licences, "About the licences", "prose", _text(lambda card: card.licenses.note)),
        _does("Tasks", Task.PROMPTED_SEGMENTATION),
        _does("Tasks", Task.VIDEO_SEGMENTATION),
        *(_takes(kind) for kind in PromptKind),
        *(_holds(kind, name) for kind, name in _OUTPUTS.items()),
        ("Classes", "Class list", "text", _text(_labels)),
        ("Classes", "Zero-shot", "flag", _flag(lambda card: card.zero_shot)),
        ("Features", "Features", "list", _texts(lambda card: card.features)),
    ]


def _does(group: str, task: Task) -> _Spec:
    return (group, task_name(task), "flag", _flag(lambda card: task in card.tasks))


def _takes(kind: PromptKind) -> _Spec:
    name = f"{kind.value.capitalize()} prompts"
    return ("Prompts", name, "flag", _flag(lambda card: kind in card.prompt_kinds))


def _holds(kind: OutputKind, name: str) -> _Spec:
    return ("Answers hold", name, "flag", _flag(lambda card: kind in card.output_kinds))


def _figures() -> list[_Spec]:
    """What was measured here, and what was published."""
    here = "On this server"
    return [
        (here, "Status", "text", _status),
        (here, "Answers take", "list", _measured),
        (here, "Memory", "list", _of_stats(memory)),
        (here, "Measured on", "text", _of_stats(measured_on)),
        ("Figures", "Published figures", "list", _of_card(lambda card: _metrics(card, True))),
    ]


def _weights_loaded() -> list[_Spec]:
    weights = "Weights"
    return [
        (weights, "Weights loaded", "list", _of_card(lambda card: map(_weights, card.weights))),
        (weights, "Weights made", "text", _text(lambda card: card.weights_date)),
        (weights, "Tier", "text", _text(lambda card: card.tier)),
        (weights, "Weights to load instead", "list", _texts(_variants)),
    ]


def _in_words() -> list[_Spec]:
    about = "About"
    return [
        (about, "Where it is used", "list", _of_card(_applications)),
        (about, "Intended uses", "prose", _texts(lambda card: card.intended_uses)),
        (about, "Limitations", "prose", _texts(lambda card: card.limitations)),
        (
            about,
            "References",
            "list",
            _of_card(lambda card: [CardItem(url, url=url) for url in card.references]),
        ),
    ]


def task_name(task: Task) -> str:
    """A task in words, such as ``Instance segmentation``."""
    return task.value.replace("-", " ").capitalize()


def _tokens(tokens: int | None) -> str:
    return "not applicable" if tokens is None else f"{tokens:,} tokens"


def _parameters(card: ModelCard) -> list[CardItem]:
    counts = [count for v in card.variants if (count := v.parameter_count)]
    others = f"others to load: {min(counts):,} to {max(counts):,}" if counts else ""
    return [CardItem(f"{card.parameter_count:,}", note=others)]


def _licences(licenses: Licenses) -> list[CardItem]:
    """Each licence once, with what it is the licence of."""
    stated = {
        "code here": licenses.code,
        "weights": licenses.weights,
        "publication": licenses.published,
    }
    names = dict.fromkeys(licence for licence in stated.values() if licence)
    return [
        CardItem(name, note=", ".join(what for what, licence in stated.items() if licence == name))
        for name in names
    ]


def _architecture(card: ModelCard) -> str:
    if card.architecture is None:
        return ""
    by = f", published by {card.architecture.organization}"
    return f"{card.architecture.name}{by if card.architecture.organization else ''}"


def _about_architecture(card: ModelCard) -> str:
    """Cards that tell architecture and weights in one text have it here."""
    return card.architecture.overview if card.architecture else card.overview


def _applications(card: ModelCard) -> list[CardItem]:
    uses = card.architecture.applications if card.architecture else ()
    return [CardItem(use.text, note=_source(use.source)) for use in uses]


def _statements(card: ModelCard) -> list[CardItem]:
    return [
        CardItem(f"{stated.subject}: {stated.license}", note=_source(stated.source))
        for stated in card.licenses.statements
    ]


def _source(source: str) -> str:
    return f"Source: {source}" if source else ""


def _labels(card: ModelCard) -> str:
    if not card.categories:
        return "none: it does not tell classes apart"
    names = [category.name for category in card.categories[:_SHOWN_CATEGORIES]]
    more = ", …" if len(card.categories) > _SHOWN_CATEGORIES else ""
    return f"{len(card.categories)}: {', '.join(names)}{more}"


def _weights(weights: Weights) -> CardItem:
    size = f"{weights.size_bytes / 1e6:.1f} MB"
    return CardItem(weights.name, url=weights.url, note=size, digest=weights.sha256)


def _variants(card: ModelCard) -> list[str]:
    def describe(variant: Variant) -> str:
        size = variant.size_bytes / 1e6
        return f"{variant.name}: {variant.parameter_count:,} parameters, {size:.1f} MB"

    return [describe(variant) for variant in card.variants]


def _metrics(card: ModelCard, published: bool) -> list[CardItem]:
    return [_metric(metric) for metric in card.metrics if bool(metric.source) is published]


def _metric(metric: Metric) -> CardItem:
    on = f" on {metric.dataset}" if metric.dataset else ""
    figure = f"{metric.name}: {metric.value:g} {metric.unit}{on}"
    return CardItem(figure, note=_source(metric.source))


def _of_stats(read: Callable[[ModelStats], Iterable[str]]) -> _Read:
    return lambda model: [CardItem(text) for text in read(model.stats)] if model.stats else ()


def _measured(model: _Model) -> Iterable[CardItem]:
    """From the answers that there were, and what the card itself says was measured."""
    if model.stats:
        yield from (CardItem(text) for text in answers(model.stats))
    if model.card:
        yield from _metrics(model.card, False)


def _status(model: _Model) -> Iterable[CardItem]:
    """Whether it can be reached, which replicas are not as its card says, and what is wrong."""
    known = model.known
    listed = [replica for replica in known.replicas if not replica.leaving]
    up = sum(not replica.error for replica in listed)
    if known.error is None:
        note = f"{up} of {len(listed)} replicas" if len(listed) > 1 else ""
        yield CardItem("reachable", note=note)
    else:
        seen = "last seen card; " if model.card else ""
        yield CardItem(f"{seen}{known.error}")
    for replica in listed:
        if replica.difference:
            yield CardItem(f"replica {replica.name}: {replica.difference}")
    yield from map(CardItem, known.warnings)

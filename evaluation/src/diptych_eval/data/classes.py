"""Classes of a data set and of a model, matched by their names, never by their numbers."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from ..model import Dataset
from .errors import DatasetError

VOC_TO_COCO = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}
"""Classes of Pascal VOC that COCO has under another name."""
CITYSCAPES_TO_COCO = {"motorbike": "motorcycle", "pedestrian": "person"}
"""Classes of Cityscapes, and of sets labelled like it, that COCO has under another name. A rider is
not among them: it would join a person's class, which only ``--map rider=person`` may decide."""
_LIKELY = {"rider": "person", "human": "person", "people": "person", "van": "car"}
"""What to suggest for names that look like nothing else."""
_NO_CLASS = frozenset({"", "n/a", "background", "_background_", "__background__"})


@dataclass(frozen=True)
class Matched:
    """Which class of a model is which of a data set."""

    to_model: Mapping[str, str]
    """The data set's name to the model's, for every name of the data set."""
    to_dataset: Mapping[str, str]
    """The reverse; what a model calls anything else cannot be judged by this data set."""
    unused: tuple[str, ...]
    """The model's classes that the data set does not have."""


def plain(name: str) -> str:
    """A class's name without what spellings differ in: case, spaces, ``_`` and ``-``."""
    return "".join(each for each in name.casefold() if not each.isspace() and each not in "_-")


def labelled_names(dataset: Dataset) -> tuple[str, ...]:
    """Names of the classes that have an object, in the data set's order: those to be matched."""
    used = {truth.category_id for picture in dataset.pictures for truth in picture.truths}
    return tuple(each.name for each in dataset.categories if each.id in used)


def match_classes(
    dataset_names: Iterable[str],
    model_names: Iterable[str],
    mapping: Mapping[str, str] = {},  # never written to
) -> Matched:
    """Find each of a data set's classes among a model's.

    Equal names match, whatever their case, spaces, ``_`` and ``-``; then those that Pascal VOC,
    Cityscapes and COCO call differently. ``mapping`` (data set's name to model's) goes first.

    Raises:
        DatasetError: names of the data set have no counterpart, or two have the same one.
    """
    wanted = list(dict.fromkeys(dataset_names))
    offered = [each for each in dict.fromkeys(model_names) if each.casefold() not in _NO_CLASS]
    by_plain = {plain(each): each for each in reversed(offered)}
    chosen = {plain(name): target for name, target in mapping.items()}
    to_model: dict[str, str] = {}
    for name in wanted:
        found = _counterpart(name, by_plain, chosen)
        if found is not None:
            to_model[name] = found
    unmapped = [name for name in wanted if name not in to_model]
    if unmapped:
        raise DatasetError(
            None,
            "classes",
            f"each to be one of the model's: {', '.join(sorted(offered)) or 'it names none'}",
            "; ".join(f"{name!r}{_suggestion(name, offered)}" for name in unmapped)
            + f" (the data set has {', '.join(wanted)})",
        )
    _refuse_shared(to_model)
    to_dataset = {model: name for name, model in to_model.items()}
    return Matched(to_model, to_dataset, tuple(n for n in offered if n not in to_dataset))


def _counterpart(name: str, offered: Mapping[str, str], chosen: Mapping[str, str]) -> str | None:
    key = plain(name)
    if key in chosen:
        return offered.get(plain(chosen[key]))
    if key in offered:
        return offered[key]
    return next((offered[each] for each in _aliases(key) if each in offered), None)


def _aliases(key: str) -> Iterable[str]:
    for table in (VOC_TO_COCO, CITYSCAPES_TO_COCO):
        for other, coco in table.items():
            if key == plain(other):
                yield plain(coco)
            elif key == plain(coco):
                yield plain(other)


def _suggestion(name: str, offered: Collection[str]) -> str:
    by_plain = {plain(each): each for each in offered}
    near = _LIKELY.get(plain(name), "")
    if near not in by_plain:
        close = difflib.get_close_matches(plain(name), by_plain, 1, 0.6)
        near = close[0] if close else ""
    return f", perhaps --map {name + '=' + by_plain[near]!r}" if near else ""


def _refuse_shared(to_model: Mapping[str, str]) -> None:
    first: dict[str, str] = {}
    for name, model in to_model.items():
        if model in first:
            raise DatasetError(
                None,
                "classes",
                "one class of the data set for each of the model's",
                f"{first[model]!r} and {name!r} for {model!r}; "
                f"--map {name + '=' + first[model]!r} joins them",
            )
        first[model] = name

"""What a labelling configuration asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from label_studio_sdk.label_interface import LabelInterface

from .refusals import Refusal

# The most exact first: an object becomes one region, of the first of these that has its label.
OUTPUTS = {"BrushLabels": "brush", "PolygonLabels": "polygon", "RectangleLabels": "rectangle"}
_MOST_CHARACTERS = 1_000_000


@dataclass(frozen=True)
class Control:
    """A tag that regions belong to."""

    name: str
    tag: str
    to_names: tuple[str, ...]
    labels: tuple[str, ...]
    classes: dict[str, str]
    """The label for each class of a model, in lower case: ``predicted_values``, else its name."""
    smart: bool
    threshold: float | None
    """``model_score_threshold``: objects with a lower score are left out."""


@dataclass(frozen=True)
class Config:
    """The tags of a configuration that matter here."""

    sources: dict[tuple[str, str], str]
    """Key of the task's data, by tag (``Image``, ``Video``) and name."""
    controls: tuple[Control, ...]

    def source(self, tag: str, name: str) -> str:
        """The key of a picture or clip in the data of a task.

        Raises:
            Refusal: the configuration has no such tag.
        """
        if (key := self.sources.get((tag, name))) is None:
            raise Refusal(f"The labelling configuration has no {tag} tag named {name!r}", 422)
        return key

    def named(self, tag: str) -> Iterator[str]:
        """Names of the pictures, or clips."""
        return (name for kind, name in self.sources if kind == tag)

    def by_exactness(self, picture: str) -> list[Control]:
        """Where regions of a picture can go: brushes, then polygons, then rectangles."""
        found = [c for c in self.controls if c.tag in OUTPUTS and picture in c.to_names]
        order = list(OUTPUTS)
        return sorted(found, key=lambda control: order.index(control.tag))

    def outputs(self, picture: str) -> list[Control]:
        """The same, but what is there to prompt with comes last."""
        return sorted(self.by_exactness(picture), key=lambda control: control.smart)

    def of_tag(self, tag: str, name: str) -> Control | None:
        """The first control of a kind for a picture or clip."""
        found = (c for c in self.controls if c.tag == tag and name in c.to_names)
        return next(found, None)


@lru_cache(maxsize=64)
def read_config(text: str) -> Config:
    """Read the XML of a labelling configuration.

    Raises:
        Refusal: it cannot be read, or has neither a picture nor a clip.
    """
    if not isinstance(text, str) or not 0 < len(text) <= _MOST_CHARACTERS:
        raise Refusal("Expected a labelling configuration, got none or too long a one")
    try:
        interface = LabelInterface(text)
    except Exception as error:
        raise Refusal(f"The labelling configuration cannot be read: {error}") from None
    sources = {
        (tag.tag, tag.name): (tag.value or "").lstrip("$")
        for tag in interface.objects
        if tag.tag in ("Image", "Video")
    }
    if not sources:
        raise Refusal("Expected an Image or Video tag in the labelling configuration", 422)
    return Config(sources, tuple(_control(control) for control in interface.controls))


def _control(control: Any) -> Control:
    names = tuple(control.labels or ())
    classes: dict[str, str] = {}
    for name in names:
        attributes = control.labels_attrs[name].attr
        predicted = attributes.get("predicted_values")
        for found in predicted.split(",") if predicted else [name, attributes.get("value", name)]:
            classes.setdefault(found.strip().lower(), name)
    threshold = control.attr.get("model_score_threshold")
    return Control(
        name=control.name,
        tag=control.tag,
        to_names=tuple(control.to_name),
        labels=names,
        classes=classes,
        smart=control.attr.get("smart", "").lower() == "true",
        threshold=_share(threshold) if threshold else None,
    )


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise Refusal(f"model_score_threshold: expected a number from 0 to 1, got {text!r}", 422)
    return value


def unknown_labels(controls: Iterable[Control], classes: Iterable[str]) -> bool:
    """Whether no label of the controls is the name of a class."""
    known = {name.lower() for name in classes}
    return not any(known & control.classes.keys() for control in controls)

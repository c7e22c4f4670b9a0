"""What others published of official weights: the questions, the figures, and the pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import tomllib

from diptych import Box, ModelCard, Point, Prompt

_FILES = resources.files(__package__)


class OtherWeightsError(Exception):
    """The weights that are loaded are not those that outputs were published of; the message says
    which they are and whose the outputs are."""


@dataclass(frozen=True)
class Question:
    """One prompt about a picture or a clip, and what was published as the answer."""

    source: str
    """URL of the published test."""
    pictures: tuple[str, ...]
    """Names: one, or the frames of a clip whose first one is prompted."""
    prompt: Prompt
    after: Prompt | None = None
    """Asked before; the logits of its best answer come with ``prompt``."""
    ious: tuple[float, ...] = ()
    """Predicted IoU of one mask, or of three candidates, best first. Range [0, 1]."""
    logits: tuple[float, ...] = ()
    """Of the top left corner of the best mask; one for each frame."""
    single_mask: bool = False
    """Published is the mask that is meant for several prompts, though there is one lone click:
    nothing that a client can ask for."""

    @property
    def is_clip(self) -> bool:
        """Whether the answer is followed through frames."""
        return len(self.pictures) > 1

    @property
    def title(self) -> str:
        """Picture and prompt in a few words."""
        name = self.pictures[0].rpartition("-")[0] if self.is_clip else self.pictures[0]
        words = [f"{name}:"]
        if self.after is not None:
            words.append("logits of the first answer,")
        if self.prompt.box is not None:
            words.append(f"box {_numbers(*self.prompt.box.xyxy)}")
        for point in self.prompt.points:
            words.append(f"{'point' if point.positive else 'off'} {_numbers(point.x, point.y)}")
        return " ".join(words)


@dataclass(frozen=True)
class Published:
    """All that was published of one set of weights."""

    model: str
    """Id of the model that they usually are in."""
    weights: str
    """Their name, as cards have it."""
    file: str
    """The checkpoint, as its publisher calls it."""
    sha256: str
    """Of the checkpoint, in hexadecimal."""
    iou_tolerance: float
    logit_factor: float
    """A logit may be larger or smaller by this."""
    pictures: Mapping[str, str]
    """SHA-256 by name, in hexadecimal."""
    questions: tuple[Question, ...] = field(repr=False)

    def check(self, model_id: str, card: ModelCard) -> None:
        """See that a model has these weights.

        Weights that were pulled are known by their name: the download was checked against the
        published digest, and the card has the digest of the converted file.

        Raises:
            OtherWeightsError: it has others.
        """
        for weights in card.weights:
            if weights.sha256 == self.sha256 or (weights.name == self.weights and weights.url):
                return
        loaded = ", ".join(f"{one.name} (sha256 {one.sha256})" for one in card.weights) or "none"
        demo = any(one.name == "demo" for one in card.weights)
        said = "these are demo weights" if demo else "these are other weights"
        raise OtherWeightsError(
            f"{model_id} has {loaded}: {said}; the published outputs belong to the official "
            f"{self.weights} ({self.file}, sha256 {self.sha256})"
        )


def read_published() -> Published:
    """What comes with this package."""
    told: dict[str, Any] = tomllib.loads((_FILES / "published.toml").read_text())
    sources, questions = told.pop("sources"), told.pop("questions")
    asked = tuple(_question(sources, **question) for question in questions)
    return Published(**told, questions=asked)


def picture(name: str, sha256: str) -> bytes:
    """The file of a picture that the questions name.

    Raises:
        ValueError: it is not the file that the published outputs are of.
    """
    data = (_FILES / "pictures" / name).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise ValueError(
            f"{name} of this package has changed: expected SHA-256 {sha256}, got {digest}"
        )
    return data


def _question(sources: Mapping[str, str], **told: Any) -> Question:
    frames = told.get("frames") or [told["picture"]]
    logits = told.get("logits") or [told["logit"]] if not told.get("single_mask") else []
    return Question(
        source=sources[told["source"]],
        pictures=tuple(frames),
        prompt=_prompt(told.get("points", ()), told.get("box")),
        after=_prompt(told["after"], None) if "after" in told else None,
        ious=tuple(told.get("ious", ())),
        logits=tuple(logits),
        single_mask=told.get("single_mask", False),
    )


def _prompt(points: Any, box: Any) -> Prompt:
    given = tuple(Point(x, y, positive=bool(label)) for x, y, label in points)
    return Prompt(given, Box(*box) if box else None)


def _numbers(*numbers: float) -> str:
    return f"({', '.join(f'{number:g}' for number in numbers)})"

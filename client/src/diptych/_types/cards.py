"""What a user should know about a model, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from .errors import DiptychError
from .prompts import AutomaticOptions, PromptKind, Task, Word

if TYPE_CHECKING:
    from ..segment.v1 import ModelCard as ModelCardMessage


class OutputKind(Word):
    """Something that an answer can hold."""

    LABEL = "label"
    BOX = "box"
    MASK = "mask"
    KEYPOINT = "keypoint"
    TRACK = "track"
    """Objects under ids that stay the same from frame to frame of a video."""


@dataclass(frozen=True)
class Application:
    """A use that an architecture was put to, and where that is said."""

    text: str
    source: str


@dataclass(frozen=True)
class Architecture:
    """What is true of a model's networks with any weights."""

    name: str
    organization: str
    """Who published it."""
    overview: str
    """How it works and what was new about it: paragraphs of Markdown."""
    applications: tuple[Application, ...]


@dataclass(frozen=True)
class LicenseStatement:
    """What one implementation of an architecture says about its licence."""

    subject: str
    """Which implementation."""
    license: str
    """SPDX identifier."""
    source: str
    """Where it says so, as a URL."""


@dataclass(frozen=True)
class Licenses:
    """Three licences that are easily taken for one another, as SPDX identifiers or names."""

    code: str
    """Of the code that runs the model."""
    weights: str
    """Of the weights that are loaded."""
    published: str
    """As the original publication states it."""
    statements: tuple[LicenseStatement, ...] = ()
    """What the publication's code and other implementations of the architecture state."""
    note: str = ""
    """What is easily mistaken about them; empty if nothing is."""


@dataclass(frozen=True)
class Metric:
    """One figure of a card."""

    name: str
    value: float
    unit: str
    dataset: str
    """The data or the input, such as ``"COCO val2017"``."""
    source: str
    """Where it was published; empty for a figure measured on this server."""


@dataclass(frozen=True)
class Weights:
    """The weights that are loaded."""

    name: str
    sha256: str
    """Of the file, in hexadecimal."""
    url: str
    """Where it came from; empty for bundled weights."""
    size_bytes: int


@dataclass(frozen=True)
class Variant:
    """Weights that could be loaded instead."""

    name: str
    parameter_count: int
    size_bytes: int


@dataclass(frozen=True)
class Category:
    """A category: COCO's id, or the model's own number, and its name."""

    id: int
    name: str


@dataclass(frozen=True)
class KeypointSchema:
    """Names of a body's points, and the lines between them as pairs of indices."""

    names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Limits:
    """What a model service accepts; 0 for what it does not offer."""

    max_message_bytes: int
    max_image_px: int
    min_side_px: int
    max_aspect_ratio: int
    max_prompts: int
    max_points_per_prompt: int
    max_segments: int
    max_video_objects: int
    max_grid_points: int


@dataclass(frozen=True, repr=False)
class ModelCard:
    """What a user should know about a model before using it."""

    id: str
    display_name: str
    organization: str
    category: str
    """``"open"`` or ``"closed"``."""
    modality: str
    release_date: str
    """Year and month: ``"2017-10"``."""
    context_window: int | None
    """Tokens; ``None`` for models that have no such thing."""
    parameter_count: int
    """Of the model that is loaded, counted."""
    licenses: Licenses
    tasks: tuple[Task, ...]
    prompt_kinds: tuple[PromptKind, ...]
    foundation: bool
    """Whether the architecture is published as a foundation model, whatever weights are loaded."""
    overview: str
    """What the architecture is, then what the loaded weights are: paragraphs of Markdown."""
    intended_uses: tuple[str, ...]
    limitations: tuple[str, ...]
    metrics: tuple[Metric, ...]
    weights: tuple[Weights, ...]
    """One entry per network."""
    categories: tuple[Category, ...]
    """Empty for class-agnostic models."""
    limits: Limits
    references: tuple[str, ...]
    variants: tuple[Variant, ...]
    keypoint_schema: KeypointSchema | None
    default_min_score: float
    default_max_segments: int
    default_automatic: AutomaticOptions | None
    """``None`` for models without an automatic mode."""
    features: tuple[str, ...]
    """What sets it apart, a few words each; one that is not listed is not one that it lacks."""
    weights_date: str
    """Year and month; empty if unknown."""
    tier: str
    """``exact`` or ``fast``."""
    architecture: Architecture | None = None
    """``None`` for a card that tells architecture and weights in one ``overview``."""
    weights_overview: str = ""
    """Who trained the loaded weights, on what, and what they know: paragraphs of Markdown."""
    output_kinds: tuple[OutputKind, ...] = ()
    """What its answers can hold, all tasks taken together."""
    zero_shot: bool = False
    """Whether it is made to answer for kinds of things that it was not trained on."""
    raw: ModelCardMessage | None = field(default=None, repr=False, compare=False)
    """The message as it came."""

    def __repr__(self) -> str:
        return f"ModelCard({self.id!r}, {self.display_name!r})"


@dataclass(frozen=True)
class Replica:
    """One service of a model, as the gateway that was asked sees it."""

    name: str
    """What this gateway calls it, as long as it runs; says nothing of where it is."""
    address: str
    """``host:port``; empty for callers without a token for everything."""
    error: DiptychError | None
    """Why it is sent no calls; ``None`` if it is."""
    since: datetime | None
    """Since when that is so, in UTC."""
    in_flight: int
    """Calls that it has from this gateway, sessions included."""
    sessions: int
    """Video sessions among them."""
    weights_sha256: tuple[str, ...]
    """Of the weights that it has loaded, in hexadecimal, one per network."""
    difference: str
    """How its card differs from the one that is shown of the model; empty if it does not."""
    leaving: bool
    """Whether it is listed no more, and only ends the calls that it has."""


@dataclass(frozen=True, repr=False)
class KnownModel:
    """What the gateway knows of a model."""

    model_id: str
    card: ModelCard | None
    """The last one seen if it cannot be reached; ``None`` if it never was."""
    error: DiptychError | None
    """Why it cannot be reached; ``None`` if it can."""
    replicas: tuple[Replica, ...] = ()
    """Its services; empty for a cascade, and from a gateway that does not say it."""
    warnings: tuple[str, ...] = ()
    """What whoever runs it should look at though it may answer, a sentence each."""

    def __repr__(self) -> str:
        state = "reachable" if self.error is None else f"{type(self.error).__name__}: {self.error}"
        return f"KnownModel({self.model_id!r}, {state})"

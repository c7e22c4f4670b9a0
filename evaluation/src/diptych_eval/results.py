"""What models answered, and the figures made of it: the borders between the package's parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Cost:
    """What an answer cost."""

    wall_s: float
    """From asking to the answer, as the client saw it."""
    service_s: float
    """In the model service."""
    reply_bytes: int
    calls: int = 1


@dataclass(frozen=True)
class Answer:
    """What one model said about one picture or clip in one task; a line of ``TASK.jsonl``."""

    name: str
    """``Picture.name`` or ``Clip.name``."""
    key: str
    """SHA-256 of what the answer depends on: picture, weights, tier, software and options."""
    value: Mapping[str, Any]
    """``instances``, ``boxes``, ``keypoints``: ``{"segments": [...]}``, each a COCO result without
    ``image_id``: ``category_id`` (of the data set, 0 if class-agnostic), ``score``, ``bbox``, and
    ``segmentation`` (``{"size": [h, w], "counts": str}``) or ``keypoints``; a cascade's also has
    ``source_iou``. ``prompted``: ``{"corrected": whether it takes further clicks, "objects": {truth
    id: {"box": IoU, "clicks": [IoU, ...]}}}``, ``null`` where the model does not take it.
    ``video``: ``{"first": "mask" or "box", "refused": {object id: why}, "frames": {index: {object
    id: RLE}}}``. Indexes and ids are text, as in JSON.
    """
    cost: Cost
    error: str = ""
    """Why there is no answer, then ``value`` is empty."""
    error_reason: str = ""
    tier: str = ""
    weights: str = ""
    weights_sha256: str = ""
    software: str = ""


@dataclass(frozen=True)
class Value:
    """One figure."""

    value: float | None
    """``None`` if it cannot be computed."""
    count: int = 0
    """What it is the mean of: objects, pictures or pixels."""
    why: str = ""
    """Why it is ``None``, or what must be known to read it, in one sentence."""
    low: float | None = None
    """Bounds of its 95 % interval over resampled pictures, where it was computed."""
    high: float | None = None


@dataclass(frozen=True)
class Curve:
    """A line of a chart."""

    name: str
    x_label: str
    y_label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    marks: tuple[tuple[float, float, str], ...] = ()
    """Points to point out: x, y, text."""


@dataclass(frozen=True)
class Table:
    """A named table of counts or shares, such as a confusion matrix or TIDE's errors."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]
    note: str = ""


@dataclass(frozen=True)
class ModelFigures:
    """All figures of one model."""

    model_id: str
    values: Mapping[str, Value] = field(default_factory=dict)
    """By name, task first: ``segm/AP``, ``segm/AP50``, ``segm/AR100``, ``segm/AP-small``,
    ``bbox/AP``, ``boundary/AP``, ``keypoints/AP``, ``agnostic/AR100``, ``prompted/box-mIoU``,
    ``prompted/mIoU@3``, ``prompted/NoC20@85``, ``prompted/failures20@90``, ``video/J``,
    ``video/F``, ``video/J&F``, ``semantic/mIoU``, ``agreement/AUROC``, ``cost/service-p50-s`` …"""
    per_class: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    """Category name to figures by the same names."""
    curves: tuple[Curve, ...] = ()
    tables: tuple[Table, ...] = ()
    per_picture: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Figure to picture's (or clip's) name to value: what is resampled, and ranks the pictures."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Difference:
    """How much more one model has of a figure than another, on the same pictures."""

    model_a: str
    model_b: str
    figure: str
    value: float
    """Figure of b minus figure of a."""
    low: float
    high: float
    """95 % of the paired resamples lie between."""
    wins: int
    """Pictures on which b has more."""
    ties: int
    losses: int
    resamples: int
    higher_is_better: bool = True

    @property
    def ci(self) -> tuple[float, float]:
        """Bounds of its 95 % interval."""
        return self.low, self.high

    @property
    def shown(self) -> bool:
        """Whether 0 is outside the interval."""
        return not self.low <= 0 <= self.high


@dataclass(frozen=True)
class Refused:
    """A picture that leaves all models' figures, because a model gave no answer."""

    name: str
    model_id: str
    task: str
    error: str


@dataclass(frozen=True)
class Figures:
    """What a run found: ``metrics.json``."""

    dataset: str
    dataset_sha256: str
    picture_count: int
    object_count: int
    models: tuple[ModelFigures, ...]
    differences: tuple[Difference, ...] = ()
    refused: tuple[Refused, ...] = ()
    warnings: tuple[str, ...] = ()
    """Of the data set and of this run; they head the report."""
    options: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Model id to weights, weights_sha256, tier, software."""
    published: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Model id to figures of its card: name, value, unit, dataset, source."""

"""What a model has done, in figures, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from .prompts import Task


@dataclass(frozen=True)
class StageTime:
    """Time that all requests together spent in one stage."""

    count: int
    """How many requests went through it."""
    total_s: float


@dataclass(frozen=True)
class AnswerTime:
    """How long the newest answers of one kind took at the model service, without waiting."""

    task: Task | None
    """``None`` for one that this version does not know."""
    image_held: bool
    """Whether the encoder did not have to run."""
    count: int
    """How many answers the figures are from."""
    p50_s: float
    """Half of them took this long or less."""
    p95_s: float


@dataclass(frozen=True)
class ModelStats:
    """What a model has done since its process started."""

    outcomes: Mapping[str, int]
    """Requests by outcome: ``"OK"`` or the name of a gRPC code."""
    stages: Mapping[str, StageTime]
    """By name of the stage: ``"queue"``, ``"decode"``, ``"encode"``, …"""
    queue_length: int = 0
    running_count: int = 0
    session_count: int = 0
    held_image_count: int = 0
    held_bytes: int = 0
    image_cache_hit_count: int = 0
    encoder_run_count: int = 0
    engine_restart_count: int = 0
    answer_times: tuple[AnswerTime, ...] = ()
    counting_since: datetime | None = None
    """With a time zone; ``None`` if the server does not say."""
    device: str = ""
    """What computes, such as ``"cuda:0 NVIDIA A10G"``."""
    engine_memory_bytes: int = 0
    """What the engine process takes now; 0 if it is not known, as for the next two."""
    engine_peak_memory_bytes: int = 0
    device_peak_memory_bytes: int = 0
    """The most memory of a GPU that the engine has taken."""
    batch_sizes: Mapping[int, int] = field(default_factory=dict)
    """Answers by how many requests the model answered at once."""
    queue_wait_s: float = 0.0
    """How long a new request would wait for the model now, by the service's estimate."""
    device_s: float = 0.0
    """Time that the model worked on requests."""

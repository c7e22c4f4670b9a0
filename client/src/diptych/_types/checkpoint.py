"""What is kept of a video session, so that another one can go on where it was lost."""

from __future__ import annotations

from dataclasses import dataclass, field

from .prompts import OutputOptions, Prompt


@dataclass(frozen=True)
class VideoPrompt:
    """Where an object was said to be."""

    object_id: int
    frame_index: int
    prompt: Prompt


@dataclass(frozen=True)
class VideoCheckpoint:
    """What a new session needs to go on where another one was lost."""

    model: str | None
    output: OutputOptions
    track_all: bool
    frames: tuple[tuple[int, bytes], ...] = field(repr=False)
    """Index and file of each frame that was still held, oldest first."""
    prompts: tuple[VideoPrompt, ...]
    """Prompts on those frames. An object that has prompts on older frames too is prompted with its
    mask on the oldest of these frames that shows it, or its box if the model names classes."""
    lost_objects: tuple[int, ...] = ()
    """Objects that were not visible on any held frame: they have to be prompted again."""

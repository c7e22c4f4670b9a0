"""The ways to the model that requests take."""

from __future__ import annotations

import enum

from diptych import Task


class Lane(enum.StrEnum):
    """Requests of one lane wait for each other, and for those of another one step at most."""

    HELD = "held"
    """Prompts on a picture whose features are held: a fraction of a second, and a person waits."""
    NEW = "new"
    """Prompts on a picture that must be decoded and encoded first; a person waits here, too."""
    BULK = "bulk"
    """All else: what runs once for a whole picture, and may take long."""


def lane_of(task: Task, *, held: bool) -> Lane:
    """The lane of a request; ``held`` says whether its picture is."""
    if task is not Task.PROMPTED_SEGMENTATION:
        return Lane.BULK
    return Lane.HELD if held else Lane.NEW

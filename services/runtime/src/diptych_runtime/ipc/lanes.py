"""The ways to the model that requests take."""

from __future__ import annotations

import enum


class Lane(enum.StrEnum):
    """Requests of one lane wait for each other, and for those of another one step at most."""

    HELD = "held"
    """Prompts on an image whose features are held: a fraction of a second, and a person waits."""
    NEW = "new"
    """Prompts on an image that must be decoded and encoded first; a person waits here, too."""
    BULK = "bulk"
    """All else: what runs once for a whole image, and may take long."""

"""``diptych video``: objects followed through a clip."""

from __future__ import annotations

from .command import video

__all__ = ["video"]

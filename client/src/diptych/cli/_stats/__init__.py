"""``diptych stats``."""

from __future__ import annotations

from .command import stats

__all__ = ["stats"]

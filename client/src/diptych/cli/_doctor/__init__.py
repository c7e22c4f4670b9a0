"""``diptych doctor``: each part of the way to the models, and what is wrong with it."""

from __future__ import annotations

from .command import doctor

__all__ = ["doctor"]

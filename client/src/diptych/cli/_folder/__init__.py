"""``diptych batch`` and ``diptych warm``: all pictures of a folder, a list or a bucket."""

from __future__ import annotations

from .batch import batch
from .warm import warm

__all__ = ["batch", "warm"]

"""The commands ``diptych eval`` and ``diptych verify``."""

from __future__ import annotations

from ._group import evaluation
from ._verify import verify

__all__ = ["evaluation", "verify"]

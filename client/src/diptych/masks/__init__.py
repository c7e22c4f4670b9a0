"""Binary masks as run lengths: the form in which they are made, sent, compared and kept."""

from __future__ import annotations

from .mask import Mask

__all__ = ["Mask"]

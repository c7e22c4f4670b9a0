"""What commands ask for: objects, categories, and how models look for them."""

from __future__ import annotations

from .options import Asked, ask_options, asked

__all__ = ["Asked", "ask_options", "asked"]

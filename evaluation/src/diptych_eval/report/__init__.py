"""Show figures to people: HTML, Markdown and CSV."""

from __future__ import annotations

from .writing import write_report

__all__ = ["write_report"]

"""Who is told how far a run is."""

from __future__ import annotations


class Watcher:
    """Is told what happens while models are asked; this one does nothing with it."""

    def planned(self, calls: int) -> None:
        """So many pictures and clips are going to be asked for, over all models and tasks."""

    def advanced(self) -> None:
        """One more is there, from a model or from an earlier run."""

    def computing(self) -> None:
        """All answers are there, and figures are made of them."""

    def said(self, line: str) -> None:
        """Something happened that a person should know."""

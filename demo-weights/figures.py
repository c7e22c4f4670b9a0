"""Measured figures and the file that keeps them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("figures.json")


@dataclass
class Figure:
    """One measured value; ``n`` counts what it was measured on."""

    name: str
    value: float
    unit: str
    dataset: str
    n: int

    def __post_init__(self) -> None:
        """Round to the digits that the number of scenes supports."""
        self.value = round(float(self.value), 4)


def share(name: str, part: float, whole: int, dataset: str) -> Figure:
    """The figure ``part / whole``; 0 where there is nothing to count."""
    return Figure(name, part / max(whole, 1), "share", dataset, whole)


def dataset(first: int, scenes: int) -> str:
    """Name of the scenes with consecutive seeds."""
    return f"{scenes} synthetic scenes, seeds {first}-{first + scenes - 1}"


def show(figures: list[Figure]) -> None:
    """Print one line per figure."""
    for figure in figures:
        print(f"{figure.name:45s} {figure.value:.4f}  {figure.unit}, n = {figure.n}")


def record(section: str, content: Any, file: Path = FILE) -> None:
    """Replace one section of the file and keep the others."""
    known = json.loads(file.read_text()) if file.exists() else {}
    if isinstance(content, list):
        content = [asdict(figure) for figure in content]
    known[section] = content
    file.write_text(json.dumps(known, indent=2) + "\n")

"""Which tiers a benchmark of speed measures: ``--tiers exact,fast``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch

from diptych_runtime.engine.tier import Tier, cpu_multiplies_bfloat16

T = TypeVar("T")


@dataclass(frozen=True)
class Chosen:
    """What is measured, and what a reader of the page has to know of it."""

    names: tuple[str, ...]
    notes: tuple[str, ...]
    slow: bool
    """Whether this machine computes the fast tier without instructions for it."""

    def asked(self, bounds: Mapping[str, T]) -> dict[str, T]:
        """Bounds by side, but none for the fast tier where it is slow."""
        return {s: bound for s, bound in bounds.items() if not (self.slow and s == Tier.FAST)}


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Let a script be told its tiers."""
    text = "without it, fast is left out on a processor that has no bfloat16"
    parser.add_argument("--tiers", choices=("exact", "exact,fast"), help=text)


def chosen(argument: str | None, device: torch.device) -> Chosen:
    """The tiers of an argument; prints what a reader has to know."""
    slow = device.type == "cpu" and not cpu_multiplies_bfloat16()
    if argument is None:
        names = tuple(tier.value for tier in Tier if not (slow and tier is Tier.FAST))
    else:
        names = tuple(argument.split(","))
    notes = []
    if slow:
        said = "Nothing is asked of" if Tier.FAST in names else "Not measured:"
        why = "this processor has no instructions for bfloat16, so there it is right but slow"
        notes.append(f"{said} the fast tier; {why}.")
        print(notes[0])
    return Chosen(names, tuple(notes), slow)

"""What a figure was measured on, and where it is kept."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from diptych_runtime.engine.tier import cpu_multiplies_bfloat16
from diptych_runtime.front.stats import quantile
from diptych_runtime.front.worker_spawn import ENGINE_ENVIRONMENT
from diptych_runtime.machine import process_memory, processor_flags, processor_name

RESULTS = Path(__file__).parent / "results"
_VECTORS = (
    *(("avx512f", "AVX-512"), ("avx2", "AVX2"), ("avx", "AVX"), ("sse2", "SSE2")),
    *(("sve", "SVE"), ("asimd", "NEON")),
)
"""Flags of the system and names of what they stand for, the widest first."""


def describe() -> str:
    """Processor, cores, what these multiply with, and versions, as one line."""
    parts = (
        processor_name() or platform.machine(),
        f"{os.cpu_count()} cores",
        instructions(processor_flags()),
        f"Python {platform.python_version()}",
        *(f"{name} {version(name)}" for name in ("torch", "sam2", "grpcio")),
    )
    return ", ".join(part for part in parts if part)


def instructions(flags: frozenset[str]) -> str:
    """What decides how quickly a processor with these flags multiplies, such as ``AVX2 without
    bfloat16``; empty if the system does not tell."""
    if not flags:
        return ""
    widest = next((name for flag, name in _VECTORS if flag in flags), "")
    tiles = " and AMX" if "amx_tile" in flags else ""
    half = "with" if cpu_multiplies_bfloat16(flags) else "without"
    return f"{widest}{tiles} {half} bfloat16".strip()


def as_engine_process() -> None:
    """Start this script again as a service starts its engine: how memory is taken and how threads
    wait can be set from outside only. All sides have it alike."""
    if not ENGINE_ENVIRONMENT.items() <= os.environ.items():
        environment = os.environ | ENGINE_ENVIRONMENT
        # Itself again; no words of anybody else.
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)  # noqa: S606


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in RAM."""
    return process_memory(pid).now


def peak_bytes() -> int:
    """The most memory that this process had in RAM since ``forget_peak``."""
    return process_memory(os.getpid()).peak


def forget_peak() -> None:
    """Let ``peak_bytes`` count from what is in RAM now (Linux 4.0 or later)."""
    Path("/proc/self/clear_refs").write_text("5")


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of all values do not exceed."""
    return quantile(sorted(values), share)


def milliseconds(values: Sequence[float]) -> str:
    """Median and mean of times in seconds."""
    return f"{statistics.median(values) * 1e3:7.1f} ({statistics.fmean(values) * 1e3:.1f})"


@dataclass(frozen=True)
class Row:
    """One line of the table of results: ours beside theirs. Make it with ``row``."""

    what: str
    """What was measured, and on what."""
    against: str
    """The other side of the ratio."""
    ours: float | None = None
    theirs: float | None = None
    unit: str = ""
    """Of ``ours`` and ``theirs``."""
    ratio: float | None = None
    """Median of the rounds' ratios, so made that ``bound`` fits; ``None`` if there is none."""
    low: float | None = None
    """First quartile of the rounds' ratios."""
    high: float | None = None
    """Third quartile."""
    rounds: int = 0
    bound: Literal["at least", "at most"] = "at least"
    """Whether what is judged is a gain (at least the floor) or a cost (at most)."""
    floor: float | None = None
    """``None`` where a row only stands beside the others, to judge them by."""
    aim: float | None = None
    quality: str = ""
    """How far the answers are the same, if there are any to compare; or why there is no ratio."""
    judged: Literal["ratio", "ours"] = "ratio"
    """What floor and aim are for: the ratio, or ``ours`` in its unit."""

    @property
    def verdict(self) -> Literal["aim", "floor", "missed"] | None:
        """How far it gets; ``None`` if nothing is asked of it or nothing was measured."""
        value = self.ratio if self.judged == "ratio" else self.ours
        bounds = {"aim": self.aim, "floor": self.floor}
        asked = {name: bound for name, bound in bounds.items() if bound is not None}
        if value is None or not asked:
            return None
        for name, bound in asked.items():
            if value >= bound if self.bound == "at least" else value <= bound:
                return "aim" if name == "aim" else "floor"
        return "missed"


def row(
    what: str,
    against: str,
    *,
    ours: Sequence[float],
    theirs: Sequence[float],
    unit: str,
    ratios: Sequence[float],
    bound: Literal["at least", "at most"] = "at least",
    floor: float | None = None,
    aim: float | None = None,
    quality: str = "",
    judged: Literal["ratio", "ours"] = "ratio",
) -> Row:
    """Medians and spread of what was measured in rounds; ``ratios`` has one for each round."""
    middle = statistics.median(ratios)
    low, high = (percentile(ratios, share) for share in (0.25, 0.75))
    return Row(
        what,
        against,
        *(statistics.median(values) for values in (ours, theirs)),
        unit=unit,
        ratio=middle,
        low=low,
        high=high,
        rounds=len(ratios),
        bound=bound,
        floor=floor,
        aim=aim,
        quality=quality,
        judged=judged,
    )


@dataclass(frozen=True)
class Gate:
    """How far the answers of a tier are those of the stock model, and the least they may be."""

    what: str
    tier: str
    pictures: int
    ours: int
    """Masks."""
    theirs: int
    matched_iou: float
    recall: float
    precision: float
    same_count: float
    """Share of pictures with as many masks on both sides."""
    count_difference: float | None
    """Masks of a picture that one side has more; mean. ``None`` where it was not kept."""
    least_iou: float | None = None
    """``None`` where a line only stands beside the others."""
    least_share: float | None = None
    """Of recall and precision."""
    least_same_count: float | None = None

    @property
    def met(self) -> bool:
        """Whether nothing is below its floor."""
        pairs = (
            (self.matched_iou, self.least_iou),
            (self.recall, self.least_share),
            (self.precision, self.least_share),
            (self.same_count, self.least_same_count),
        )
        return all(least is None or value >= least for value, least in pairs)

    def told(self) -> str:
        """One line for a person."""
        verdict = "no floor" if self.least_iou is None else "met" if self.met else "MISSED"
        return (
            f"{self.what}, {self.tier}: IoU {self.matched_iou:.4f}, recall {self.recall:.4f}, "
            f"precision {self.precision:.4f}, masks {self.ours} and {self.theirs}, same count on "
            f"{self.same_count:.1%} of {self.pictures}: {verdict}"
        )


@dataclass(frozen=True)
class Table:
    """Figures that nothing is asked of, such as where time goes; as they are shown."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def print_rows(rows: Sequence[Row]) -> None:
    """One line for each, for a person."""
    for one in rows:
        if one.ratio is None:
            print(f"{one.what}, against {one.against}: {one.quality}")
            continue
        asked = [
            f"{name} {one.bound} {bound:g}"
            for name, bound in (("floor", one.floor), ("aim", one.aim))
            if bound is not None
        ]
        print(
            f"{one.what}, against {one.against}: {one.ours:.4g} and {one.theirs:.4g} {one.unit}, "
            f"ratio {one.ratio:.2f} ({one.low:.2f} to {one.high:.2f})"
            + (f"; {', '.join(asked)}: {one.verdict}" if asked else "")
        )


def keep(
    name: str,
    figures: object,
    *,
    rows: Sequence[Row] = (),
    gates: Sequence[Gate] = (),
    tables: Sequence[Table] = (),
    notes: Sequence[str] = (),
) -> None:
    """Write figures to a file of the results folder, from which ``results_page.py`` makes a page.

    ``notes`` say what a reader of the rows has to know, such as what each side was allowed.
    """
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    title = (sys.modules["__main__"].__doc__ or name).splitlines()[0].rstrip(".")
    kept = {
        "title": title,
        "date": time.strftime("%Y-%m-%d"),
        "machine": describe(),
        "rows": [asdict(one) for one in rows],
        "gates": [asdict(one) for one in gates],
        "tables": [asdict(one) for one in tables],
        "notes": list(notes),
        "figures": figures,
    }
    path.write_text(json.dumps(kept, indent=1) + "\n")
    print(f"kept in {path.relative_to(Path(__file__).parent.parent)}")

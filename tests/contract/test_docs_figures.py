"""The figures of speed in the documentation are those of the pages of results."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BFLOAT16, AVX2 = "RESULTS.json", "RESULTS-avx2.json"
COLUMNS = ((BFLOAT16, "exact"), (BFLOAT16, "fast"), (AVX2, "exact"))
PAGE = (ROOT / "docs" / "performance.md").read_text()
QUOTED = re.findall(
    r"^\| (.+?) \| (.+?) \| ([\d.]+)x \| ([\d.]+)x \| ([\d.]+)x \|$",
    PAGE,
    re.MULTILINE,
)


def ratios(page: str) -> dict[tuple[str, str], str]:
    """By what was measured, and against what: the ratio as a page prints it."""
    kept = json.loads((ROOT / "benchmarks" / page).read_text())
    return {
        (row["what"], row["against"]): f"{row['ratio']:.3g}"
        for one in kept
        for row in one["rows"]
        if row["ratio"] is not None
    }


def test_there_are_some() -> None:
    assert len(QUOTED) >= 6


@pytest.mark.parametrize("line", QUOTED, ids=lambda line: line[0])
def test_was_measured(line: tuple[str, ...]) -> None:
    what, against, *quoted = line
    for (page, tier), ratio in zip(COLUMNS, quoted, strict=True):
        assert ratio == ratios(page)[f"{what}, {tier}", against], (page, tier)

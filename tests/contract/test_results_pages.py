"""The pages of measured figures in the repository are what the benchmarks kept, not typed."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
PAGES = sorted(FOLDER.glob("RESULTS*.md"))


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("results_page")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_says_what_was_kept(path: Path, maker: ModuleType, tmp_path: Path) -> None:
    memory = tmp_path / "kept.json"
    memory.write_bytes(path.with_suffix(".json").read_bytes())
    every = maker.renewed(memory, {})
    assert maker.page(every, f"plots/{path.stem}") == path.read_text()
    assert memory.read_bytes() == path.with_suffix(".json").read_bytes()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_shows_plots_that_are_there(path: Path) -> None:
    shown = set(re.findall(r"\]\((plots/[^)]+)\)", path.read_text()))
    there = (FOLDER / "plots" / path.stem).glob("*.svg")
    assert shown == {str(plot.relative_to(FOLDER)) for plot in there}


def test_what_was_measured_since_takes_the_place_of_the_old(
    maker: ModuleType, tmp_path: Path
) -> None:
    memory = tmp_path / "RESULTS.json"
    memory.write_bytes((FOLDER / "RESULTS.json").read_bytes())
    before = {kept.name: kept for kept in maker.renewed(memory, {})}
    row = maker.machine.row("a", "b", ours=[2], theirs=[1], unit="ms", ratios=[2])
    newer = maker.Kept("hop", "A title", "2026-11-01", "a machine", None, [row], [], [])
    after = {kept.name: kept for kept in maker.renewed(memory, {"hop": newer})}
    assert after == {**before, "hop": newer}
    assert list(after) == list(before)
    assert maker.renewed(memory, {}) == list(after.values())


def test_shows_where_time_goes(maker: ModuleType) -> None:
    table = maker.machine.Table(("what", "share"), [["products", "84%"]])
    kept = maker.Kept("sam2_profile_tiny", "A title", "2026-11-01", "it", 2, [], [], [], [table])
    text = maker.page([kept], "plots/one")
    assert "## A title (tiny)" in text
    assert "| what | share |\n| --- | --- |\n| products | 84% |" in text
    assert "svg" not in text

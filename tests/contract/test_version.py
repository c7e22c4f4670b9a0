"""Which release it is: every command says so, and figures of every process."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
import tomllib
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from diptych_runtime.figures.process import ProcessFigures

ROOT = Path(__file__).resolve().parents[2]
PROJECTS = [
    tomllib.loads(path.read_text())["project"]
    for place in ("*/pyproject.toml", "services/*/pyproject.toml", "integrations/*/pyproject.toml")
    for path in sorted(ROOT.glob(place))
]
COMMANDS = {name: target for each in PROJECTS for name, target in each.get("scripts", {}).items()}
(RELEASE,) = {project["version"] for project in PROJECTS if project["name"].startswith("diptych")}


def test_there_are_commands() -> None:
    assert {"diptych", "diptych-gateway", "diptych-mask-rcnn", "diptych-sam-2"} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_its_version(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module, _, function = COMMANDS[name].partition(":")
    monkeypatch.setattr(sys, "argv", [name, "--version"])
    monkeypatch.setattr(sys.modules["__main__"], "__package__", None)  # else it is pytest's
    with pytest.raises(SystemExit) as ended:
        getattr(importlib.import_module(module), function)()
    assert ended.value.code in (0, None)
    assert capsys.readouterr().out == f"{name}, version {RELEASE}\n"


@pytest.mark.parametrize("prefix", ["diptych", "diptych_gateway"])
def test_figures_of_a_process_have_the_version(prefix: str) -> None:
    registry = CollectorRegistry()
    ProcessFigures(registry, prefix)
    line = f'{prefix}_build_info{{version="{RELEASE}"}} 1.0\n'
    assert line in generate_latest(registry).decode()

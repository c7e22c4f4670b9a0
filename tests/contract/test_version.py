"""Which release it is: every command says so, and figures of every process."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
import tomllib
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from diptych_runtime import release
from diptych_runtime.figures.process import ProcessFigures

ROOT = Path(__file__).resolve().parents[2]
PROJECTS = [
    tomllib.loads(path.read_text())["project"]
    for place in ("*/pyproject.toml", "services/*/pyproject.toml", "integrations/*/pyproject.toml")
    for path in sorted(ROOT.glob(place))
]
# What Label Studio's SDK is needed for: the tests of that environment ask it.
APART = {"diptych-label-studio"}
COMMANDS = {
    name: target
    for each in PROJECTS
    for name, target in each.get("scripts", {}).items()
    if name not in APART
}
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
    line = f'{prefix}_build_info{{revision="",version="{RELEASE}"}} 1.0\n'
    assert line in generate_latest(registry).decode()


def stages() -> dict[str, str]:
    """The stages of the Dockerfile that become images, by their names."""
    text = (ROOT / "Dockerfile").read_text()
    found = {part.split()[2]: part for part in text.split("\nFROM ")[1:]}
    return {name: part for name, part in found.items() if "ENTRYPOINT" in part}


def test_images_say_what_they_were_built_from() -> None:
    head = (ROOT / "Dockerfile").read_text().partition("\nFROM ")[0]
    assert f"\nARG VERSION={RELEASE}\n" in head
    images = stages()
    assert {"gateway", "mask-rcnn", "sam-2"} <= set(images)
    for stage in images.values():
        for label in ("version", "revision", "source", "created"):
            assert f"\nARG {label.upper()}\n" in stage
            assert f'org.opencontainers.image.{label}="${label.upper()}"' in stage
        assert "\nENV DIPTYCH_REVISION=$REVISION\n" in stage
        # Behind what is copied: another revision builds nothing again.
        assert stage.index("COPY") < stage.index("ARG REVISION")


@pytest.mark.parametrize("revision", ["", "4f2c8a0e"])
def test_a_log_begins_with_the_release(revision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "REVISION", revision)
    told = release.release_fields()
    assert told == {"version": RELEASE} | ({"revision": revision} if revision else {})

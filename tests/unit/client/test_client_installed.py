"""Commands of other packages under ``diptych``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def install(site: Path, package: str, commands: dict[str, str], code: str = "") -> None:
    """A package as pip would leave it behind."""
    metadata = site / f"{package}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Name: {package}\nVersion: 1.0\nSummary: Counts sheep.\n")
    lines = [f"{name} = {package}:{value}" for name, value in commands.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[diptych.commands]", *lines, ""]))
    (site / f"{package}.py").write_text(code)


def diptych(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    paths = [str(site), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    return subprocess.run(
        [sys.executable, "-m", "diptych.cli", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


GOOD = """
import click, sys
from diptych.commands import REFUSED, connect, connection_options, report
print("imported", file=sys.stderr)

@click.command()
@connection_options
def count(address, timeout):
    with connect(address, timeout) as client:
        print("counts at", client.address)
        client.model_card()
"""


def test_an_installed_command_is_listed_without_being_imported_and_runs(tmp_path: Path) -> None:
    install(tmp_path, "sheep", {"count": "count"}, GOOD)
    listed = diptych(tmp_path, "--help")
    assert listed.returncode == 0
    assert "count Counts sheep." in " ".join(listed.stdout.split())
    assert "imported" not in listed.stderr
    ran = diptych(tmp_path, "count", "--address", "127.0.0.1:1", "--timeout", "5")
    assert ran.stdout == "counts at 127.0.0.1:1\n"
    assert ran.returncode == 3  # as with every command: nothing listens there
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named"),
        ("x = ", "SyntaxError: "),
        ("", "AttributeError: "),
        ("def count(): pass", "sheep:count is no command"),
        ("raise RuntimeError('wolves')", "RuntimeError: wolves"),
    ],
)
def test_a_broken_command_is_a_line(tmp_path: Path, code: str, why: str) -> None:
    install(tmp_path, "sheep", {"count": "count"}, code)
    done = diptych(tmp_path, "count")
    assert done.returncode == 1
    assert "diptych: the command 'count' of sheep cannot be loaded: " in done.stderr
    assert why in done.stderr
    assert "Traceback" not in done.stderr


def test_own_commands_win(tmp_path: Path) -> None:
    install(tmp_path, "sheep", {"cards": "count"}, "raise RuntimeError('wolves')")
    done = diptych(tmp_path, "cards", "--help")
    assert done.returncode == 0
    assert "Compare the cards of all models" in done.stdout


def test_an_extra_that_is_missing_is_named(tmp_path: Path) -> None:
    code = """
import sys
from diptych.cli import _installed, main
_installed.entry_points = lambda group: ()
main([sys.argv[1]], prog_name="diptych")
"""
    for name in ("eval", "verify"):
        done = subprocess.run(
            [sys.executable, "-c", code, name],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 1
        assert "pip install 'diptych[eval]'" in done.stderr
        assert "Traceback" not in done.stderr
